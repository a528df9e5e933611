"""Geometric picture transforms that move masks and boxes with the picture.

A transform is a value: which box of the source becomes the whole output, of which size, mirrored
or not. What it does to a picture, a mask or a box follows from that value alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class View:
    """The box (top, left, height, width) of a picture, in its pixels, shown at (height, width)."""

    box: tuple[float, float, float, float]
    size: tuple[int, int]
    mirrored: bool = False

    def picture(self, picture: Image.Image) -> Image.Image:
        return self._resized(picture, Image.Resampling.BICUBIC)

    def mask(self, mask: Image.Image) -> Image.Image:
        """Labels keep their values: the nearest pixel is taken, never a mixture."""
        return self._resized(mask, Image.Resampling.NEAREST)

    def boxes(self, boxes: Float[np.ndarray, "boxes 4"]) -> Float[np.ndarray, "boxes 4"]:
        """Boxes (top, left, bottom, right), clipped to the view."""
        top, left, height, width = self.box
        rows, cols = self.size
        scale = np.array([rows / height, cols / width, rows / height, cols / width])
        moved = (boxes - np.array([top, left, top, left])) * scale
        if self.mirrored:
            moved[:, [1, 3]] = cols - moved[:, [3, 1]]
        return moved.clip(0, np.array([rows, cols, rows, cols]))

    def _resized(self, picture: Image.Image, how: Image.Resampling) -> Image.Image:
        top, left, height, width = self.box
        rows, cols = self.size
        out = picture.resize((cols, rows), how, box=(left, top, left + width, top + height))
        return out.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.mirrored else out


def whole(height: int, width: int, size: tuple[int, int]) -> View:
    """All of the picture, squashed to `size`."""
    return View((0.0, 0.0, float(height), float(width)), size)


def centre_crop(height: int, width: int, *, size: tuple[int, int]) -> View:
    """The largest centred box of the shape of `size` (height, width), shown at `size`."""
    scale = min(height / size[0], width / size[1])
    # rounding must not reach outside the picture
    rows, cols = min(size[0] * scale, float(height)), min(size[1] * scale, float(width))
    return View(((height - rows) / 2, (width - cols) / 2, rows, cols), size)


def centre_square(picture: Image.Image, *, side: int) -> Image.Image:
    """Short side resized to `side`, then the square in the centre: how CLIP and SimZSS evaluate.

    Pixel for pixel torchvision's Resize and CenterCrop (sizes cut off, offsets rounded).
    `centre_crop` resizes the box alone, which moves pixels by up to half of one.
    """
    short = min(picture.size)
    width, height = (side * length // short for length in picture.size)
    left, top = round((width - side) / 2), round((height - side) / 2)
    resized = picture.resize((width, height), Image.Resampling.BICUBIC)
    return resized.crop((left, top, left + side, top + side))


def random_crop(
    height: int,
    width: int,
    *,
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    mirror: bool = False,
    draw: np.random.Generator,
) -> View:
    """A random part of the picture (share of its area in `scale`), shown at `size`.

    The usual random resized crop: ten tries, then the largest centred box of an allowed ratio.
    Ratios (width to height) are relative to that of `size`.
    """
    area, shape = height * width, size[1] / size[0]
    low, high = ratio[0] * shape, ratio[1] * shape
    for _ in range(10):
        share = draw.uniform(*scale) * area
        aspect = math.exp(draw.uniform(math.log(low), math.log(high)))
        cols, rows = round(math.sqrt(share * aspect)), round(math.sqrt(share / aspect))
        if 0 < cols <= width and 0 < rows <= height:
            top, left = draw.integers(height - rows + 1), draw.integers(width - cols + 1)
            break
    else:
        cols = round(min(width, height * high))
        rows = round(min(height, width / low))
        top, left = (height - rows) // 2, (width - cols) // 2
    mirrored = mirror and bool(draw.random() < 0.5)
    return View((float(top), float(left), float(rows), float(cols)), size, mirrored)


def short_side(height: int, width: int, *, side: int, long: int | None = None) -> tuple[int, int]:
    """The size at which the short side is `side`, unless the long one would exceed `long`."""
    factor = side / min(height, width)
    if long is not None:
        factor = min(factor, long / max(height, width))
    return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)


def to_tensor(picture: Image.Image) -> Float[Tensor, "3 height width"]:
    """Pixels in [0, 1]."""
    pixels: UInt8[np.ndarray, "height width 3"] = np.asarray(picture.convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
