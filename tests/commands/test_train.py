"""`whatwhere train`: from a folder of photos to a model, and mistakes told in one line."""

import json

import pytest

from runs.small import SETTINGS, small
from whatwhere.commands import main
from whatwhere.recipes import names
from whatwhere.training import checkpoints

SMALL = [setting for setting in SETTINGS if not setting.startswith("captions.")]


def train(*argv, settings=(*SETTINGS, "training.steps=2")):
    return main(["train", "scenes", *map(str, argv), "--set", *settings])


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    home = tmp_path_factory.mktemp("photos")
    for i in range(12):
        pair = small().captions[i]
        pair.open().save(home / f"{i}.jpg")
        (home / f"{i}.txt").write_text("\n".join(pair.captions))
    return home


def test_photos_with_texts_beside_them_train_a_model_that_segments(photos, tmp_path, capsys):
    run = tmp_path / "run"
    settings = [*SMALL, "training.steps=2"]
    assert train("--captions", photos, "--out", run, "--json", settings=settings) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["run"] == str(run) and said["report"]["loss"] > 0
    photo, out = str(photos / "3.jpg"), str(tmp_path / "out")
    assert main(["segment", photo, "--names", "cat, sky", "--model", str(run), "--out", out]) == 0


def test_what_was_left_out_and_what_to_do_next_is_told(photos, tmp_path, capsys):
    (photos / "0torn.jpg").write_bytes(b"")
    (photos / "0torn.txt").write_text("a cat")
    (photos / "mute.jpg").write_bytes(b"")
    settings = [*SMALL, "training.steps=3"]
    assert train("--captions", photos, "--out", tmp_path / "run", settings=settings) == 0
    printed = capsys.readouterr()
    assert "next: whatwhere segment" in printed.out and "loss" in printed.out
    assert "left out:" in printed.err and "mute.jpg" in printed.err and "0torn.jpg" in printed.err
    for name in ("0torn.jpg", "0torn.txt", "mute.jpg"):
        (photos / name).unlink()


def test_a_benchmark_is_watched(photos, tmp_path, capsys):
    labelled = tmp_path / "labelled"
    for folder in ("images", "masks"):
        (labelled / folder).mkdir(parents=True)
    scene = small().captions.world.scene(5)
    scene.picture.save(labelled / "images" / "5.png")
    scene.picture.convert("L").point(lambda value: value // 128).save(labelled / "masks" / "5.png")
    (labelled / "classes.txt").write_text("cat\nsky\n")
    watched = ["--benchmark", "folder", "--root", labelled, "--split", "all"]
    assert train("--out", tmp_path / "run", "--json", *watched) == 0
    report = json.loads(capsys.readouterr().out)["report"]
    assert 0 <= report["validation/miou"] <= 100
    drawn = (tmp_path / "run" / "pictures").rglob("*.jpg")
    assert [file.parent.name for file in sorted(drawn)] == ["step-00000000", "step-00000002"]


def test_the_recipes_are_listed(capsys):
    assert main(["train", "list"]) == 0
    assert capsys.readouterr().out.split() == names()


def test_settings_may_be_given_in_several_places(capsys):
    assert main(["train", "scenes", "--set", "lr=0.5", "--show", "--set", "steps=7"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "training.lr=0.5" in shown and "training.steps=7" in shown


def test_every_setting_is_shown_and_can_be_changed(capsys):
    assert main(["train", "scenes", "--show", "--set", "lr=0.5", "concepts=none"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "training.lr=0.5" in shown and "concepts=None" in shown
    assert "captions.world.height=72" in shown


@pytest.mark.parametrize(
    ("argv", "settings", "said"),
    [
        (["--captions", "nowhere"], SMALL, "no captions at nowhere, found no such file or folder"),
        (["--captions", "empty"], SMALL, "no captions at empty, found nothing; looked for"),
        (["--captions", "unusable"], SMALL, "no usable pair at unusable"),
        (["--captions", "unusable", "--kind", "foldr"], SMALL, "no kind of captions is called"),
        ([], ["captions=none"], "say where yours are: --captions"),
        ([], [*SETTINGS, "steps=0"], "one of them says how long"),
        ([], [*SETTINGS, "training.device=abacus"], "no device 'abacus' here"),
        ([], ["lrr=1"], "did you mean training.lr"),
        ([], [*SETTINGS, "held_out=24"], "held_out=24 holds out 24 of 24"),
        ([], ["pool=none"], "no recipe works without pool; take pool=module:Class"),
        ([], [*SETTINGS, "batching.batch=64"], "do not fill a batch of 64"),
        ([], [*SETTINGS, "batching.size=(33, 48)"], "do not divide into patches of 8; use 32x48"),
        ([], [*SETTINGS, "caching.folder=cache"], "only of a frozen image encoder"),
        (["--benchmark", "voc"], SETTINGS, "--benchmark needs --root PATH"),
        (["--benchmark", "voc", "--root", "empty"], SETTINGS, "no JPEGImages in"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, argv, settings, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "unusable").mkdir()
    small().captions[0].open().save(tmp_path / "unusable" / "0.jpg")
    (tmp_path / "unusable" / "0.txt").write_text(" \n")
    assert train("--out", "run", *argv, settings=settings) == 2
    assert_one_line(capsys, said)


def test_a_run_needs_a_folder_of_its_own(tmp_path, capsys):
    assert train() == 2
    assert_one_line(capsys, "say where the run goes: --out DIR")
    assert train("--out", tmp_path / "run") == 0
    capsys.readouterr()
    assert train("--out", tmp_path / "run") == 2
    assert_one_line(capsys, "holds a run already; go on with --resume")
    assert train("--out", tmp_path / "run", "--resume", settings=SETTINGS) == 2
    assert_one_line(capsys, "was started with other settings than these")
    assert train("--out", tmp_path / "run", "--resume") == 0


def test_nothing_to_resume_is_told(tmp_path, capsys):
    assert train("--out", tmp_path / "run", "--resume") == 2
    assert_one_line(capsys, "no checkpoint to go on from; start the run without --resume")


def assert_one_line(capsys, said):
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("whatwhere train: ")]
    assert len(lines) == 1 and said in lines[0]
    assert "Traceback" not in printed.err and printed.out == ""


def test_a_part_with_settings_of_its_own_is_swapped_as_the_readme_says(capsys):
    swap = ["image=whatwhere.encoders.timm_model:Timm", "image.name=test_vit", "image.frozen=True"]
    assert main(["train", "photos", "--show", "--set", *swap]) == 0
    assert "image.name=test_vit" in capsys.readouterr().out


def test_ctrl_c_is_told_and_keeps_what_was_learned(tmp_path, capsys, monkeypatch):
    import signal

    idea = tmp_path / "an_impatient_idea.py"
    idea.write_text(IMPATIENT)
    argv = ["train", str(idea), "--out", str(tmp_path / "run"), "--set", *SETTINGS]
    assert main(argv) == 130
    assert capsys.readouterr().err.endswith("whatwhere train: stopped\n")
    assert checkpoints.newest(tmp_path / "run").name == "step-00000002"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


IMPATIENT = '''
import signal
from dataclasses import dataclass, replace
import torch
from whatwhere.recipes import load
from whatwhere.records import Losses

@dataclass
class Impatient:
    """An objective that presses Ctrl-C in its second step."""
    calls: int = 0

    def build(self, sizes):
        return self

    def __call__(self, batch, encoded):
        self.calls += 1
        if self.calls == 2:
            signal.raise_signal(signal.SIGINT)
        return Losses({"impatience": encoded.images.image.sum()})

recipe = replace(load("scenes"), objectives=(Impatient(),))
'''
