"""`whatwhere evaluate` on a VOCdevkit of three photos, on photos by class, on captions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.test_grounds import waterbirds
from runs.small import small
from whatwhere.commands import main
from whatwhere.runs.training import run_training


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    run_training(small("training.steps=1"), out=folder)
    return str(folder)


@pytest.fixture(scope="module")
def devkit(tmp_path_factory):
    """Boats (4) and cats (8) on background (0), with a border that does not count (255)."""
    home = tmp_path_factory.mktemp("voc") / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (home / name).mkdir(parents=True)
    scenes = small().captions
    for i, thing in enumerate((4, 8, 4)):
        scenes[i].open().save(home / "JPEGImages" / f"{i}.jpg")
        mask = np.zeros((32, 48), np.uint8)
        mask[8:20, 10:30] = 255
        mask[10:18, 12:28] = thing
        Image.fromarray(mask).save(home / "SegmentationClass" / f"{i}.png")
    (home / "ImageSets/Segmentation/val.txt").write_text("0\n1\n2\n")
    return str(home.parent)


def evaluate(run, devkit, *more, benchmark="voc"):
    return main(["evaluate", run, "--benchmark", benchmark, "--root", devkit, *more])


def test_one_json_object_says_how_good_it_is(run, devkit, capsys):
    assert evaluate(run, devkit, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert 0 <= said["miou"] <= 100
    assert len(said["per_class"]) == len(said["photos"]) == 21
    assert said["photos"]["boat"] == 2 and said["photos"]["cat"] == 1
    assert said["photos"]["background"] == 3 and said["photos"]["dog"] == 0
    assert said["per_class"]["background"] == 0  # no rule: no pixel is background
    assert said["partial"] is True and said["photos_total"] == 3


def test_all_background_scores_its_share(run, devkit, capsys):
    assert evaluate(run, devkit, "--json", "--background", "score:2") == 0
    said = json.loads(capsys.readouterr().out)
    counted = 32 * 48 - (12 * 20 - 8 * 16)
    assert said["accuracy"] == pytest.approx(100 * (1 - 8 * 16 / counted))
    assert said["per_class"]["background"] == pytest.approx(said["accuracy"])
    assert said["per_class"]["boat"] == said["per_class"]["cat"] == 0
    assert said["per_class"]["dog"] is None
    assert said["miou"] == pytest.approx(said["accuracy"] / 3)


def test_without_its_background_only_things_count(run, devkit, capsys):
    assert evaluate(run, devkit, "--json", benchmark="voc20") == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)  # nothing but one object: progress goes to stderr
    assert printed.out.count("\n") == 1 and "voc20" in printed.err
    assert "background" not in said["per_class"] and len(said["per_class"]) == 20
    assert said["photos"]["boat"] == 2 and said["photos"]["dog"] == 0


def test_people_get_a_table_with_a_warning(run, devkit, capsys):
    assert evaluate(run, devkit, "--limit", "2") == 0
    printed = capsys.readouterr().out
    assert "PARTIAL SET: 2 photos of 1449" in printed and "mIoU" in printed


def test_a_folder_needs_no_split(run, devkit, tmp_path, capsys):
    voc = Path(devkit) / "VOC2012"
    (tmp_path / "images").symlink_to(voc / "JPEGImages")
    (tmp_path / "masks").symlink_to(voc / "SegmentationClass")
    (tmp_path / "classes.json").write_text('{"0": "background", "4": "boat", "8": "cat"}')
    assert evaluate(run, str(tmp_path), "--json", benchmark="folder") == 0
    assert json.loads(capsys.readouterr().out)["photos"] == {"background": 3, "boat": 2, "cat": 1}


def test_the_released_evaluator_stands_beside_the_correct_one(run, devkit, capsys):
    assert evaluate(run, devkit, "--json", benchmark="clippy_voc") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["released"].keys() == {"miou", "per_class"} and 0 <= said["miou"] <= 100
    assert said["released"]["per_class"]["dog"] == 0 and said["photos"]["boat"] == 2
    assert said["how"]["background"] == "list:voc60"
    assert evaluate(run, devkit, "--limit", "2", benchmark="clippy_voc") == 0
    printed = capsys.readouterr().out
    assert "PARTIAL SET: 2 photos of 1449" in printed
    assert "as released over all 21 classes" in printed and "lie on each other only" in printed


def test_background_may_be_a_list(run, devkit, capsys):
    assert evaluate(run, devkit, "--json", "--background", "list:voc60") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["how"]["background"] == "list:voc60" and said["per_class"]["background"] > 0


def test_birds_and_drawn_things_are_counted_on_each_ground(run, tmp_path, capsys):
    root = waterbirds(tmp_path)
    assert evaluate(run, root, "--json", "--set", "side=32", benchmark="waterbirds") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["photos"] == {
        "landbird": {"land": 1, "water": 1},
        "waterbird": {"land": 0, "water": 1},
    }
    assert said["by_ground"]["waterbird"]["land"] is None and said["partial"] is True
    assert said["how"]["pictures"] == "short side 32, then the centre"
    drawn = ["evaluate", run, "--benchmark", "scenes_swap", "--limit", "20"]
    assert main([*drawn, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said["photos"]) == {*small().captions.world.kinds}
    assert said["photos"]["boat"] == {"usual": 1, "swapped": 1}
    assert main(drawn) == 0
    assert "PARTIAL SET: 20 photos of 800" in capsys.readouterr().out
    assert main([*drawn, "--root", root]) == 2
    assert "scenes_swap is drawn" in capsys.readouterr().err


@pytest.fixture
def scenes(tmp_path):
    """Four scenes in two folders by class, with a caption beside each."""
    for i, name in enumerate(("boat/1", "cat/2", "cat/3", "cat/4")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        small().captions[i].open().save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(small().captions[i].captions[0])
    return tmp_path


def test_photos_by_class_give_top_1_and_the_photos_of_each(run, scenes, capsys):
    (scenes / "classes.txt").write_text("boat|ship\ncat\ntree\nsea\nsky\nsheep\n")
    assert evaluate(run, str(scenes), "--json", benchmark="classes") == 0
    said = json.loads(capsys.readouterr().out)
    assert 0 <= said["top1"] <= said["top5"] <= 100
    assert said["photos"] == {"boat": 1, "cat": 3, "tree": 0, "sea": 0, "sky": 0, "sheep": 0}
    assert said["how"]["prompts"] == "photo" and said["bank"] is None
    assert evaluate(run, str(scenes), "--limit", "3", benchmark="classes") == 0
    assert "PARTIAL SET: 3 photos of 4" in capsys.readouterr().out


def test_captions_give_recall_both_ways(run, scenes, capsys):
    (scenes / "cat" / "5.png").write_bytes((scenes / "cat" / "2.png").read_bytes())
    assert evaluate(run, str(scenes), "--json", benchmark="captions") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["picture_to_caption"]["recall_at_5"] == 100
    assert (said["pictures"], said["captions"]) == (4, 4)
    assert said["left_out"] == ["1 missing caption: cat/5.png (no .txt beside it)"]
    assert evaluate(run, str(scenes), benchmark="captions") == 0
    assert "left out: 1 missing caption" in capsys.readouterr().out


def test_a_sweep_is_a_curve_and_not_one_number(run, devkit, capsys):
    assert evaluate(run, devkit, "--json", "--sweep", "score:-1:2:1.5") == 0
    said = json.loads(capsys.readouterr().out)
    assert [point["threshold"] for point in said["points"]] == [-1, 0.5, 2]
    counted = 32 * 48 - (12 * 20 - 8 * 16)
    assert said["points"][0]["background"] == 0
    assert said["points"][2]["accuracy"] == pytest.approx(100 * (1 - 8 * 16 / counted))
    assert "miou" not in said


def test_a_result_says_how_photos_were_read_and_what_the_bank_was_told(
    run, tmp_path, devkit, capsys
):
    told = shutil.copytree(run, tmp_path / "told")
    (about,) = told.glob("checkpoints/*/about.json")
    said = json.loads(about.read_text()) | {"concepts": ["boats|ship", "kitten", "meadow"]}
    about.write_text(json.dumps(said))
    more = ("--set", "prompts=name", "side=40", "--background", "score:0.25", "--json")
    assert evaluate(str(told), devkit, *more) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["how"]["background"] == "score:0.25"
    assert (said["how"]["prompts"], said["how"]["side"]) == ("name", 40)
    assert said["bank"] == {"named": 2, "classes": 20, "shared": 2, "concepts": 3}


@pytest.mark.parametrize(
    ("more", "benchmark", "said"),
    [
        ((), "vocc", "did you mean voc"),
        (("--split", "test"), "voc", "there is no split file"),
        (("--background", "score:0.2"), "voc20", "voc20 has no background class"),
        (("--background", "score"), "voc", "lacks a number"),
        (("--background", "list:voc"), "voc", "use one of voc60"),
        (("--background", "none"), "clippy_voc", "has one background rule, list:voc60"),
        (("--split", "all"), "waterbirds", "metadata.csv"),
        (("--set", "sid=3"), "voc", "did you mean reading.side"),
        (("--set", "text.width=8"), "voc", "only settings of reading and similarity"),
        (("--device", "abacus"), "voc", "no device 'abacus' here"),
        (("--limit", "0"), "voc", "give a whole number from 1 on, not 0"),
        (("--sweep", "score:1"), "voc", "no sweep 'score:1'; use score"),
        (("--sweep", "score"), "voc20", "voc20 has no background class"),
        (("--sweep", "score", "--background", "none"), "voc", "leave --background out"),
        (("--split", "few"), "classes", "has no split 'few'"),
        (("--split", "few"), "folder", "needs one of classes.json"),
        ((), "captions", "no captions at"),
        (("--set", "chunk=0"), "voc", "reading.chunk=0; take a whole number from 1 on"),
        (("--set", "side=-1"), "voc", "reading.side=-1"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run, devkit, capsys, more, benchmark, said):
    try:
        code = evaluate(run, devkit, *more, benchmark=benchmark)
    except SystemExit as stop:  # argparse ends the program itself
        code = stop.code
    printed = capsys.readouterr()
    assert code == 2
    assert said in printed.err and printed.err.count("\n") == 1 and printed.out == ""
