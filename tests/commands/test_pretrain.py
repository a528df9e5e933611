"""`whatwhere pretrain`: from photos to a file of weights that another training starts from."""

import json

import pytest
import torch
from safetensors.torch import load_file

from runs.small import outcome, small
from whatwhere.commands import main
from whatwhere.recipes import Pretraining, load, names, override
from whatwhere.runs.loading import build
from whatwhere.runs.pretraining import run_pretraining

SMALL = (
    "photos.count=12",
    "photos.world.height=32",
    "photos.world.width=48",
    "viewing.batch=4",
    "viewing.size=(32, 48)",
    "image.width=16",
    "training.device=cpu",
    "training.precision=fp32",
    "training.steps=6",
    "training.checkpoint_every=2",
    "training.log_every=1",
)


def tower(*settings):
    return override(load("scenes-tower", Pretraining), [*SMALL, *settings])


def pretrain(*argv, settings=()):
    return main(["pretrain", *map(str, argv), "--set", *SMALL, *settings])


def test_its_weights_start_another_training(tmp_path, capsys):
    assert pretrain("scenes-tower", "--out", tmp_path / "tower", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["report"]["loss"] > 0
    learned = load_file(said["weights"])
    started = build(small(f"image.weights={said['weights']}")).model.image_encoder.trunk
    assert learned.keys() == started.state_dict().keys()
    assert all(torch.equal(learned[name], own) for name, own in started.state_dict().items())
    fresh = build(small()).model.image_encoder.trunk.state_dict()
    assert not torch.equal(fresh["stem.weight"], learned["stem.weight"])


def test_weights_of_a_timm_network_have_the_names_that_timm_reads(tmp_path):
    chosen = (
        "image=whatwhere.encoders.timm_model:Timm",
        "image.name=test_efficientnet",
        "image.frozen=False",
        "training.steps=1",
        "viewing.size=(64, 64)",
    )
    weights = run_pretraining(tower(*chosen), out=tmp_path).weights
    build(small(*chosen[:3], f"image.weights={weights}", "batching.size=(64, 64)"))


def test_photos_of_ones_own_are_looked_at_and_broken_ones_told(tmp_path, capsys):
    photos = tmp_path / "photos"
    (photos / "below").mkdir(parents=True)
    for i in range(5):
        small().captions[i].open().save(photos / "below" / f"{i}.png")
    (photos / "torn.jpg").write_bytes(b"")
    out = tmp_path / "run"
    assert pretrain("scenes-tower", "--photos", photos, "--out", out) == 0
    printed = capsys.readouterr()
    assert "torn.jpg (empty file)" in printed.err and "image.safetensors" in printed.out
    assert pretrain("scenes-tower", "--photos", photos, "--out", out) == 2
    assert "holds a run already" in capsys.readouterr().err


def test_a_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one(tmp_path):
    run_pretraining(tower(), out=tmp_path / "whole")
    calls = []

    class Stopped(Exception):
        pass

    broken = tower()
    import whatwhere.training as loop

    save = loop.checkpoints.save

    def stop_after_four(run, done, *rest):
        kept = save(run, done, *rest)
        calls.append(done)
        if done == 4:
            raise Stopped
        return kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.checkpoints, "save", stop_after_four)
        with pytest.raises(Stopped):
            run_pretraining(broken, out=tmp_path / "parts")
    assert calls == [2, 4]
    run_pretraining(tower(), out=tmp_path / "parts", resume=True)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    first, second = (load_file(tmp_path / run / "image.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_other_photos_do_not_go_on_with_a_run(tmp_path):
    for i in range(5):
        small().captions[i].open().save(tmp_path / f"{i}.png")
    photos = sorted(tmp_path.glob("*.png"))
    run_pretraining(tower(), photos=photos, out=tmp_path / "run")
    run_pretraining(tower(), photos=photos, out=tmp_path / "run", resume=True)
    with pytest.raises(ValueError, match="looked at other photos than these 4"):
        run_pretraining(tower(), photos=photos[1:], out=tmp_path / "run", resume=True)


def test_recipes_are_listed_and_settings_shown(capsys):
    assert main(["pretrain", "list"]) == 0
    assert capsys.readouterr().out.split() == names(Pretraining)
    assert main(["pretrain", "scenes-tower", "--show"]) == 0
    assert "pretexts.dense_contrast.places=16" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["scenes-towr", "--out", "x"], "did you mean scenes-tower"),
        (["scenes", "--out", "x"], "no recipe is called 'scenes'"),
        (["scenes-tower"], "--out DIR"),
        (["scenes-tower", "--out", "x", "--photos", "nowhere.jpg"], "no photo at nowhere.jpg"),
        (["scenes-tower", "--out", "x", "--set", "image.frozen=True"], "set image.frozen=False"),
        (["scenes-tower", "--out", "x", "--set", "viewing.batch=5000"], "viewing.batch=3000"),
        (["scenes-tower", "--out", "x", "--set", "places=0"], "1 place or more"),
        (["scenes-tower", "--out", "x", "--set", "validate_every=5"], "no captions to validate on"),
        (["scenes-tower", "--show", "--set", "validate_every=5"], "no captions to validate on"),
        (["scenes-tower", "--out", "x", "--resume"], "holds no checkpoint"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, argv, said):
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", *argv]) == 2
    printed = capsys.readouterr()
    assert said in printed.err and printed.err.count("\n") == 1 and printed.out == ""


def test_weights_of_another_width_and_a_tower_as_a_model_are_told(tmp_path, capsys):
    weights = run_pretraining(tower("training.steps=1"), out=tmp_path).weights
    with pytest.raises(ValueError, match=r"set image.width and image.stride as in the file"):
        build(small(f"image.weights={weights}", "image.width=24"))
    assert main(["evaluate", str(tmp_path), "--benchmark", "scenes_swap"]) == 2
    assert "an image encoder without words" in capsys.readouterr().err
