"""Label maps survive files, and overlays show what the arrays say."""

import json

import numpy as np
import pytest
from PIL import Image

from whatwhere.segmenter.segmentation import LEGEND, Segmentation, colors, palette


def found(names, height=20, width=33, confidence=1.0):
    draw = np.random.default_rng(0)
    labels = draw.integers(0, len(names), (height, width))
    photo = Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))
    sure = np.full((height, width), confidence, np.float32)
    return Segmentation(labels, sure, tuple(names), photo)


def two_halves(confidence=1.0, names=("dog", "grass"), width=700):
    labels = np.zeros((40, width), np.int64)
    labels[:, width // 2 :] = 1
    sure = np.full(labels.shape, confidence, np.float32)
    return Segmentation(labels, sure, names, Image.new("RGB", (width, 40), (90, 120, 60)))


@pytest.mark.parametrize("count", [1, 2, 256, 257, 700])
def test_a_saved_label_map_holds_the_rows_and_the_names(tmp_path, count):
    here = found([f"näme {i}" for i in range(count)])
    path = here.save(tmp_path / "new" / "labels.png")
    with Image.open(path) as file:
        assert np.array_equal(np.asarray(file), here.labels)
        assert json.loads(file.info["names"]) == list(here.names)
        if count <= 256:
            shown = np.asarray(file.convert("RGB"))
            assert np.array_equal(shown, palette(here.names)[here.labels])


def test_only_png_keeps_labels():
    with pytest.raises(ValueError, match=r"labels\.jpg"):
        found("ab").save("labels.jpg")


def test_a_mask_is_where_the_name_is():
    here = found("abc")
    assert np.array_equal(here.mask("c"), here.labels == 2)
    with pytest.raises(ValueError, match="'d' was not asked for, only a, b, c"):
        here.mask("d")


def test_shares_add_up_and_the_largest_comes_first():
    labels = np.array([[2, 2, 0, 2, 0]])
    here = Segmentation(labels, np.ones((1, 5)), ("a", "b", "c"), Image.new("RGB", (5, 1)))
    assert list(here.shares().items()) == [("c", 0.6), ("a", 0.4), ("b", 0.0)]


def test_the_overlay_tints_each_half_with_its_own_colour():
    here = two_halves()
    overlay = np.asarray(here.overlay(strength=0.5))
    photo = np.array([90, 120, 60])
    for x, name in ((100, 0), (600, 1)):
        expected = np.rint((photo + palette(here.names)[name].astype(float)) / 2)
        assert np.abs(overlay[20, x] - expected).max() <= 1
    assert overlay[20, 350].tolist() == [255, 255, 255]


def test_doubtful_pixels_keep_more_of_the_photo():
    photo = np.array([90, 120, 60])
    away = [
        np.abs(np.asarray(two_halves(c).overlay())[20, 100].astype(int) - photo).sum()
        for c in (0.5, 0.7, 1.0)
    ]
    assert 0 < away[0] < away[1] < away[2]


def test_background_is_only_greyed():
    grey = palette(("background", "dog"))[0]
    assert len(set(grey.tolist())) == 1
    assert np.array_equal(palette(("background", "dog"))[1], colors(2)[1])


@pytest.mark.parametrize("width", [1, 30, 120, 2000])
def test_the_legend_is_never_cut(width):
    """Ink in the last columns and rows would be a letter that runs out of the picture."""
    names = ("a rather long name for a thing that is seldom seen", "grass")
    overlay = np.asarray(two_halves(names=names, width=width).overlay())
    assert overlay.shape[1] >= width
    legend = overlay[40:]
    assert (legend < 128).any()
    assert (legend[:, -3:] == 255).all() and (legend[-2:] == 255).all()
    assert (overlay[:40, :width] != 255).any()


def test_a_legend_of_very_many_names_ends():
    names = [f"name {i}" for i in range(4 * LEGEND)]
    few, many = (found(names[:n], height=40, width=400).overlay().height for n in (LEGEND, None))
    assert many < 1.5 * few


def test_a_photo_of_one_name_has_a_whole_legend():
    here = Segmentation(
        np.zeros((9, 14), np.int64), np.ones((9, 14)), ("dog",), Image.new("RGB", (14, 9))
    )
    assert here.overlay().height > 20


@pytest.mark.parametrize(("count", "apart"), [(8, 40), (21, 25), (150, 5)])
def test_colours_look_unlike_each_other(count, apart):
    """In bytes of red, green and blue; two of 21 random colours would be about 20 apart."""
    some = colors(count).astype(float)
    distance = np.linalg.norm(some[:, None] - some[None], axis=-1) + 999 * np.eye(count)
    assert distance.min() >= apart


def test_a_row_has_the_same_colour_in_every_picture():
    assert np.array_equal(colors(700)[:21], colors(21))
