"""COCO-Object on the archive of masks that COCO-Stuff is read from too."""

import numpy as np
import pytest

from benchmarks.official import mask, no_word_twice, photo, published, score
from whatwhere.benchmarks import Benchmark, coco_object

STORED = [[0, 12, 89, 91], [181, 255, 10, 10]]
IDS = [[1, 12, 80, 0], [0, 0, 11, 11]]


@pytest.fixture
def home(tmp_path):
    """With the masks that two converters leave beside those of the archive."""
    photo(tmp_path / "images" / "val2017" / "000000000139.jpg", (2, 4))
    masks = tmp_path / "annotations" / "val2017"
    mask(masks / "000000000139.png", STORED)
    mask(masks / "000000000139_labelTrainIds.png", np.full((2, 4), 7))
    mask(masks / "000000000139_instanceTrainIds.png", np.full((2, 4), 7))
    return tmp_path


def test_what_is_no_thing_is_background_and_every_pixel_counts(home):
    benchmark = coco_object.load(str(home))
    (item,) = benchmark.items()
    assert isinstance(benchmark, Benchmark)
    assert (item.key, item.labels.tolist()) == ("000000000139", IDS)
    assert (benchmark.background, benchmark.official) == (0, 5000)


def test_ids_and_names_are_those_of_the_literature(home):
    lists = published()
    benchmark = coco_object.load(str(home))
    assert list(benchmark.classes) == lists["COCOObjectDataset@coco_object.py"]
    remap = {int(stored): new for stored, new in lists["coco_stuff_clsID_to_trID"].items()}
    things = {stored: new + 1 for stored, new in remap.items() if new < 80}
    assert {stored: new for new, stored in enumerate(benchmark.ids) if new} == things


def test_names_are_spoken_with_synonyms(home):
    benchmark = coco_object.load(str(home))
    spoken = dict(zip(benchmark.classes, benchmark.names, strict=True))
    assert spoken["background"] == ("background",)
    assert spoken["couch"] == ("couch", "sofa") and no_word_twice(benchmark)


def test_an_id_that_coco_does_not_use_is_refused(home):
    mask(home / "annotations" / "val2017" / "000000000139.png", [[0, 11, 90, 255]] * 2)
    with pytest.raises(ValueError, match=r"139\.png: pixel values 11, 90 are no class"):
        next(coco_object.load(str(home)).items())


def test_other_splits_and_other_layouts_are_refused(home, tmp_path_factory):
    with pytest.raises(ValueError, match="no split 'test' with masks; take train or val"):
        coco_object.load(str(home), "test")
    with pytest.raises(ValueError, match=r"neither .*images.val2017 nor .*val2017; give the"):
        coco_object.load(str(tmp_path_factory.mktemp("else")))


def test_what_is_known_is_scored(home):
    scores = score(coco_object.load(str(home)), IDS)
    assert (scores.miou, scores.counts.sum(), scores.counts[0, 0]) == (1, 8, 3)
