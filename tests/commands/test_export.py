"""`whatwhere export`: a model for other code, and released files as folders; both can be used."""

import json
import warnings

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image

import whatwhere
from runs.small import small
from whatwhere.commands import main
from whatwhere.recipes import load, override
from whatwhere.released import simzss
from whatwhere.runs.loading import build, read_recipe, restore
from whatwhere.runs.training import run_training

READ = ("--set", "side=28", "window=28", "stride=14", "prompts=photo")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    settings = ["text.width=64", "text.heads=1", "text.layers=1", "text.context=12"]
    recipe = override(load("simzss-s"), settings)
    path = tmp_path_factory.mktemp("released") / "small.pt"
    torch.save(simzss.written(build(recipe, concepts=3, pretrained=False), recipe), path)
    return path


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    pixels = np.random.default_rng(0).integers(256, size=(28, 42, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def said(found):
    return found.labels.tolist(), found.confidence.tolist()


def test_a_released_file_is_used_as_it_is_and_as_a_folder(file, photo, tmp_path, capsys):
    assert main(["export", str(file), "--out", str(tmp_path / "folder")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'folder'}\n"
    segment = {
        path: whatwhere.load(path, overrides=READ[1:], device="cpu")
        for path in (file, tmp_path / "folder")
    }
    one, two = (model(photo, "dog, cat, sky") for model in segment.values())
    assert said(one) == said(two)
    assert restore(file).recipe == read_recipe(tmp_path / "folder")[0]
    assert main(["segment", str(photo), "--names", "dog, cat", "--model", str(file), *READ,
                 "--out", str(tmp_path / "found"), "--json", "--device", "cpu"]) == 0  # fmt: skip
    (done,) = json.loads(capsys.readouterr().out)["photos"]
    assert sum(done["shares"].values()) == pytest.approx(1)


def test_a_folder_written_as_a_released_file_comes_back_bit_for_bit(file, tmp_path):
    assert main(["export", str(file), "--out", str(tmp_path / "folder")]) == 0
    for name in ("again.pt", "again.safetensors"):
        out = str(tmp_path / name)
        assert main(["export", str(tmp_path / "folder"), "--layout", "simzss", "--out", out]) == 0
    state = torch.load(file, weights_only=True)
    again = torch.load(tmp_path / "again.pt", weights_only=True)
    kept = state.keys() - simzss.NOT_NEEDED
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], state[name]) for name in kept)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        segment = whatwhere.load(tmp_path / "again.safetensors", device="cpu")
    assert torch.equal(segment.model.text_encoder.text_projection, state["text.text_projection"])


def test_a_run_is_copied_without_what_only_training_needs(tmp_path):
    run_training(small("training.steps=2", concepts=True), out=tmp_path / "run")
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "copy")]) == 0
    (folder,) = (tmp_path / "copy" / "checkpoints").iterdir()
    assert folder.name == "step-00000002"
    assert {f.name for f in folder.iterdir()} == {"about.json", "model.safetensors"}
    assert read_recipe(tmp_path / "copy") == read_recipe(tmp_path / "run")


def test_a_packed_model_is_half_as_large_and_finds_the_same(tmp_path):
    recipe = small("training.steps=2", "text.width=64", concepts=True)
    run_training(recipe, out=tmp_path / "run")
    for layout in ("whatwhere", "packed"):
        out = str(tmp_path / layout)
        assert main(["export", str(tmp_path / "run"), "--layout", layout, "--out", out]) == 0
    assert {f.name for f in (tmp_path / "packed").iterdir()} == {"about.json", "model.safetensors"}
    assert read_recipe(tmp_path / "packed") == read_recipe(tmp_path / "run")
    (whole,) = (tmp_path / "whatwhere").rglob("*.safetensors")
    packed = tmp_path / "packed" / "model.safetensors"
    assert packed.stat().st_size < 0.51 * whole.stat().st_size
    picture = recipe.captions[5].open()
    one, two = (
        whatwhere.load(tmp_path / name, device="cpu")(picture, "boat, tree, sky")
        for name in ("run", "packed")
    )
    assert (one.labels == two.labels).mean() > 0.99
    np.testing.assert_allclose(one.confidence, two.confidence, atol=1e-3)
    weights = {name: w.dtype for name, w in restore(tmp_path / "packed").step.state_dict().items()}
    assert weights == {n: w.dtype for n, w in restore(tmp_path / "run").step.state_dict().items()}


def test_onnx_files_come_with_the_names_that_were_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    run_training(small("training.steps=1"), out=tmp_path / "run")
    out = str(tmp_path / "files")
    names = ("--layout", "onnx", "--names", "boat, tree|bush")
    assert main(["export", str(tmp_path / "run"), "--out", out, *names]) == 0
    assert capsys.readouterr().out.endswith(f"{out}\n")
    assert np.load(tmp_path / "files" / "names.npy").shape == (3, 16)
    assert {"image.onnx", "text.onnx"} <= {f.name for f in (tmp_path / "files").iterdir()}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--layout", "packed", "--names", "dog", "--out", "x"), "packed holds no names; leave"),
        (("--layout", "simzs", "--out", "x"), "did you mean simzss?"),
        (("--layout", "clip", "--out", "x"), "; whatwhere, packed and onnx are folders of our own"),
        (("--out", "."), ". exists already; choose another --out"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(file, capsys, more, expected):
    assert main(["export", str(file), *more]) == 2
    printed = capsys.readouterr()
    assert expected in printed.err and printed.err.count("\n") == 1 and printed.out == ""


def test_what_is_no_model_is_one_line(photo, tmp_path, capsys):
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other.pt")
    for path, expected in (
        (photo, "cannot read weights from"),
        (tmp_path / "other.pt", "is in no layout that is known here"),
        (tmp_path / "nowhere", "no model at"),
    ):
        assert main(["export", str(path), "--out", str(tmp_path / "x")]) == 2
        printed = capsys.readouterr()
        assert expected in printed.err and printed.err.count("\n") == 1


def test_a_model_that_the_layout_cannot_hold_is_refused(tmp_path, capsys):
    run_training(small("training.steps=1"), out=tmp_path / "run")
    out = str(tmp_path / "x.pt")
    assert main(["export", str(tmp_path / "run"), "--layout", "simzss", "--out", out]) == 2
    assert "holds Timm as image, and this model has Conv" in capsys.readouterr().err
    assert not (tmp_path / "x.pt").exists()
