"""What the files of a benchmark must look like, and what a user is told when they do not."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from whatwhere.benchmarks.photos import (
    Photos,
    home_of,
    pair,
    pair_by_folder,
    relabel,
    stems_in,
)


def save(folder, name, pixels):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)


def benchmark(tmp_path, mask, photo_size=(4, 6), ids=(3, 7), void=(255,)):
    save(tmp_path / "photos", "a.png", np.full((*photo_size, 3), 90, np.uint8))
    save(tmp_path / "masks", "a.png", mask)
    files = pair(tmp_path / "photos", tmp_path / "masks", stems=None)
    names = tuple((f"class {i}",) for i in ids)
    return Photos("made up", files, tuple(n[0] for n in names), names, ids, void)


def test_relabelling_agrees_with_a_loop_over_pixels():
    draw = np.random.default_rng(0)
    ids, void = (12, 3, 400), (0, 255)
    values = draw.choice([*ids, *void], size=(7, 9))
    labels = relabel(values, ids=ids, void=void, ignore=77)
    for place in np.ndindex(7, 9):
        value = values[place]
        assert labels[place] == (77 if value in void else ids.index(value))


@pytest.mark.parametrize("value", [-1, 4, 100_000])
def test_a_value_that_is_no_class_is_refused(value):
    with pytest.raises(ValueError, match=f"pixel values {value} are no class"):
        relabel(np.array([[3, value]]), ids=(3, 5), void=(255,), ignore=255)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_masks_of_every_depth_give_the_same_labels(tmp_path, kind):
    mask = np.array([[3, 7, 7], [255, 3, 7]], kind)
    (item,) = benchmark(tmp_path, mask, photo_size=(2, 3)).items()
    assert item.labels.tolist() == [[0, 1, 1], [255, 0, 1]]
    assert (item.key, item.image.size, item.image.mode) == ("a", (3, 2), "RGB")


def test_a_grey_photo_comes_out_in_colour(tmp_path):
    save(tmp_path / "photos", "a.png", np.full((2, 3), 90, np.uint8))
    save(tmp_path / "masks", "a.png", np.full((2, 3), 7, np.uint8))
    files = pair(tmp_path / "photos", tmp_path / "masks", stems=None)
    (item,) = Photos("grey", files, ("x",), (("x",),), (7,), ()).items()
    assert item.image.getpixel((2, 1)) == (90, 90, 90)


def test_more_than_255_classes_ignore_a_value_beyond_them():
    few, many = (tuple(map(str, range(n))) for n in (255, 256))
    for classes, ignore in ((few, 255), (many, 65535)):
        ids = tuple(range(len(classes)))
        assert Photos("", (), classes, (), ids, ()).ignore == ignore


def test_a_mask_of_colours_is_refused_by_name(tmp_path):
    coloured = benchmark(tmp_path, np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a\.png: its mode is RGB"):
        next(coloured.items())


def test_a_mask_of_another_size_is_refused_by_name(tmp_path):
    turned = benchmark(tmp_path, np.full((6, 4), 7, np.uint8))
    with pytest.raises(ValueError, match=r"a\.png is 6x4 and its photo 4x6"):
        next(turned.items())


def test_an_unknown_value_is_refused_by_the_name_of_its_mask(tmp_path):
    with pytest.raises(ValueError, match=r"a\.png: pixel values 9 are no class"):
        next(benchmark(tmp_path, np.full((4, 6), 9, np.uint8)).items())


def test_a_missing_mask_is_named_before_anything_is_scored(tmp_path):
    grey = np.zeros((2, 3), np.uint8)
    for name in ("a.png", "b.png"):
        save(tmp_path / "images", name, grey)
    save(tmp_path / "masks", "a.png", grey)
    with pytest.raises(ValueError, match=r"masks.b\.png is missing \(1 of 2 are\)"):
        pair(tmp_path / "images", tmp_path / "masks", stems=None)
    ((key, photo, mask),) = pair(tmp_path / "images", tmp_path / "masks", stems=["a"])
    assert (key, photo.parent.name, mask.parent.name) == ("a", "images", "masks")


def test_a_missing_photo_a_repeated_one_and_none_are_refused(tmp_path):
    photos, masks = tmp_path / "images", tmp_path / "masks"
    save(masks, "a.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match="images is missing"):
        pair(photos, masks, stems=None)
    photos.mkdir()
    with pytest.raises(ValueError, match=r"images.a\.jpg is missing"):
        pair(photos, masks, stems=["a"])
    save(photos, "a.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match="listed twice"):
        pair(photos, masks, stems=["a", "a"])
    with pytest.raises(ValueError, match="no photos to score"):
        pair(photos, masks, stems=[])


def test_two_photos_of_one_name_are_refused(tmp_path):
    for name in ("a.png", "a.bmp"):
        save(tmp_path / "images", name, np.zeros((2, 3), np.uint8))
    save(tmp_path / "masks", "a.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a\.png have one name"):
        pair(tmp_path / "images", tmp_path / "masks", stems=None)


def test_other_files_in_the_folders_do_not_matter(tmp_path):
    for folder in ("images", "masks"):
        save(tmp_path / folder, "a.png", np.zeros((2, 3), np.uint8))
        (tmp_path / folder / "notes.md").write_text("by hand")
        (tmp_path / folder / "._a.png").write_bytes(b"")
    assert len(pair(tmp_path / "images", tmp_path / "masks", stems=None)) == 1


def test_a_split_file_may_have_blank_lines(tmp_path):
    (tmp_path / "some.txt").write_text("2007_000504\n\n  photo two \n")
    assert stems_in(tmp_path / "some.txt") == ("2007_000504", "photo two")


def test_a_mask_of_one_bit_has_two_classes(tmp_path):
    mask = np.array([[True, False, False], [True, True, False]])
    (item,) = benchmark(tmp_path, mask, photo_size=(2, 3), ids=(0, 1)).items()
    assert item.labels.tolist() == [[1, 0, 0], [1, 1, 0]]


def test_a_damaged_mask_is_refused_by_name(tmp_path):
    broken = benchmark(tmp_path, np.full((4, 6), 7, np.uint8))
    (tmp_path / "masks" / "a.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ValueError, match=r"cannot read .*masks.a\.png as a picture"):
        next(broken.items())


def test_values_may_be_made_of_several_colours(tmp_path):
    mask = np.zeros((4, 6, 3), np.uint8)
    mask[1, 2] = (3, 0, 9)
    mask[:, 5] = (0, 1, 9)
    coloured = replace(
        benchmark(tmp_path, mask, ids=(0, 3, 256)),
        values=lambda file: np.asarray(file).astype(np.int64)[..., :2] @ np.array([1, 256]),
    )
    (item,) = coloured.items()
    assert item.labels[1].tolist() == [0, 0, 1, 0, 0, 2]


def test_a_photo_may_be_shown_smaller_than_its_mask_but_not_stored_so(tmp_path):
    full = benchmark(tmp_path, np.full((4, 6), 7, np.uint8))
    (item,) = replace(full, shown=lambda photo: photo.reduce(2)).items()
    assert (item.image.size, item.labels.shape) == ((3, 2), (4, 6))
    other = replace(benchmark(tmp_path, np.full((2, 3), 7, np.uint8)), shown=lambda p: p.reduce(2))
    with pytest.raises(ValueError, match=r"a\.png is 2x3 and its photo 4x6"):
        next(other.items())


def test_endings_may_be_part_of_a_name_and_other_files_stay_out(tmp_path):
    for name in ("b_ids.png", "a_ids.png", "a_color.png", "_ids.png"):
        save(tmp_path / "masks", name, np.zeros((2, 3), np.uint8))
    for name in ("a_Left.PNG", "b_left.png", "b_right.png"):
        save(tmp_path / "photos", name, np.zeros((2, 3), np.uint8))
    found = pair(
        tmp_path / "photos",
        tmp_path / "masks",
        stems=None,
        endings=("_ids.png",),
        photo_endings=("_left.png",),
    )
    assert [(key, photo.name, mask.name) for key, photo, mask in found] == [
        ("a", "a_Left.PNG", "a_ids.png"),
        ("b", "b_left.png", "b_ids.png"),
    ]


def test_folders_of_photos_meet_the_masks_in_folders_of_the_same_name(tmp_path):
    for folder, name in (("ulm", "b.png"), ("aachen", "c.png")):
        for top in ("photos", "masks"):
            save(tmp_path / top / folder, name, np.zeros((2, 3), np.uint8))
    found = pair_by_folder(tmp_path / "photos", tmp_path / "masks", endings=(".png",))
    assert [(key, photo.parent.name) for key, photo, _ in found] == [("c", "aachen"), ("b", "ulm")]
    save(tmp_path / "photos" / "bonn", "d.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"masks.bonn is missing"):
        pair_by_folder(tmp_path / "photos", tmp_path / "masks", endings=(".png",))
    with pytest.raises(ValueError, match="ulm has no folders of photos"):
        pair_by_folder(tmp_path / "photos" / "ulm", tmp_path / "masks", endings=(".png",))


def test_the_official_folder_is_the_root_or_inside_it_and_what_was_looked_for_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"no images in .* or .*set; give .* images/ and masks/"):
        home_of(str(tmp_path), "set", holds=("images", "masks"))
    (tmp_path / "set" / "images").mkdir(parents=True)
    found = {home_of(str(path), "set", holds=("images",)) for path in (tmp_path, tmp_path / "set")}
    assert found == {tmp_path / "set"}
