"""Whatever is handed over as a photo is seen as a viewer shows it, or refused in one line."""

import numpy as np
import pytest
import torch
from PIL import Image

from whatwhere.segmenter.photos import read_photo

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "photo",
    [
        PIXELS,
        Image.fromarray(PIXELS),
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        torch.from_numpy(PIXELS).permute(2, 0, 1) / 255,
        PIXELS / 255,
        (PIXELS / 255).astype(np.float32),
        PIXELS[:, ::-1][:, ::-1],
    ],
    ids=["bytes", "picture", "byte tensor", "tensor", "doubles", "floats", "view"],
)
def test_all_ways_to_hold_a_photo_are_the_same_photo(photo):
    assert np.array_equal(np.asarray(read_photo(photo)), PIXELS)


def test_a_half_precision_tensor_is_a_photo():
    tensor = (torch.from_numpy(PIXELS).permute(2, 0, 1) / 255).bfloat16().requires_grad_()
    off = np.asarray(read_photo(tensor)).astype(int) - PIXELS
    assert np.abs(off).max() <= 1


def test_a_grey_array_is_a_grey_photo():
    found = np.asarray(read_photo(PIXELS[..., 0]))
    assert np.array_equal(found, np.repeat(PIXELS[..., :1], 3, axis=2))


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "png"), ("RGBA", "png"), ("CMYK", "jpg"), ("P", "gif"), ("1", "png")]
)
def test_files_of_any_mode_are_rgb(tmp_path, mode, kind):
    path = tmp_path / f"photo.{kind}"
    Image.fromarray(PIXELS).convert(mode).save(path)
    for photo in (path, str(path)):
        found = read_photo(photo)
        assert (found.mode, found.size) == ("RGB", (7, 5))


def test_what_is_transparent_is_white():
    picture = Image.new("RGBA", (4, 3), (10, 20, 30, 0))
    assert read_photo(picture).getpixel((1, 1)) == (255, 255, 255)


def test_sixteen_bits_keep_their_brightness(tmp_path):
    grey = np.array([[0, 257 * 100, 65535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    for photo in (tmp_path / "grey.png", Image.fromarray(grey)):
        assert np.asarray(read_photo(photo))[0, :, 1].tolist() == [0, 100, 255]


@pytest.mark.parametrize("way", range(1, 9))
def test_photos_are_upright(tmp_path, way):
    """All eight ways of holding a camera, as the EXIF standard numbers them."""
    exif = Image.Exif()
    exif[0x0112] = way
    Image.fromarray(PIXELS).save(tmp_path / "photo.png", exif=exif)
    turn = {
        1: PIXELS,
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.swapaxes(0, 1),
        6: np.rot90(PIXELS, -1),
        7: np.rot90(PIXELS, 2).swapaxes(0, 1),
        8: np.rot90(PIXELS),
    }[way]
    assert np.array_equal(np.asarray(read_photo(tmp_path / "photo.png")), turn)


@pytest.mark.parametrize(
    ("photo", "said"),
    [
        (PIXELS.astype(float), r"lies in \[0, 1\].*divide bytes by 255"),
        (PIXELS / 255 - 0.5, r"lies in \[0, 1\]"),
        (np.full((3, 4, 3), np.nan), r"lies in \[0, 1\]"),
        (np.where(PIXELS > 9, 0.5, np.inf), r"lies in \[0, 1\]"),
        (PIXELS.astype(np.uint16), "uint16"),
        (PIXELS > 9, "bool"),
        (PIXELS[..., :2], r"\[5, 7, 2\]"),
        (PIXELS[:0], r"\[0, 7, 3\]"),
        (PIXELS[None], r"\[1, 5, 7, 3\]"),
        (torch.zeros(5, 7, 3), r"\[3, height, width\].*\[5, 7, 3\]"),
        (torch.zeros(2, 3, 5, 7), r"\[2, 3, 5, 7\]"),
        (torch.zeros(3, 0, 7), r"\[0, 7, 3\]"),
    ],
)
def test_other_arrays_are_refused(photo, said):
    with pytest.raises(ValueError, match=said):
        read_photo(photo)


def test_a_file_that_is_no_photo_says_so(tmp_path):
    with pytest.raises(ValueError, match="no photo at"):
        read_photo(tmp_path / "none.jpg")
    with pytest.raises(ValueError, match="no photo at"):
        read_photo(tmp_path)
    (tmp_path / "page.jpg").write_text("<html>")
    with pytest.raises(ValueError, match=r"page\.jpg as a picture: cannot identify"):
        read_photo(str(tmp_path / "page.jpg"))


def test_a_photo_cut_short_is_refused(tmp_path):
    Image.fromarray(np.tile(PIXELS, (20, 20, 1))).save(tmp_path / "photo.jpg")
    data = (tmp_path / "photo.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"half\.jpg"):
        read_photo(tmp_path / "half.jpg")
