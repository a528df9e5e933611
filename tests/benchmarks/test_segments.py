"""Jaccard similarity against slow loops; who counts where several drew; BSDS and VOC's objects."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.test_matlab import truth
from whatwhere.benchmarks import bsds, voc_objects
from whatwhere.benchmarks.photos import Photos
from whatwhere.benchmarks.segments import Segments, best_ious, jaccard

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def slowly(truth, groups, ignore):
    found = {}
    pixels = [(i, j) for i in range(truth.shape[0]) for j in range(truth.shape[1])]
    pixels = [place for place in pixels if truth[place] != ignore]
    for segment in sorted({int(truth[place]) for place in pixels}):
        mine = {place for place in pixels if truth[place] == segment}
        ious = []
        for group in {groups[place] for place in pixels}:
            theirs = {place for place in pixels if groups[place] == group}
            ious.append(len(mine & theirs) / len(mine | theirs))
        found[segment] = max(ious)
    return found


@pytest.mark.parametrize("ignore", [7, -1])
def test_best_ious_agree_with_a_slow_loop(ignore):
    draw = np.random.default_rng(0)
    truth = draw.choice([2, 5, 7, 300], size=(9, 13))
    groups = draw.choice([0, 4, 1], size=(9, 13))
    segments, ious = best_ious(truth, groups, ignore=ignore)
    expected = slowly(truth, groups, ignore)
    assert segments.tolist() == list(expected)
    assert ious == pytest.approx(list(expected.values()))


def test_closed_forms():
    truth = np.repeat([[1, 1, 2, 2, 2, 9]], 4, axis=0)
    assert best_ious(truth, truth, ignore=9)[1].tolist() == [1, 1]
    assert best_ious(truth, 0 * truth, ignore=9)[1].tolist() == [0.4, 0.6]
    assert best_ious(truth, np.arange(24).reshape(4, 6), ignore=9)[1] == pytest.approx(
        [1 / 8, 1 / 12]
    )
    assert best_ious(np.full((2, 3), 9), np.zeros((2, 3), int), ignore=9)[1].tolist() == []


def test_names_of_groups_and_what_they_do_where_nothing_counts_do_not_matter():
    draw = np.random.default_rng(1)
    truth, groups = draw.integers(4, size=(2, 6, 11))
    other = np.where(truth == 3, 77, 50 - groups)
    ours, theirs = (best_ious(truth, g, ignore=3)[1] for g in (groups, other))
    assert ours.tolist() == theirs.tolist()


def drawn(*photos, home, ignore=-1, background=None):
    """A benchmark of photos whose maps are given, read from files that hold a number."""
    files = []
    for i, maps in enumerate(photos):
        height, width = maps[0].shape
        Image.new("RGB", (width, height), (i, 0, 0)).save(home / f"{i}.png")
        files.append((str(i), home / f"{i}.png", Path(str(i))))
    return Segments(
        "drawn",
        tuple(files),
        lambda file: list(photos[int(file.name)]),
        ignore=ignore,
        background=background,
    )


def halves(picture):
    """Left and right."""
    return np.repeat([np.arange(picture.width) * 2 // picture.width], picture.height, axis=0)


def test_segments_are_averaged_and_not_photos(tmp_path):
    """Of 4 segments 2 are halves (IoU 1), 2 are bands (IoU 1/3)."""
    left_right = np.repeat([[1, 1, 2, 2]], 2, axis=0)
    bands = np.array([[1] * 6, [2] * 6])
    one_more = np.ones((4, 2), int)
    found = jaccard(halves, drawn((left_right,), (bands,), (one_more,), home=tmp_path))
    assert found.mean == pytest.approx((1 + 1 + 1 / 3 + 1 / 3 + 1 / 2) / 5)
    assert (found.photos, found.photos_expected, len(found.ious)) == (3, 3, 5)


def test_of_several_people_the_one_with_the_highest_mean_counts_alone(tmp_path):
    bands = np.array([[1] * 4, [2] * 4])
    nearly = np.array([[1, 1, 2, 2], [1, 1, 2, 3]])  # ious 1, 3/4, 1/4
    one = jaccard(halves, drawn((bands, nearly), home=tmp_path))
    assert sorted(one.ious) == pytest.approx([1 / 4, 3 / 4, 1])
    other = jaccard(halves, drawn((nearly, bands), home=tmp_path))
    assert sorted(other.ious) == pytest.approx(sorted(one.ious))


def test_a_background_is_no_segment_but_its_pixels_count(tmp_path):
    """Half of the left group is background, which halves the IoU of what stands there."""
    truth = np.repeat([[0, 1, 9, 0]], 2, axis=0)
    benchmark = drawn((truth,), ignore=9, background=0, home=tmp_path)
    found = jaccard(halves, benchmark)
    assert found.mean == pytest.approx(1 / 2)
    assert found.mean_with_background == pytest.approx((1 / 2 + 1 / 2) / 2)
    said = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert (said["segments"], said["segments_with_background"]) == (1, 2)
    assert said["jaccard"] == pytest.approx(50) and said["partial"] is False
    assert "Jaccard 50.00 over 1 segments of 1 photos" in found.table()
    assert "2 in all" in found.table()


def test_classes_are_segments_too(tmp_path):
    """Of a benchmark of label maps: all that a photo shows of a class, in one piece or not."""
    Image.new("RGB", (6, 2)).save(tmp_path / "a.png")
    mask = np.array([[0, 0, 3, 255, 5, 3], [0, 0, 3, 5, 5, 3]], np.uint8)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    benchmark = Photos(
        "toy",
        (("a", tmp_path / "a.png", tmp_path / "mask.png"),),
        classes=("none", "cat", "dog"),
        names=((), ("cat",), ("dog",)),
        ids=(0, 3, 5),
        void=(255,),
        background=0,
        official=40,
    )
    found = jaccard(halves, benchmark)
    expected = slowly(mask.astype(int), np.repeat([[0, 0, 0, 1, 1, 1]], 2, axis=0), 255)
    assert found.ious == pytest.approx(list(expected.values()))
    assert found.background.tolist() == [True, False, False]
    assert found.table().startswith("PARTIAL SET: 1 photos of 40")


def test_groups_of_a_photo_that_was_shown_smaller_are_enlarged(tmp_path):
    mask = np.array([[1, 1, 2, 2, 2, 2]] * 4, np.uint8)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.new("RGB", (6, 4)).save(tmp_path / "photo.png")
    files = (("a", tmp_path / "photo.png", tmp_path / "mask.png"),)
    benchmark = Photos("x", files, ("a", "b"), (("a",), ("b",)), (1, 2), (0,))
    smaller = replace(benchmark, shown=lambda photo: photo.reduce(2))
    found = jaccard(lambda photo: np.array([[5, 6, 6]] * 2), smaller, progress=False)
    assert found.mean == 1


def test_nothing_to_find_has_no_value(tmp_path):
    found = jaccard(halves, drawn((np.full((2, 4), 9),), ignore=9, home=tmp_path))
    assert np.isnan(found.mean) and found.as_json()["jaccard"] is None
    assert "Jaccard - over 0 segments" in found.table()


def test_maps_must_have_their_photos_size(tmp_path):
    benchmark = drawn((np.ones((2, 4), int), np.ones((4, 2), int)), home=tmp_path)
    with pytest.raises(ValueError, match="is 4x2 and its photo 2x4"):
        jaccard(halves, benchmark)


@pytest.fixture
def berkeley(tmp_path):
    """BSDS500 with two photos in val and none elsewhere."""
    for folder in ("images/val", "groundTruth/val"):
        (tmp_path / "BSDS500" / "data" / folder).mkdir(parents=True)
    data = tmp_path / "BSDS500" / "data"
    for i in range(2):
        Image.new("RGB", (5, 3)).save(data / "images/val" / f"{i}.jpg")
        maps = [np.ones((3, 5), int), np.arange(1, 16).reshape(3, 5)][: i + 1]
        (data / "groundTruth/val" / f"{i}.mat").write_bytes(truth(*maps))
    return tmp_path


@pytest.mark.parametrize("inside", ["", "BSDS500", "BSDS500/data"])
def test_the_official_folders_of_bsds_are_found(berkeley, inside):
    benchmark = bsds.load(str(berkeley / inside))
    assert [len(item.maps) for item in benchmark.items()] == [1, 2]
    assert (len(benchmark), benchmark.official) == (2, 100)
    assert benchmark.read(benchmark.files[1][2])[1][2, 4] == 15


def test_a_folder_of_one_split_of_bsds_will_do(berkeley, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in ("images", "groundTruth"):
        (flat / name).symlink_to(berkeley / "BSDS500" / "data" / name / "val")
    assert len(bsds.load(str(flat), "test")) == 2


def test_what_bsds_lacks_is_said(berkeley):
    with pytest.raises(ValueError, match="no split 'vall'; take train, val, test"):
        bsds.load(str(berkeley), "vall")
    file = berkeley / "BSDS500" / "data" / "groundTruth" / "val" / "1.mat"
    file.write_bytes(truth())
    with pytest.raises(ValueError, match="holds no Segmentation"):
        list(bsds.load(str(berkeley)).items())
    file.unlink()
    with pytest.raises(ValueError, match=r"1.mat is missing \(1 of 2 are\)"):
        bsds.load(str(berkeley))


def test_objects_of_voc_are_segments(tmp_path):
    for name in ("JPEGImages", "SegmentationClass", "SegmentationObject", "ImageSets/Segmentation"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("a\n")
    Image.new("RGB", (4, 2)).save(tmp_path / "JPEGImages/a.jpg")
    objects = np.array([[1, 255, 2, 0], [1, 1, 2, 2]], np.uint8)
    Image.fromarray(np.minimum(objects, 1)).save(tmp_path / "SegmentationClass/a.png")
    with pytest.raises(ValueError, match=r"a.png is missing \(1 of 1 are\)"):
        voc_objects.load(str(tmp_path))
    Image.fromarray(objects).save(tmp_path / "SegmentationObject/a.png")
    benchmark = voc_objects.load(str(tmp_path))
    assert benchmark.official == 1449
    found = jaccard(halves, benchmark)
    assert found.ious == pytest.approx([1 / 4, 1, 3 / 4])
    assert found.background.tolist() == [True, False, False]


@pytest.mark.skipif(
    not (SHARED / "bsds500_val").is_dir(), reason="needs ../shared/data/bsds500_val"
)
def test_real_drawings_are_read():
    benchmark = bsds.load(str(SHARED / "bsds500_val"))
    item = next(benchmark.items([7]))
    assert len(benchmark) == 60 and len(item.maps) >= 4
    assert all(drawn.min() == 1 and drawn.max() > 1 for drawn in item.maps)
    first = item.maps[0]
    assert best_ious(first, first, ignore=-1)[1].tolist() == [1.0] * first.max()
