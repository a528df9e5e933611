"""ADEChallengeData2016 in small."""

import pytest

from benchmarks.official import mask, no_word_twice, photo, published, score
from whatwhere.benchmarks import Benchmark, ade20k


@pytest.fixture
def home(tmp_path):
    top = tmp_path / "ADEChallengeData2016"
    for folder, key, pixels in (
        ("validation", "ADE_val_00000001", [[0, 1, 150], [0, 2, 150]]),
        ("training", "ADE_train_00000001", [[1, 1, 0, 3]]),
    ):
        photo(top / "images" / folder / f"{key}.jpg", (len(pixels), len(pixels[0])))
        mask(top / "annotations" / folder / f"{key}.png", pixels)
    return tmp_path


def test_zero_does_not_count_and_ids_are_one_less(home):
    benchmark = ade20k.load(str(home))
    (item,) = benchmark.items()
    assert isinstance(benchmark, Benchmark)
    assert item.key == "ADE_val_00000001"
    assert item.labels.tolist() == [[255, 0, 149], [255, 1, 149]]
    assert (benchmark.background, benchmark.ignore, benchmark.official) == (None, 255, 2000)


def test_train_is_the_folder_training(home):
    benchmark = ade20k.load(str(home / "ADEChallengeData2016"), "train")
    assert [item.labels.tolist() for item in benchmark.items()] == [[[0, 0, 255, 2]]]
    assert benchmark.official == 20210


def test_names_are_those_of_the_literature_and_spoken_with_synonyms(home):
    benchmark = ade20k.load(str(home))
    spoken = dict(zip(benchmark.classes, benchmark.names, strict=True))
    assert spoken["sofa"] == ("sofa", "couch") and no_word_twice(benchmark)
    listed = published()["ADE20KDataset@ade.py"]
    assert list(benchmark.classes) == [name.strip() for name in listed]  # "bed "


def test_other_splits_and_other_layouts_are_refused(home, tmp_path_factory):
    with pytest.raises(ValueError, match="no split 'test' with masks; take train or val"):
        ade20k.load(str(home), "test")
    elsewhere = tmp_path_factory.mktemp("else")
    with pytest.raises(ValueError, match=r"no annotations in .* give the folder that holds annot"):
        ade20k.load(str(elsewhere))
    (home / "ADEChallengeData2016/annotations/validation/ADE_val_00000001.png").unlink()
    with pytest.raises(ValueError, match=r"ADE_val_00000001\.png is missing"):
        ade20k.load(str(home))


def test_what_is_known_is_scored(home):
    scores = score(ade20k.load(str(home)), [[7, 0, 149], [7, 1, 149]])
    assert (scores.miou, len(scores.seen_in(least=1))) == (1, 3)
    assert scores.banner is not None and "1 photos of 2000" in scores.banner
