"""The demo from the command to the page: photographs, and a dozen scenes learned in three steps."""

import json
import shlex
from dataclasses import replace

import pytest
from PIL import Image

from runs.small import small
from whatwhere import models
from whatwhere.commands import demo, main
from whatwhere.commands.demo import samples, scenes
from whatwhere.concepts.names import parse_names

FEW = [
    "--train", "--set", "steps=3", "captions.count=16", "batching.batch=8", "log_every=1",
    "image.width=32",
]  # fmt: skip


@pytest.fixture
def few_scenes(monkeypatch):
    monkeypatch.setattr(scenes, "WATCHED", 3)
    monkeypatch.setattr(scenes, "EXAM", 12)
    monkeypatch.setattr(scenes, "SHOWN", 4)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "mine" / "boat & sea.png"
    path.parent.mkdir()
    small().captions[0].open().save(path)
    return path


def test_photographs_are_shown_and_a_second_demo_replaces_the_first(
    tmp_path, tiny, capsys, monkeypatch
):
    out, opened = tmp_path / "my demo", []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    assert main(["demo", "--out", str(out), "--open"]) == 0
    assert opened == [(out / "report.html").as_uri()]
    said = capsys.readouterr().out
    assert f"{len(samples.SAMPLES)} photos" in said and str(out / "report.html") in said
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<article>") == len(samples.SAMPLES) and "<svg" not in page
    assert "score:0.1, the model&#x27;s own" in page
    for one in samples.SAMPLES:
        assert f"{one.author}, {one.licence}; comes with {one.package}" in page
    assert len(list((out / "photos").iterdir())) == 3 * len(samples.SAMPLES)
    assert not (out / "model").exists()

    words = shlex.split(said.rpartition("next")[2])
    assert main([*words[1:], "--out", str(tmp_path / "found"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["photos"]

    (out / "mine.txt").write_text("kept")
    assert main(["demo", "--out", str(out), "--background", "none", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["report"] == str(out / "report.html") and told["trained"] is None
    assert (told["model"], told["background"]) == ("tiny", "none")
    assert len(told["photos"]) == len(samples.SAMPLES) and len(opened) == 1
    assert all("background" not in one["shares"] for one in told["photos"])
    again = (out / "report.html").read_text(encoding="utf-8")
    assert "--background none" in again and (out / "mine.txt").read_text() == "kept"


def test_photos_of_ones_own_are_asked_for_ones_own_names(tmp_path, tiny, photo, capsys):
    torn = photo.with_name("torn.png")
    torn.write_bytes(b"no picture")
    out = tmp_path / "out"
    given = ["--photos", str(photo.parent), "--names", "boat|ship, sea", "--out", str(out)]
    assert main(["demo", "--model", str(tiny), *given]) == 0
    printed = capsys.readouterr()
    assert "1 photo, " in printed.out and "skipped" in printed.err and "torn.png" in printed.err
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<article>") == 1 and "boat &amp; sea.png" in page
    assert "not there" not in page and "Names in the photos" not in page
    words = shlex.split(printed.out.rpartition("next")[2])
    assert words[2:] == [str(photo), "--names", "boat|ship, sea", "--model", str(tiny)]


def test_a_small_model_learns_and_is_shown_below_the_photos(tmp_path, tiny, few_scenes, capsys):
    out = tmp_path / "out"
    assert main(["demo", "--out", str(out), "--seed", "5", "--json", *FEW]) == 0
    told = json.loads(capsys.readouterr().out)
    trained = told["trained"]
    assert 0 <= trained["after"]["miou"] <= 100 and trained["after"]["photos_total"] == 12
    assert trained["before"]["photos"] == trained["after"]["photos"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<article>") == len(samples.SAMPLES) + 4 and page.count("<svg") == 2
    assert page.index(samples.SAMPLES[-1].title) < page.index("Best of 12")
    assert "Worst of 12" in page and "<dt>Seed</dt><dd>5</dd>" in page and "--seed 5" in page
    assert len(list((out / "pictures").iterdir())) == 4 * 4
    assert (out / "model" / "recipe.json").is_file()
    words = shlex.split(page.rpartition("<code>")[2].partition("</code>")[0])
    with Image.open(words[2]) as scene:
        assert scene.size == (96, 72)


@pytest.mark.parametrize("sample", samples.SAMPLES, ids=lambda sample: sample.key)
def test_a_sample_is_installed_and_asked_for_what_it_shows_and_does_not(sample):
    with Image.open(samples.find(sample)) as picture:
        assert min(picture.size) >= 300 and picture.mode == "RGB"
    assert sample.shows and sample.others
    parse_names([*sample.shows, *sample.others])  # no name is both
    assert sample.author and sample.licence and sample.source.startswith("https://")


def test_a_missing_photo_says_what_to_install(tmp_path, tiny, monkeypatch, capsys):
    gone = replace(samples.SAMPLES[0], file="skimage/data/gone.png")
    nowhere = replace(samples.SAMPLES[0], file="no_such_package/a.png")
    for one in (gone, nowhere):
        monkeypatch.setattr("whatwhere.commands.demo.photos.SAMPLES", (one,))
        assert main(["demo", "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert f"no {one.file} is installed; pip install" in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["model", "photos", "report.html"])
def test_a_folder_that_is_no_demo_is_refused_and_left_alone(tmp_path, tiny, capsys, name):
    (tmp_path / name).write_text("<title>something else</title>")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "something else than an earlier demo" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "<title>something else</title>"


def test_what_the_demo_reads_is_not_removed(tmp_path, tiny, capsys):
    demo._make_way(tmp_path)
    kept = tmp_path / "photos" / "a.png"
    kept.parent.mkdir()
    small().captions[0].open().save(kept)
    given = ["--out", str(tmp_path), "--photos", str(kept), "--names", "boat"]
    assert main(["demo", *given]) == 2
    assert "belongs to the earlier demo" in capsys.readouterr().err and kept.is_file()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--seed", "3"], "add --train"),
        (["--set", "steps=3"], "add --train"),
        (["--train", "--set", "stepz=3"], "stepz"),
        (["--train", "--set", "captions=none"], "whatwhere train"),
        (["--photos", "a.png"], "--photos need --names"),
        (["--names", "dog"], "--photos need --names"),
        (["--photos", "nowhere.png", "--names", "dog"], "no photo at nowhere.png"),
        (["--model", "tinny"], "did you mean tiny?"),
        (["--background", "score"], "lacks a number"),
    ],
)
def test_a_mistake_is_one_line_and_removes_nothing(tmp_path, tiny, capsys, argv, said):
    demo._make_way(tmp_path)
    (tmp_path / "model").mkdir()
    assert main(["demo", "--out", str(tmp_path), *argv]) == 2
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1 and (tmp_path / "model").is_dir()


def test_a_file_is_refused(tmp_path, tiny, capsys):
    (tmp_path / "taken").write_text("mine")
    assert main(["demo", "--out", str(tmp_path / "taken")]) == 2
    assert "--out DIR" in capsys.readouterr().err


def test_an_interrupted_demo_is_replaced(tmp_path):
    demo._make_way(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "half").write_text("a checkpoint")
    demo._make_way(tmp_path)
    assert not (tmp_path / "model").exists()


@pytest.mark.skipif(
    models.DEFAULT not in models.names(), reason="no weights in src/whatwhere/models/tiny"
)
def test_the_model_that_comes_with_the_package_finds_the_cat_and_abstains(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == "tiny" and told["background"] != "none"
    by_name = {one["photo"].rpartition("/")[2]: one["shares"] for one in told["photos"]}
    cat = by_name["chelsea.png"]
    assert cat["cat"] > max(cat["dog"], cat["grass"], cat["car"])
    assert all(one["seconds"] < 30 for one in told["photos"])
