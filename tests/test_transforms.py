"""What a view does to a picture, it does to masks and boxes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from whatwhere.transforms import View, centre_crop, random_crop, short_side, to_tensor, whole

HEIGHT, WIDTH = 23, 31
few = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32)


@st.composite
def views(draw):
    """Any part of a picture of HEIGHT x WIDTH, at any size, mirrored or not."""
    top, left = draw(st.floats(0, HEIGHT - 3)), draw(st.floats(0, WIDTH - 3))
    rows, cols = draw(st.floats(2, HEIGHT - top)), draw(st.floats(2, WIDTH - left))
    size = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    return View((top, left, rows, cols), size, draw(st.booleans()))


@st.composite
def boxes(draw):
    top, left = draw(st.integers(0, HEIGHT - 1)), draw(st.integers(0, WIDTH - 1))
    return top, left, draw(st.integers(top + 1, HEIGHT)), draw(st.integers(left + 1, WIDTH))


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@few
@given(views(), boxes())
def test_a_mask_shows_a_thing_exactly_where_its_box_goes(view, box):
    top, left, bottom, right = box
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 200
    found = np.asarray(view.mask(Image.fromarray(mask)))
    moved = view.boxes(np.array([box], float))[0]
    rows, cols = (np.arange(n) + 0.5 for n in view.size)
    inside = (
        ((rows > moved[0]) & (rows < moved[2]))[:, None] & (cols > moved[1]) & (cols < moved[3])
    )
    near = (np.abs(rows[:, None] - moved[[0, 2]]) < 1e-3).any(1)[:, None]
    near = near | (np.abs(cols[:, None] - moved[[1, 3]]) < 1e-3).any(1)
    assert set(np.unique(found)) <= {0, 200}
    assert ((found == 200) == inside)[~near].all()


@few
@given(views())
def test_a_picture_goes_where_its_mask_goes(view):
    """A picture of plain halves, away from their seam."""
    seam = 17
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[:, seam:] = 255
    labels = np.asarray(view.mask(Image.fromarray(pixels)))
    shown = np.asarray(view.picture(Image.fromarray(pixels).convert("RGB")))[..., 1]
    at = view.boxes(np.array([[0.0, seam, HEIGHT, WIDTH]]))[0, 3 if view.mirrored else 1]
    reach = 2 + 3 * max(view.size[1] / view.box[3], 1)  # of bicubic mixing, in pixels shown
    far = np.abs(np.arange(view.size[1]) + 0.5 - at) > reach
    assert np.array_equal(shown[:, far], labels[:, far])


@few
@given(views(), boxes())
def test_mirroring_is_the_mirror_of_not_mirroring(view, box):
    plain, mirrored = (View(view.box, view.size, way) for way in (False, True))
    picture, mask = Image.fromarray(noise(HEIGHT, WIDTH, 3)), Image.fromarray(noise(HEIGHT, WIDTH))
    for one, two in (
        (plain.picture(picture), mirrored.picture(picture)),
        (plain.mask(mask), mirrored.mask(mask)),
    ):
        assert np.array_equal(np.asarray(one)[:, ::-1], np.asarray(two))
    one, two = (v.boxes(np.array([box, box], float)) for v in (plain, mirrored))
    assert two[:, [0, 2]] == pytest.approx(one[:, [0, 2]])
    assert two[:, [3, 1]] == pytest.approx(view.size[1] - one[:, [1, 3]])


@few
@given(views())
def test_boxes_stay_inside_and_in_order(view):
    everything = view.boxes(np.array([[-9.0, -9, HEIGHT + 9, WIDTH + 9]]))[0]
    assert everything == pytest.approx([0, 0, *view.size])
    outside = view.boxes(np.array([[-9.0, -9, -5, -5]]))[0]
    assert outside[2] == outside[0] == 0 and outside[3] == outside[1]


def test_the_whole_picture_at_its_own_size_is_unchanged():
    pixels = noise(HEIGHT, WIDTH, 3)
    shown = whole(HEIGHT, WIDTH, (HEIGHT, WIDTH)).picture(Image.fromarray(pixels))
    assert np.array_equal(np.asarray(shown), pixels)


def test_sixteen_bit_labels_keep_their_values():
    labels = (300 * noise(HEIGHT, WIDTH).astype(np.int32)).clip(0, 65535).astype(np.uint16)
    shown = np.asarray(centre_crop(HEIGHT, WIDTH, size=(9, 11)).mask(Image.fromarray(labels)))
    assert set(np.unique(shown)) <= set(np.unique(labels))


@pytest.mark.parametrize(("height", "width"), [(12, 20), (20, 12), (7, 7), (12, 19)])
def test_the_centre_square_is_as_large_as_can_be_and_in_the_middle(height, width):
    top, left, rows, cols = centre_crop(height, width, size=(5, 5)).box
    assert rows == cols == pytest.approx(min(height, width))
    assert 2 * top == pytest.approx(height - rows) and 2 * left == pytest.approx(width - cols)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 600), st.integers(1, 600), st.integers(1, 500), st.integers(1, 500))
def test_the_centre_has_the_shape_asked_for_and_never_leaves_the_picture(height, width, high, wide):
    """Not by a rounding error either: Pillow refuses a box that begins at -1e-13."""
    top, left, rows, cols = centre_crop(height, width, size=(high, wide)).box
    assert rows / cols == pytest.approx(high / wide)
    assert rows == pytest.approx(height) or cols == pytest.approx(width)
    assert top >= 0 and left >= 0 and top + rows <= height and left + cols <= width


@few
@given(st.integers(1, 400), st.integers(1, 400), seeds, st.booleans())
def test_random_crops_lie_inside_and_follow_from_the_draw(height, width, seed, mirror):
    one, two = (
        random_crop(
            height,
            width,
            size=(8, 6),
            scale=(0.3, 1.0),
            mirror=mirror,
            draw=np.random.default_rng(seed),
        )
        for _ in range(2)
    )
    assert one == two
    top, left, rows, cols = one.box
    assert top >= 0 and left >= 0 and rows >= 1 and cols >= 1
    assert top + rows <= height and left + cols <= width
    assert one.size == (8, 6)
    assert mirror or not one.mirrored


@few
@given(seeds)
def test_random_crops_keep_the_share_and_the_ratio_asked_for(seed):
    """The ratio is relative to the shape that is shown, here three wide by two high."""
    draw = np.random.default_rng(seed)
    view = random_crop(300, 400, size=(8, 12), scale=(0.2, 0.4), draw=draw)
    rows, cols = view.box[2:]
    assert 0.19 < rows * cols / (300 * 400) < 0.41
    assert 0.74 < cols / rows / 1.5 < 1.35


@pytest.mark.parametrize(("height", "width"), [(10, 200), (200, 10), (1, 1), (1, 50)])
def test_where_no_crop_fits_the_largest_allowed_one_is_in_the_middle(height, width):
    draw = np.random.default_rng(0)
    view = random_crop(height, width, size=(8, 8), scale=(1.0, 1.0), draw=draw)
    top, left, rows, cols = view.box
    assert min(rows, cols) == min(height, width)
    assert max(rows, cols) == round(min(max(height, width), min(height, width) * 4 / 3))
    assert abs(2 * top - (height - rows)) <= 1 and abs(2 * left - (width - cols)) <= 1


def test_about_half_of_the_crops_are_mirrored():
    draw = np.random.default_rng(0)
    found = [
        random_crop(9, 9, size=(3, 3), scale=(1.0, 1.0), mirror=True, draw=draw).mirrored
        for _ in range(400)
    ]
    assert 160 < sum(found) < 240


@few
@given(st.integers(20, 900), st.integers(20, 900))
def test_the_short_side_is_as_asked_and_shapes_stay(height, width):
    rows, cols = short_side(height, width, side=448)
    assert min(rows, cols) == 448
    assert rows / cols == pytest.approx(height / width, rel=2e-3)


@few
@given(st.integers(20, 900), st.integers(20, 900))
def test_the_long_side_is_never_longer_than_allowed(height, width):
    rows, cols = short_side(height, width, side=448, long=1000)
    assert max(rows, cols) <= 1000
    if max(rows, cols) < 1000:
        assert min(rows, cols) == 448


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_tensors_have_colours_first_and_lie_between_zero_and_one(mode):
    picture = Image.fromarray(noise(5, 7, 3)).convert(mode)
    tensor = to_tensor(picture)
    assert tensor.shape == (3, 5, 7) and tensor.dtype == torch.float32
    for x, y in ((0, 0), (6, 4), (2, 3)):
        expected = np.asarray(picture.convert("RGB"))[y, x] / 255
        assert tensor[:, y, x].tolist() == pytest.approx(expected.tolist())
