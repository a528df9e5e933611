"""Any picture as a viewer shows it. Files of every make are tried in tests/captions."""

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from whatwhere.pictures import as_shown, why


def test_transparency_is_mixed_with_white_in_proportion():
    picture = Image.new("RGBA", (3, 2), (100, 0, 200, 128))
    assert as_shown(picture).getpixel((0, 0)) == pytest.approx((177, 127, 227), abs=1)


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA", "RGBa"])
def test_every_mode_with_transparency_shows_white_through(mode):
    clear = (0, 0, 0, 0) if mode.startswith("RGB") else (0, 0)
    assert as_shown(Image.new(mode, (3, 2), clear)).getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"])
def test_every_other_mode_keeps_its_size(mode):
    shown = as_shown(Image.new(mode, (3, 2)))
    assert (shown.mode, shown.size) == ("RGB", (3, 2))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_wide_grey_is_scaled_and_never_wraps(dtype):
    grey = np.array([[0, 257 * 7, 65535]], dtype)
    found = np.asarray(as_shown(Image.fromarray(grey)))
    assert found[0, :, 2].tolist() == [0, 7, 255]


def test_floating_point_pixels_are_refused():
    with pytest.raises(ValueError, match="floating-point"):
        as_shown(Image.new("F", (3, 2)))


def test_the_picture_handed_over_is_left_alone():
    picture = Image.new("RGB", (3, 2))
    shown = as_shown(picture)
    shown.putpixel((0, 0), (9, 9, 9))
    assert picture.getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnidentifiedImageError("<_io.BytesIO object at 0x7f>"), "cannot identify image file"),
        (FileNotFoundError(2, "No such file or directory", "a.jpg"), "No such file or directory"),
        (ValueError("empty file"), "empty file"),
        (EOFError(), "EOFError"),
    ],
)
def test_reasons_are_short_and_name_no_file(error, said):
    assert why(error) == said
