"""Cityscapes in small: as cityscapesscripts leaves it, and as the archive comes."""

import pytest

from benchmarks.official import mask, no_word_twice, photo, published, score
from whatwhere.benchmarks import Benchmark, cityscapes

KEYS = ("frankfurt_000000_000294", "lindau_000001_000019")
LABEL_IDS = [[7, 33, 0, 9], [26, 29, 24, 11]]  # ego vehicle, parking and caravan do not count
TRAIN_IDS = [[0, 18, 255, 255], [13, 255, 11, 2]]


@pytest.fixture
def archive(tmp_path):
    """Both cities, without train ids, and the other files that lie there."""
    for key in KEYS:
        city = key.split("_")[0]
        photo(tmp_path / "leftImg8bit" / "val" / city / f"{key}_leftImg8bit.png", (2, 4))
        drawn = tmp_path / "gtFine" / "val" / city
        mask(drawn / f"{key}_gtFine_labelIds.png", LABEL_IDS)
        mask(drawn / f"{key}_gtFine_instanceIds.png", LABEL_IDS)
        photo(drawn / f"{key}_gtFine_color.png", (2, 4))
        (drawn / f"{key}_gtFine_polygons.json").write_text("{}")
    return tmp_path


@pytest.fixture
def made(archive):
    """With train ids beside them that differ from the label ids in one pixel."""
    for key in KEYS:
        drawn = archive / "gtFine" / "val" / key.split("_")[0]
        mask(drawn / f"{key}_gtFine_labelTrainIds.png", [[0, 18, 255, 255], [13, 255, 11, 12]])
    return archive


def test_the_archive_as_it_comes_has_the_nineteen_classes(archive):
    benchmark = cityscapes.load(str(archive))
    assert isinstance(benchmark, Benchmark)
    assert [(item.key, item.labels.tolist()) for item in benchmark.items()] == [
        (key, TRAIN_IDS) for key in KEYS
    ]
    assert (benchmark.background, benchmark.ignore, benchmark.official) == (None, 255, 500)


def test_train_ids_are_read_where_they_are(made):
    for item in cityscapes.load(str(made)).items():
        assert item.labels.tolist() == [[0, 18, 255, 255], [13, 255, 11, 12]]


def test_every_label_id_is_a_class_or_void():
    assert len(cityscapes.SCORED) == len(set(cityscapes.SCORED)) == 19
    trains = dict(zip(cityscapes.SCORED, range(19), strict=True))
    some = {7: 0, 8: 1, 11: 2, 13: 4, 17: 5, 19: 6, 23: 10, 24: 11, 28: 15, 31: 16, 33: 18}
    assert {label: trains[label] for label in some} == some


def test_names_are_those_of_the_literature_and_spoken_with_synonyms(archive):
    benchmark = cityscapes.load(str(archive))
    spoken = dict(zip(benchmark.classes, benchmark.names, strict=True))
    assert "road sign" in spoken["traffic sign"] and no_word_twice(benchmark)
    listed = published()["CityscapesDataset@cityscapes.py"]
    assert list(benchmark.classes) == listed


def test_other_splits_layouts_and_a_missing_city_are_refused(made, tmp_path_factory):
    with pytest.raises(ValueError, match="no split 'test' with masks; take train or val"):
        cityscapes.load(str(made), "test")
    with pytest.raises(ValueError, match=r"leftImg8bit.train has no folders of photos"):
        cityscapes.load(str(made), "train")
    with pytest.raises(ValueError, match=r"no gtFine in .*; give .* gtFine/ and leftImg8bit/"):
        cityscapes.load(str(tmp_path_factory.mktemp("else")))
    (made / f"gtFine/val/lindau/{KEYS[1]}_gtFine_labelTrainIds.png").unlink()
    with pytest.raises(ValueError, match=r"lindau_.*_gtFine_labelTrainIds\.png is missing"):
        cityscapes.load(str(made))


def test_what_is_known_is_scored(archive):
    known = [[0, 18, 5, 5], [13, 5, 11, 2]]
    assert score(cityscapes.load(str(archive)), known, known).miou == 1
    wrong = [[0, 18, 5, 5], [13, 5, 11, 11]]
    assert score(cityscapes.load(str(archive)), known, wrong).accuracy == 9 / 10
