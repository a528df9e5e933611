"""Any picture file as a viewer shows it, what decoders raise on damaged ones, labelled photos."""

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from PIL import Image, ImageOps, UnidentifiedImageError

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")  # endings of files


@dataclass(frozen=True)
class Item:
    """A labelled photo, RGB, and the class of each of its pixels: 0 to K-1, or "ignore".

    A benchmark that shows large photos smaller keeps the labels as they were drawn.
    """

    key: str  # what its files are called, without the ending
    image: Image.Image
    labels: Int64[np.ndarray, "height width"]


@dataclass(frozen=True)
class OnGround:
    """A photo, RGB and upright, which of K classes it shows, and on which of several grounds."""

    key: str
    image: Image.Image
    label: int
    ground: int


# What Pillow's decoders raise on damaged files; anything else is our own mistake.
UNDECODABLE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def as_shown(picture: Image.Image) -> Image.Image:
    """Decoded, 8 bits a colour, RGB, upright (as its EXIF says), transparent parts on white."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # convert() would turn all but the darkest 16-bit grey white
        grey = np.asarray(picture).astype(float).clip(0, 65535) / 257
        return Image.fromarray(grey.round().astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise ValueError("floating-point pixels, of which nobody says what is white")
    if picture.has_transparency_data:  # convert() alone would show the hidden colours
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(paper, picture).convert("RGB")
    return picture.convert("RGB")


def why(error: BaseException) -> str:
    """What was wrong with a file, without its name."""
    if isinstance(error, UnidentifiedImageError):  # its message may be the address of a buffer
        return "cannot identify image file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
