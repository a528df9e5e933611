"""`whatwhere segment`: files, folders and globs in; overlays, label maps and plain words out."""

import json

import numpy as np
import pytest
from PIL import Image

from runs.small import small
from whatwhere.commands import main
from whatwhere.runs.training import run_training

NAMES = "tree|trees, boat, sky"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    run_training(small("training.steps=1"), out=folder)
    return str(folder)


@pytest.fixture
def photos(tmp_path):
    """a.png and a.jpg of one name, more/b.png below, a text, and a picture that is none."""
    home = tmp_path / "photos"
    (home / "more").mkdir(parents=True)
    scenes = small().captions
    for i, name in enumerate(("a.png", "a.jpg", "more/b.png")):
        scenes[i].open().save(home / name)
    (home / "note.txt").write_text("no photo")
    (home / "torn.png").write_bytes(b"no picture either")
    return home


def segment(run, *photos, out, more=("--json",)):
    return main(
        ["segment", *map(str, photos), "--names", NAMES, "--model", run, "--out", str(out), *more]
    )


def test_a_photo_becomes_an_overlay_and_a_label_map_of_its_size(run, photos, tmp_path, capsys):
    assert segment(run, photos / "a.png", out=tmp_path / "out") == 0
    said = json.loads(capsys.readouterr().out)
    (one,) = said["photos"]
    assert said["skipped"] == [] and one["photo"] == str(photos / "a.png")
    with Image.open(one["labels"]) as labels, Image.open(one["overlay"]) as overlay:
        assert labels.size == (48, 32) and np.asarray(labels).max() <= 2
        assert overlay.size[0] >= 48
        assert json.loads(labels.info["names"]) == ["tree", "boat", "sky"]
    assert one["names"] == ["tree", "boat", "sky"] and one["unknown"] == []
    assert sum(one["shares"].values()) == pytest.approx(1, abs=1e-3)
    assert 1 / 3 <= one["confidence"] <= 1


def test_a_folder_gives_all_its_photos_and_a_broken_one_is_told(run, photos, tmp_path, capsys):
    assert segment(run, photos, out=tmp_path / "out") == 0
    said = json.loads(capsys.readouterr().out)
    names = sorted(file.name for file in (tmp_path / "out").glob("*-labels.png"))
    assert names == ["a-2-labels.png", "a-labels.png", "b-labels.png"]
    (skipped,) = said["skipped"]
    assert skipped["photo"].endswith("torn.png") and "cannot identify" in skipped["reason"]


def test_a_glob_gives_what_it_matches_and_each_photo_counts_once(run, photos, tmp_path, capsys):
    given = (photos / "**" / "*.png", photos / "a.png")
    assert segment(run, *given, out=tmp_path / "out") == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["photo"].rsplit("/", 1)[1] for one in said["photos"]] == ["a.png", "b.png"]


def test_results_never_overwrite_one_another(run, photos, tmp_path, capsys):
    (photos / "a-2.png").write_bytes((photos / "a.png").read_bytes())
    assert segment(run, photos, out=tmp_path / "out") == 0
    said = json.loads(capsys.readouterr().out)
    assert len({one["labels"] for one in said["photos"]}) == len(said["photos"]) == 4


def test_people_are_told_what_was_found_and_what_was_not_read(run, photos, tmp_path, capsys):
    assert segment(run, photos, out=tmp_path / "out", more=()) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3 and "%" in printed.out
    assert "torn.png" in printed.err and "3 photos segmented, 1 skipped" in printed.err


def test_nothing_segmented_is_a_failure(run, photos, tmp_path, capsys):
    assert segment(run, photos / "torn.png", out=tmp_path / "out") == 1
    assert json.loads(capsys.readouterr().out)["photos"] == []


def test_the_background_takes_what_no_name_fits(run, photos, tmp_path, capsys):
    more = ("--json", "--background", "score:2")
    assert segment(run, photos / "a.png", out=tmp_path / "out", more=more) == 0
    (one,) = json.loads(capsys.readouterr().out)["photos"]
    assert one["names"] == ["background", "tree", "boat", "sky"]
    assert one["shares"]["background"] == 1


@pytest.mark.filterwarnings("default:.*given no pixel:UserWarning")
def test_a_name_that_no_caption_has_is_told_of_in_one_line(photos, tmp_path, capsys):
    run_training(small("training.steps=1", "text.kept=90"), out=tmp_path / "run")
    capsys.readouterr()
    names = ("--names", "tree, zyzzyva, boat", "--model", str(tmp_path / "run"))
    argv = ["segment", str(photos / "a.png"), str(photos / "a.jpg"), *names]
    assert main([*argv, "--out", str(tmp_path / "out"), "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == (
        "whatwhere segment: 'zyzzyva' is given no pixel, since no caption has taught this model "
        "the word zyzzyva\n"
    )
    for one in json.loads(printed.out)["photos"]:
        assert one["names"] == ["tree", "zyzzyva", "boat"] and one["unknown"] == ["zyzzyva"]
        assert one["shares"]["zyzzyva"] == 0 and 1 / 2 <= one["confidence"] <= 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nowhere.jpg", "--names", NAMES], "no photo at nowhere.jpg"),
        (["empty", "--names", NAMES], "no photos in"),
        (["photos/a.png", "--names", " , "], "name"),
        (["photos/a.png", "--names", "dog", "--model", "nowhere"], "no model at nowhere"),
        (["photos/a.png", "--names", "dog", "--model", "photos"], "holds no checkpoint"),
        (["photos/a.png"], "the following arguments are required: --names"),
        (["photos/a.png", "--names", "dog", "--background", "maybe"], "no background rule"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    photos, tmp_path, monkeypatch, capsys, run, argv, said
):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    if "--background" in argv:
        argv = [*argv, "--model", run]
    try:
        code = main(["segment", *argv])
    except SystemExit as stop:  # argparse ends the program itself
        code = stop.code
    printed = capsys.readouterr()
    assert code == 2 and printed.out == ""
    assert said in printed.err and printed.err.count("\n") == 1
