"""`whatwhere group`: files, folders and globs in; pictures of groups and label maps out."""

import json

import numpy as np
import pytest
from PIL import Image

from runs.small import small
from whatwhere.commands import main
from whatwhere.runs.training import run_training

ALONE = ("--encoder", "whatwhere.encoders.conv:Conv", "--set", "width=16", "blocks=1", "side=32")


@pytest.fixture
def photos(tmp_path):
    """a.png and a.jpg of one name, more/b.png below, and a picture that is none."""
    home = tmp_path / "photos"
    (home / "more").mkdir(parents=True)
    for i, name in enumerate(("a.png", "a.jpg", "more/b.png")):
        small().captions[i].open().save(home / name)
    (home / "torn.png").write_bytes(b"no picture either")
    return home


def group(*photos, out, more=("--json",)):
    return main(["group", *map(str, photos), *ALONE, "--out", str(out), *more])


def test_a_photo_becomes_a_picture_and_a_label_map_of_its_size(photos, tmp_path, capsys):
    more = ("--json", "--groups", "3", "--how", "kmeans")
    assert group(photos / "a.png", out=tmp_path / "out", more=more) == 0
    (one,) = json.loads(capsys.readouterr().out)["photos"]
    with Image.open(one["labels"]) as labels, Image.open(one["picture"]) as picture:
        assert labels.size == (48, 32) and np.asarray(labels).max() <= 2
        assert json.loads(labels.info["names"]) == ["group 1", "group 2", "group 3"]
        assert picture.width > 96
    assert sum(one["shares"].values()) == pytest.approx(1, abs=1e-3)


def test_a_folder_gives_all_its_photos_and_a_broken_one_is_told(photos, tmp_path, capsys):
    assert group(photos, out=tmp_path / "out", more=()) == 0
    printed = capsys.readouterr()
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    stems = ("a-2", "a", "b")
    assert names == [f"{stem}-{what}" for stem in stems for what in ("groups.jpg", "labels.png")]
    assert len(printed.out.splitlines()) == 3 and "groups, " in printed.out
    assert "torn.png" in printed.err and "3 photos grouped, 1 skipped" in printed.err
    assert group(photos / "torn.png", out=tmp_path / "out", more=()) == 1


def test_a_trained_model_gives_groups_and_their_score(photos, tmp_path, capsys):
    run = str(tmp_path / "run")
    run_training(small("training.steps=1"), out=tmp_path / "run")
    given = ["--model", run, "--out", str(tmp_path / "out"), "--set", "side=32", "--json"]
    assert main(["group", str(photos / "*.png"), *given]) == 0
    assert len(json.loads(capsys.readouterr().out)["photos"]) == 1
    for name in ("images", "masks"):
        (tmp_path / "set" / name).mkdir(parents=True)
    small().captions[0].open().save(tmp_path / "set" / "images" / "a.png")
    mask = np.zeros((32, 48), np.uint8)
    mask[:, 20:] = 1
    Image.fromarray(mask).save(tmp_path / "set" / "masks" / "a.png")
    (tmp_path / "set" / "classes.json").write_text('["background", "cat"]')
    given = ["--benchmark", "folder", "--root", str(tmp_path / "set"), "--how", "normalized_cut"]
    more = ["--set", "how.num_groups=2", "side=32", "--json"]
    assert main(["evaluate", run, *given, *more]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["segments"], said["segments_with_background"]) == (1, 2)
    assert said["how"] == {
        "how": "NormalizedCut",
        "num_groups": 2,
        "side": 32,
        "long": 2048,
        "shape": "kept",
    }
    assert main(["evaluate", run, *given]) == 0
    assert "Jaccard" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nowhere.jpg", *ALONE], "no photo at nowhere.jpg"),
        (["photos/a.png", "--model", "nowhere", *ALONE], "give either a model, --model DIR"),
        (["photos/a.png", "--model", "nowhere"], "no model at nowhere"),
        (["photos/a.png", *ALONE, "--how", "kmean"], "did you mean kmeans"),
        (["photos/a.png", *ALONE, "--groups", "0"], "give a whole number from 1 on, not 0"),
        (["photos/a.png", *ALONE, "sid=3"], "did you mean side"),
        (["photos/a.png", *ALONE, "side=big"], "side takes a whole number"),
        (["photos/a.png", *ALONE, "--device", "abacus"], "no device 'abacus' here"),
        ([], "the following arguments are required: PHOTO"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(photos, monkeypatch, capsys, argv, said):
    monkeypatch.chdir(photos.parent)
    try:
        code = main(["group", *argv])
    except SystemExit as stop:  # argparse ends the program itself
        code = stop.code
    printed = capsys.readouterr()
    assert code == 2 and printed.out == ""
    assert said in printed.err and printed.err.count("\n") == 1
