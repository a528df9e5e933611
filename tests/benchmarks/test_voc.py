"""The layout of VOCdevkit, made up in small and as it is on disk."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.official import published
from whatwhere.benchmarks import Benchmark, voc, voc20
from whatwhere.benchmarks.score import evaluate

SHARED = Path(__file__).parents[2].parent / "shared"
MASK = np.array([[0, 0, 8, 8, 255], [0, 20, 20, 1, 255], [0, 0, 0, 0, 0]], np.uint8)


def devkit(parent):
    """Two photos in VOCdevkit/VOC2012; a split file lists one of them."""
    home = parent / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (home / folder).mkdir(parents=True)
    for key, mask in (("2007_000033", MASK), ("2007_000042", np.flip(MASK))):
        Image.new("RGB", (5, 3)).save(home / "JPEGImages" / f"{key}.jpg")
        coloured = Image.fromarray(mask).convert("P")
        coloured.putpalette(list(range(256)) * 3)
        coloured.putdata(mask.ravel().tolist())
        coloured.save(home / "SegmentationClass" / f"{key}.png")
    lists = home / "ImageSets" / "Segmentation"
    (lists / "val.txt").write_text("2007_000033\n")
    (lists / "mine.txt").write_text("2007_000042\n2007_000033\n")
    return home


def data(folder):
    path = SHARED / "data" / folder
    if not path.is_dir():
        pytest.skip(f"no real photos: {path} is missing")
    return str(path)


def test_ids_are_the_official_ones_and_void_is_ignored(tmp_path):
    devkit(tmp_path)
    benchmark = voc.load(str(tmp_path), "val")
    (item,) = benchmark.items()
    assert item.key == "2007_000033"
    assert np.array_equal(item.labels, MASK)
    assert benchmark.ignore == 255
    assert benchmark.background == 0
    assert isinstance(benchmark, Benchmark)


def test_voc20_has_no_background_and_ids_one_less(tmp_path):
    devkit(tmp_path)
    benchmark = voc20.load(str(tmp_path), "val")
    (item,) = benchmark.items()
    expected = [[255, 255, 7, 7, 255], [255, 19, 19, 0, 255], [255] * 5]
    assert item.labels.tolist() == expected
    assert (len(benchmark.classes), benchmark.background) == (20, None)
    assert benchmark.classes == voc.load(str(tmp_path), "val").classes[1:]


def test_the_root_may_be_the_devkit_its_parent_or_the_year(tmp_path):
    home = devkit(tmp_path)
    found = {voc.load(str(root), "val").files for root in (tmp_path, home.parent, home)}
    assert len(found) == 1


def test_a_split_is_any_list_in_its_order_by_name_or_path(tmp_path):
    home = devkit(tmp_path)
    by_name = voc.load(str(home), "mine")
    by_path = voc.load(str(home), str(home / "ImageSets/Segmentation/mine.txt"))
    assert [key for key, _, _ in by_name.files] == ["2007_000042", "2007_000033"]
    assert by_name.files == by_path.files


def test_items_can_be_asked_for_by_index(tmp_path):
    devkit(tmp_path)
    benchmark = voc.load(str(tmp_path), "mine")
    assert [item.key for item in benchmark.items([1])] == ["2007_000033"]


@pytest.mark.parametrize(
    ("split", "official"), [("val", 1449), ("train", 1464), ("trainval", 2913), ("mine", 1449)]
)
def test_official_sizes(tmp_path, split, official):
    lists = devkit(tmp_path) / "ImageSets" / "Segmentation"
    (lists / f"{split}.txt").write_text("2007_000033\n")
    assert voc.load(str(tmp_path), split).official == official
    assert voc20.load(str(tmp_path), split).official == official


def test_names_are_official_in_tables_and_spoken_for_text(tmp_path):
    devkit(tmp_path)
    benchmark = voc.load(str(tmp_path), "val")
    spoken = dict(zip(benchmark.classes, benchmark.names, strict=True))
    assert spoken["background"] == ("background",)
    assert spoken["diningtable"] == ("dining table", "table")
    assert spoken["aeroplane"] == ("aeroplane", "airplane", "plane")
    assert spoken["sofa"] == ("sofa", "couch")
    every = [name for names in benchmark.names for name in names]
    assert len(every) == len(set(every))


def test_official_names_are_those_of_the_literature(tmp_path):
    lists = published()
    devkit(tmp_path)
    assert list(voc.load(str(tmp_path)).classes) == lists["PascalVOCDataset@voc.py"]
    assert list(voc20.load(str(tmp_path)).classes) == lists["PascalVOCDataset20@voc.py"]


def test_a_missing_folder_and_a_missing_split_say_what_is_there(tmp_path):
    with pytest.raises(ValueError, match="no JPEGImages in"):
        voc.load(str(tmp_path), "val")
    devkit(tmp_path)
    with pytest.raises(ValueError, match=r"train\.txt; splits in .*: mine, val"):
        voc.load(str(tmp_path), "train")


def test_a_missing_mask_is_named(tmp_path):
    home = devkit(tmp_path)
    (home / "SegmentationClass" / "2007_000033.png").unlink()
    with pytest.raises(ValueError, match=r"2007_000033\.png is missing"):
        voc.load(str(tmp_path), "val")


def test_real_photos_are_all_counted_and_the_set_is_partial():
    """Everything is called background: known shares, and each class's photos as in the files."""
    benchmark = voc.load(data("voc_dev"), "dev")
    scores = evaluate(lambda photo: np.zeros(photo.size[::-1], int), benchmark, progress=False)
    expected, pixels = Counter(), np.zeros(256, int)
    for _, _, mask in benchmark.files:
        with Image.open(mask) as file:
            histogram = np.array(file.histogram()[:256])
        pixels += histogram
        expected.update(np.flatnonzero(histogram[:21]).tolist())
    assert scores.photos.tolist() == [expected[i] for i in range(21)]
    assert scores.iou[0] == pytest.approx(pixels[0] / pixels[:21].sum())
    assert scores.accuracy == scores.iou[0]
    assert scores.banner is not None
    assert "424 photos of 1449" in scores.banner
    assert scores.as_json()["per_class"]["aeroplane"] is None


def test_real_photos_without_their_background_cover_less():
    """The same pixels count but those of the background, for the first photos of the set."""
    root = data("voc_dev")
    with_it, without = voc.load(root, "dev"), voc20.load(root, "dev")
    for one, other in zip(with_it.items(range(6)), without.items(range(6)), strict=True):
        assert one.key == other.key
        assert np.array_equal(one.labels != 255, (other.labels != 255) | (one.labels == 0))
