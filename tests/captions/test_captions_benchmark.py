"""The benchmark `captions`: all pairs of a source, or those that a split lists."""

import pytest
from PIL import Image

from whatwhere.captions.benchmark import load


@pytest.fixture
def folder(tmp_path):
    for name in ("b/one", "a", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (3, 2)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"a picture\nof {name}\n")
    Image.new("RGB", (3, 2)).save(tmp_path / "silent.png")
    return tmp_path


def keys(found):
    return [sample.key for sample in found.pairs]


def test_all_pairs_are_taken_and_the_rest_is_told(folder):
    found = load(str(folder))
    assert (len(found), found.name) == (3, folder.name)
    assert found.pairs[0].captions == ("a picture", "of a")
    assert found.pairs.skipped.counts == {"missing caption": 1}


@pytest.mark.parametrize("names", ["c.png\nb/one.png\n", "c\n\none\nc\n"])
def test_a_split_names_pictures_by_key_or_by_file_name(folder, tmp_path_factory, names):
    file = tmp_path_factory.mktemp("splits") / "test.txt"
    file.write_text(names)
    assert keys(load(str(folder), str(file))) == ["c.png", "b/one.png"]


def test_a_split_may_lie_beside_the_file_of_captions(folder):
    (folder / "captions.jsonl").write_text(
        '{"image": "a.png", "captions": ["a"]}\n{"image": "c.png", "captions": ["c", "see"]}\n'
    )
    (folder / "val.lst").write_text("c\n")
    assert keys(load(str(folder / "captions.jsonl"), "val.lst")) == ["c.png"]


def test_unknown_splits_and_pictures_are_refused(folder, tmp_path_factory):
    with pytest.raises(ValueError, match="there is no split file"):
        load(str(folder), "val")
    file = tmp_path_factory.mktemp("splits") / "test.txt"
    file.write_text("a\ntwo\n")
    with pytest.raises(ValueError, match=r"lists 'two' \(1 of 2 are so\).* like 'a\.png'"):
        load(str(folder), str(file))
