"""The demo from the command to the page, shrunk to three steps and a dozen scenes."""

import json
import shlex

import pytest
from PIL import Image

from whatwhere.commands import demo, main

TINY = [
    "--set", "steps=3", "captions.count=16", "batching.batch=8", "log_every=1",
    "image.width=32",
]  # fmt: skip


@pytest.fixture
def few_scenes(monkeypatch):
    monkeypatch.setattr(demo, "WATCHED", 3)
    monkeypatch.setattr(demo, "EXAM", 12)
    monkeypatch.setattr(demo, "SHOWN", 4)


def test_the_demo_learns_and_shows_and_a_second_one_replaces_the_first(
    tmp_path, few_scenes, capsys, monkeypatch
):
    out, opened = tmp_path / "my demo", []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    assert main(["demo", "--out", str(out), "--open", *TINY]) == 0
    assert opened == [(out / "report.html").as_uri()]
    said = capsys.readouterr().out
    assert "mIoU on 12 scenes it has never seen" in said and str(out / "report.html") in said
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<article>") == 4 and page.count("<svg") == 2
    assert "Worst of 12" in page and "Best of 12" in page
    assert len(list((out / "pictures").iterdir())) == 4 * 4
    assert (out / "model" / "recipe.json").is_file()

    words = shlex.split(said.rpartition("next")[2])
    with Image.open(words[2]) as scene:
        assert scene.size == (96, 72)
    assert main([*words[1:], "--out", str(tmp_path / "found"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["photos"]

    (out / "mine.txt").write_text("kept")
    assert main(["demo", "--out", str(out), "--seed", "5", "--json", *TINY]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["report"] == str(out / "report.html") and 0 <= told["after"]["miou"] <= 100
    assert told["before"]["photos"] == told["after"]["photos"]
    assert told["after"]["photos_total"] == 12
    assert len(opened) == 1
    again = (out / "report.html").read_text(encoding="utf-8")
    assert "<dt>Seed</dt><dd>5</dd>" in again and "--seed 5" in again
    assert len(list((out / "pictures").iterdir())) == 4 * 4
    assert (out / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize("name", ["model", "report.html"])
def test_a_folder_that_is_no_demo_is_refused_and_left_alone(tmp_path, capsys, name):
    (tmp_path / name).write_text("<title>something else</title>")
    assert main(["demo", "--out", str(tmp_path), *TINY]) == 2
    assert "something else than an earlier demo" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "<title>something else</title>"


def test_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "taken").write_text("mine")
    assert main(["demo", "--out", str(tmp_path / "taken"), *TINY]) == 2
    assert "--out DIR" in capsys.readouterr().err


def test_a_typo_in_the_settings_removes_nothing(tmp_path, capsys):
    demo._make_way(tmp_path)
    (tmp_path / "model").mkdir()
    assert main(["demo", "--out", str(tmp_path), "--set", "stepz=3"]) == 2
    assert "stepz" in capsys.readouterr().err and (tmp_path / "model").is_dir()


def test_an_interrupted_demo_is_replaced(tmp_path):
    demo._make_way(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "half").write_text("a checkpoint")
    demo._make_way(tmp_path)
    assert not (tmp_path / "model").exists()


def test_captions_without_truth_are_refused(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "out"), "--set", "captions=none"]) == 2
    assert "whatwhere train" in capsys.readouterr().err and not (tmp_path / "out").exists()
