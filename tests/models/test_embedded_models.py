"""Models that come with the package: by name wherever a model is asked for, `tiny` by itself."""

import json
import shutil

import huggingface_hub.constants
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import whatwhere
from runs.small import small
from whatwhere import models
from whatwhere.commands import main
from whatwhere.runs.evaluating import bank_of
from whatwhere.runs.loading import read_recipe, restore
from whatwhere.runs.spaces import open_space


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    small().captions[0].open().save(path)
    return str(path)


def test_a_name_is_found_and_something_on_disk_goes_before_it(tiny, tmp_path, monkeypatch):
    assert models.names() == ["tiny"] and models.find("tiny") == tiny
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    assert models.find("tiny").resolve() == tmp_path / "tiny"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tinny", "no model at tinny; did you mean tiny\\?.*package come: tiny;.*whatwhere train"),
        ("elsewhere/large", "no model at elsewhere/large \\(with the package come: tiny;"),
    ],
)
def test_an_unknown_name_is_answered_with_those_that_there_are(tiny, name, said):
    with pytest.raises(ValueError, match=said):
        whatwhere.load(name)


def test_a_model_of_the_hub_is_found_in_its_cache_and_missed_in_a_sentence(
    tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    kept = tmp_path / "models--someone--something"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    shutil.copytree(tiny, kept / "snapshots" / ("0" * 40))
    assert restore("hf-hub:someone/something").recipe == restore(tiny).recipe
    with pytest.raises(ValueError, match=r"cannot get someone/other from the hub.*its folder"):
        restore("hf-hub:someone/other")


def test_without_a_name_it_is_tiny_in_float32_however_it_is_kept(tiny):
    segment = whatwhere.load(device="cpu")
    kept = load_file(tiny / "model.safetensors")
    assert {weight.dtype for weight in kept.values()} == {torch.float16}
    for name, weight in segment.model.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, kept[f"model.{name}"].float())


def test_its_name_tells_what_its_folder_tells(tiny):
    assert read_recipe("tiny") == read_recipe(tiny)
    assert restore("tiny").recipe == restore(tiny).recipe
    bank = bank_of("tiny")
    assert bank is not None and bank == bank_of(tiny) and len(bank) == 2
    assert open_space("tiny", device="cpu").identity == open_space(str(tiny)).identity


def test_every_verb_takes_it(tiny, photo, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["segment", photo, "--names", "cat, dog", "--out", out, "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["photos"]
    assert one["names"] == ["background", "cat", "dog"]  # its own rule abstains
    assert main(["group", photo, "--out", out, "--set", "side=32", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["photos"]
    with Image.open(one["labels"]) as labels:
        assert labels.size == (48, 32)
    drawn = ["--benchmark", "scenes_swap", "--limit", "2", "--json"]
    assert main(["evaluate", "tiny", *drawn]) == 0
    assert json.loads(capsys.readouterr().out)["bank"]["concepts"] == 2
    assert main(["export", "tiny", "--out", str(tmp_path / "copy")]) == 0
    assert read_recipe(tmp_path / "copy") == read_recipe("tiny")
