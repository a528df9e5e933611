"""A path is enough to open pairs; what is wrong with it is said at once; splits stay put."""

import pytest
from PIL import Image

from whatwhere.captions.samples import FilePart, Sample, Skipped
from whatwhere.captions.sources import Pairs, open_pairs, split


def photo(path, text: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 2)).save(path)
    if text is not None:
        path.with_suffix(".txt").write_text(text)


def named(*keys: str) -> Pairs:
    return Pairs(tuple(Sample(key, ("a",), FilePart(key)) for key in keys), Skipped())


def test_pairs_come_in_the_order_of_their_keys(tmp_path):
    for name in ("b.jpg", "a.jpg", "c/a.jpg"):
        photo(tmp_path / name, f"this is {name}")
    pairs = open_pairs(str(tmp_path))
    assert [sample.key for sample in pairs] == ["a.jpg", "b.jpg", "c/a.jpg"]
    assert pairs[2].captions == ("this is c/a.jpg",)
    assert len(pairs) == 3


def test_a_path_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no such file or folder"):
        open_pairs(tmp_path / "photos")


def test_the_error_says_what_was_looked_for_and_what_was_found(tmp_path):
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "b.JPG")
    (tmp_path / "notes.csv").touch()
    (tmp_path / "more").mkdir()
    with pytest.raises(ValueError, match="no captions at") as caught:
        open_pairs(tmp_path)
    message = str(caught.value)
    assert "2 x .jpg, " in message
    assert "1 x folder" in message
    for kind in ("coco", "folder", "hf", "jsonl", "table", "webdataset"):
        assert f"{kind}: a" in message
    assert "\n" not in message


def test_no_usable_pair_is_an_error_that_lists_what_was_skipped(tmp_path):
    photo(tmp_path / "a.jpg", " \n")
    with pytest.raises(ValueError, match=r"looked for a folder of photos.*1 empty caption: a\.jpg"):
        open_pairs(tmp_path)


def test_two_ways_to_read_a_path_are_for_the_user_to_choose(tmp_path):
    photo(tmp_path / "a.jpg", "from the folder")
    (tmp_path / "captions.jsonl").write_text('{"image": "a.jpg", "caption": "from the list"}')
    with pytest.raises(ValueError, match="as folder or as jsonl; choose with --kind folder"):
        open_pairs(tmp_path)
    assert open_pairs(tmp_path, kind="folder")[0].captions == ("from the folder",)
    assert open_pairs(tmp_path, kind="jsonl")[0].captions == ("from the list",)


def test_an_unknown_kind_lists_the_kinds(tmp_path):
    with pytest.raises(ValueError, match="use coco, folder, hf, jsonl, table, webdataset"):
        open_pairs(tmp_path, kind="parquet")


def test_a_kind_that_is_not_there_is_an_error(tmp_path):
    photo(tmp_path / "a.jpg", "a caption")
    with pytest.raises(ValueError, match=r"looked for jsonl: a \.jsonl file"):
        open_pairs(tmp_path, kind="jsonl")


KEYS = [f"{i:03d}.jpg" for i in range(300)]


def test_both_halves_together_are_all_and_in_order():
    halves = split(named(*KEYS), held_out=0.2, seed=0)
    train, held_out = ([sample.key for sample in half] for half in halves)
    assert sorted(train + held_out) == KEYS
    assert train == sorted(train)
    assert 40 <= len(held_out) <= 80  # 60 expected; 3 standard deviations are 21


def test_adding_pictures_moves_no_other_picture():
    few = split(named(*KEYS[::3]), held_out=0.3, seed=0)
    many = split(named(*KEYS), held_out=0.3, seed=0)
    assert {s.key for s in few.held_out} == {s.key for s in many.held_out} & set(KEYS[::3])


def test_a_number_of_pictures_is_held_out_exactly():
    halves = split(named(*KEYS), held_out=7, seed=0)
    assert (len(halves.train), len(halves.held_out)) == (293, 7)


def test_adding_pictures_never_holds_out_one_that_was_trained_on():
    few = split(named(*KEYS[::3]), held_out=7, seed=0)
    many = split(named(*KEYS), held_out=7, seed=0)
    assert not {s.key for s in few.train} & {s.key for s in many.held_out}


def test_another_seed_holds_out_others():
    one, two = (split(named(*KEYS), held_out=20, seed=seed).held_out for seed in (0, 1))
    assert [s.key for s in one] != [s.key for s in two]


@pytest.mark.parametrize("held_out", [3, 1.0, -1, 1e-9])
def test_an_empty_half_is_an_error(held_out):
    with pytest.raises(ValueError, match="leaves some in both halves"):
        split(named("a", "b", "c"), held_out=held_out, seed=0)


@pytest.mark.parametrize("held_out", [0, 0.0])
def test_nothing_is_held_out_when_that_is_asked_for(held_out):
    halves = split(named("a", "b", "c"), held_out=held_out, seed=0)
    assert (len(halves.train), len(halves.held_out)) == (3, 0)
