"""PASCAL Context in small, as mmsegmentation's script leaves it in VOCdevkit/VOC2010."""

import pytest

from benchmarks.official import mask, no_word_twice, photo, published, score
from whatwhere.benchmarks import Benchmark, context, context59

MASK = [[0, 1, 59, 255], [3, 0, 59, 255]]


@pytest.fixture
def devkit(tmp_path):
    home = tmp_path / "VOCdevkit" / "VOC2010"
    for key in ("2008_000002", "2008_000003"):
        photo(home / "JPEGImages" / f"{key}.jpg", (2, 4))
        mask(home / "SegmentationClassContext" / f"{key}.png", MASK)
    lists = home / "ImageSets" / "SegmentationContext"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("2008_000002\n")
    (lists / "train.txt").write_text("2008_000003\n2008_000002\n")
    return tmp_path


def test_the_background_is_a_class_and_255_does_not_count(devkit):
    benchmark = context.load(str(devkit))
    (item,) = benchmark.items()
    assert isinstance(benchmark, Benchmark)
    assert (item.key, item.labels.tolist(), benchmark.ignore) == ("2008_000002", MASK, 255)
    assert (benchmark.name, benchmark.background, benchmark.official) == ("context", 0, 5104)


def test_without_the_background_ids_are_one_less(devkit):
    benchmark = context59.load(str(devkit))
    (item,) = benchmark.items()
    assert item.labels.tolist() == [[255, 0, 58, 255], [2, 255, 58, 255]]
    assert (benchmark.name, benchmark.background, len(benchmark.classes)) == ("context59", None, 59)
    assert benchmark.classes == context.load(str(devkit)).classes[1:]
    assert benchmark.names == context.load(str(devkit)).names[1:]


def test_names_are_those_of_the_literature_and_spoken_with_synonyms(devkit):
    benchmark = context.load(str(devkit))
    spoken = dict(zip(benchmark.classes, benchmark.names, strict=True))
    assert spoken["background"] == ("background",)
    assert spoken["pottedplant"] == ("potted plant", "houseplant")
    assert no_word_twice(benchmark)
    lists = published()
    assert list(benchmark.classes) == lists["PascalContextDataset@pascal_context.py"]


def test_the_root_may_be_the_devkit_its_parent_or_the_year(devkit):
    roots = (devkit, devkit / "VOCdevkit", devkit / "VOCdevkit" / "VOC2010")
    assert len({context.load(str(root)).files for root in roots}) == 1


def test_splits_are_lists(devkit):
    found = [key for key, _, _ in context.load(str(devkit), "train").files]
    assert found == ["2008_000003", "2008_000002"]
    with pytest.raises(ValueError, match=r"test\.txt; splits in .*SegmentationContext: train, val"):
        context.load(str(devkit), "test")


def test_a_devkit_of_another_year_is_refused(tmp_path):
    photo(tmp_path / "VOC2012" / "JPEGImages" / "a.jpg", (2, 4))
    with pytest.raises(ValueError, match=r"no SegmentationClassContext in .* or .*VOC2010; give"):
        context.load(str(tmp_path))


def test_what_is_known_is_scored(devkit):
    known = [[0, 1, 59, 7], [3, 0, 59, 7]]
    scores = score(context.load(str(devkit)), known)
    assert (scores.miou, scores.accuracy, len(scores.seen_in(least=1))) == (1, 1, 4)
    assert score(context59.load(str(devkit)), [[9, 0, 58, 9], [2, 9, 8, 9]]).accuracy == 3 / 4
