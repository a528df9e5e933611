"""COCO 2017 in small, as its archives come and as mmsegmentation arranges it."""

import pytest

from benchmarks.official import mask, no_word_twice, photo, published, score
from whatwhere.benchmarks import Benchmark, coco_stuff

STORED = [[0, 12, 89, 91], [181, 255, 10, 10]]
IDS = [[0, 11, 79, 80], [170, 255, 10, 10]]


@pytest.fixture(params=[("images/val2017", "annotations"), ("val2017", "stuffthingmaps")])
def home(request, tmp_path):
    photos, masks = request.param
    photo(tmp_path / photos / "000000000139.jpg", (2, 4))
    mask(tmp_path / masks / "val2017" / "000000000139.png", STORED)
    return tmp_path


def train_ids(home, pixels):
    (stored,) = home.glob("*/val2017/*139.png")
    mask(stored.with_name("000000000139_labelTrainIds.png"), pixels)


def test_the_archives_ids_become_171_without_gaps(home):
    benchmark = coco_stuff.load(str(home))
    (item,) = benchmark.items()
    assert isinstance(benchmark, Benchmark)
    assert (item.key, item.labels.tolist()) == ("000000000139", IDS)
    assert (benchmark.background, benchmark.ignore, benchmark.official) == (None, 255, 5000)
    assert len(benchmark.ids) == len(benchmark.classes) == 171


def test_train_ids_are_read_where_they_are(home):
    train_ids(home, [[170, 0, 79, 80], [1, 255, 10, 10]])
    (item,) = coco_stuff.load(str(home)).items()
    assert item.labels.tolist() == [[170, 0, 79, 80], [1, 255, 10, 10]]


def test_ids_and_names_are_those_of_the_literature(home):
    lists = published()
    benchmark = coco_stuff.load(str(home))
    assert list(benchmark.classes) == lists["COCOStuffDataset@coco_stuff.py"]
    remap = {int(stored): new for stored, new in lists["coco_stuff_clsID_to_trID"].items()}
    assert {stored: new for new, stored in enumerate(benchmark.ids)} | {255: 255} == remap


def test_names_are_spoken_without_words_of_bookkeeping(home):
    benchmark = coco_stuff.load(str(home))
    spoken = dict(zip(benchmark.classes, benchmark.names, strict=True))
    assert (spoken["wall-brick"], spoken["sky-other"]) == (("brick wall",), ("sky",))
    assert no_word_twice(benchmark)


def test_unused_ids_other_splits_and_other_layouts_are_refused(home, tmp_path_factory):
    with pytest.raises(ValueError, match="no split 'test' with masks; take train or val"):
        coco_stuff.load(str(home), "test")
    with pytest.raises(ValueError, match=r"neither .*images.train2017 nor .*train2017; give"):
        coco_stuff.load(str(home), "train")
    with pytest.raises(ValueError, match=r"neither .*images.val2017 nor .*val2017; give the"):
        coco_stuff.load(str(tmp_path_factory.mktemp("else")))
    train_ids(home, [[171, 0, 0, 0]] * 2)
    with pytest.raises(ValueError, match=r"labelTrainIds\.png: pixel values 171 are no class"):
        next(coco_stuff.load(str(home)).items())


def test_a_missing_mask_is_named(home):
    (photos,) = {path.parent for path in home.rglob("*.jpg")}
    photo(photos / "000000000285.jpg", (2, 4))
    with pytest.raises(ValueError, match=r"000000000285\.png is missing \(1 of 2 are\)"):
        coco_stuff.load(str(home))


def test_what_is_known_is_scored(home):
    known = [[0, 11, 79, 80], [170, 3, 10, 10]]
    scores = score(coco_stuff.load(str(home)), known)
    assert (scores.miou, len(scores.seen_in(least=1)), scores.counts.sum()) == (1, 6, 7)
