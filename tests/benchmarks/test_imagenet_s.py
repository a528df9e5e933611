"""ImageNet-S in small: all folders of a subset, pictures in few."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.official import no_word_twice, photo, score
from whatwhere.benchmarks import Benchmark, imagenet_s
from whatwhere.benchmarks.photos import names_in

KNOWN = names_in(Path(imagenet_s.__file__).with_name("imagenet_s_names.txt"))
FIFTY = sorted(KNOWN)[1::18][:50]


def coloured(path, pixels):
    """A mask with the class in red and green; blue means nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = np.array(pixels)
    colours = np.stack([ids % 256, ids // 256, np.full_like(ids, 9)], axis=-1)
    Image.fromarray(colours.astype(np.uint8)).save(path)


def subset(home, folders, pixels, split="validation"):
    """A photo of two by three pixels for each class, with these masks or none of the class."""
    for folder in folders:
        drawn = pixels.get(folder, [[0, 0, 0], [0, 0, 0]])
        shape = np.array(drawn).shape
        photo(home / split / folder / f"{folder}_1.JPEG", shape)
        coloured(home / f"{split}-segmentation" / folder / f"{folder}_1.png", drawn)
    return str(home)


@pytest.fixture
def fifty(tmp_path):
    return subset(tmp_path, FIFTY, {FIFTY[0]: [[0, 1, 50], [1000, 1, 1]]})


def test_classes_count_from_one_and_1000_does_not_count(fifty):
    benchmark = imagenet_s.load(fifty)
    first, *others = benchmark.items()
    assert isinstance(benchmark, Benchmark)
    assert (first.key, first.labels.tolist()) == (f"{FIFTY[0]}_1", [[0, 1, 50], [255, 1, 1]])
    assert len(others) == 49 and not any(item.labels.any() for item in others)
    assert (benchmark.name, benchmark.background, benchmark.official) == ("imagenet_s_50", 0, 752)


def test_classes_are_numbered_by_the_order_of_their_ids(fifty):
    benchmark = imagenet_s.load(fifty)
    assert benchmark.names == (("background",), *(KNOWN[folder] for folder in FIFTY))
    assert benchmark.classes[1:] == tuple(KNOWN[folder][0] for folder in FIFTY)


def test_of_many_classes_the_green_counts_256(tmp_path):
    folders = sorted(KNOWN)[:300]
    benchmark = imagenet_s.load(subset(tmp_path, folders, {folders[0]: [[255, 256, 300, 1000]]}))
    first = next(benchmark.items())
    assert first.labels.tolist() == [[255, 256, 300, 65535]]
    assert (benchmark.name, benchmark.ignore, len(benchmark.classes)) == (
        "imagenet_s_300",
        65535,
        301,
    )


def test_train_is_the_folder_of_masked_training_photos(tmp_path):
    benchmark = imagenet_s.load(subset(tmp_path, FIFTY, {}, split="train-semi"), "train")
    assert (len(benchmark), benchmark.official) == (50, 500)


def test_every_class_has_a_name_of_its_own(fifty):
    assert len(KNOWN) == 919 and all(KNOWN.values())
    assert list(KNOWN) == sorted(KNOWN)
    said = [name.lower() for names in KNOWN.values() for name in names]
    assert len(said) == len(set(said))
    assert KNOWN["n01443537"] == ("goldfish",) and KNOWN["n03126707"] == ("construction crane",)
    assert no_word_twice(imagenet_s.load(fifty))


def test_a_large_photo_is_shown_smaller_and_its_map_enlarged(tmp_path):
    drawn = np.zeros((900, 1200), int)
    drawn[:, 600:] = 7
    benchmark = imagenet_s.load(subset(tmp_path, FIFTY, {FIFTY[0]: drawn}))
    first = next(benchmark.items([0]))
    assert (first.image.size, first.labels.shape) == ((1000, 750), (900, 1200))
    known = np.zeros((750, 1000), int)
    known[:, 500:] = 7
    scores = score(benchmark, known, *[np.zeros((2, 3), int)] * 49)
    assert (scores.miou, scores.counts[7, 7]) == (1, 900 * 600)


def test_what_is_known_is_scored(fifty):
    nothing = [np.zeros((2, 3), int)] * 49
    scores = score(imagenet_s.load(fifty), [[0, 1, 50], [3, 1, 1]], *nothing)
    assert (scores.miou, len(scores.seen_in(least=1))) == (1, 3)
    wrong = score(imagenet_s.load(fifty), [[0, 1, 1], [3, 1, 1]], *nothing)
    assert wrong.iou[1] == 3 / 4 and wrong.iou[50] == 0


def test_folders_that_would_shift_the_numbers_are_refused(fifty):
    photos = Path(fifty) / "validation"
    (photos / "n99999999").mkdir()
    with pytest.raises(ValueError, match=r"n99999999 is no class of ImageNet-S"):
        imagenet_s.load(fifty)
    (photos / "n99999999").rmdir()
    (photos / FIFTY[3] / f"{FIFTY[3]}_1.JPEG").unlink()
    (photos / FIFTY[3]).rmdir()
    with pytest.raises(ValueError, match="has 49 classes; give all 50, 300 or 919"):
        imagenet_s.load(fifty)


def test_other_splits_layouts_and_masks_are_refused(fifty, tmp_path_factory):
    with pytest.raises(ValueError, match="no split 'test' with masks; take train or val"):
        imagenet_s.load(fifty, "test")
    with pytest.raises(ValueError, match=r"no validation-segmentation in .* give the folder that"):
        imagenet_s.load(str(tmp_path_factory.mktemp("else")))
    grey = Path(fifty) / "validation-segmentation" / FIFTY[0] / f"{FIFTY[0]}_1.png"
    Image.new("L", (3, 2)).save(grey)
    with pytest.raises(ValueError, match=r"_1\.png: its mode is L; masks of ImageNet-S are RGB"):
        next(imagenet_s.load(fifty).items())
