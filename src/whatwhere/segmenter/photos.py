"""Whatever a person hands over as a photo, as an upright RGB picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from whatwhere.pictures import UNDECODABLE, as_shown, why

Photo = str | Path | Image.Image | np.ndarray | torch.Tensor


def read_photo(photo: Photo) -> Image.Image:
    """An RGB picture; ValueError says what was wrong with the input."""
    if isinstance(photo, (str, Path)):
        return _read_file(Path(photo))
    if isinstance(photo, Image.Image):
        return as_shown(photo)
    if isinstance(photo, torch.Tensor):
        if photo.ndim != 3 or photo.shape[0] != 3:
            raise ValueError(f"a tensor photo is [3, height, width] in [0, 1]; got {_of(photo)}")
        photo = photo.detach().cpu().permute(1, 2, 0)
        photo = (photo.float() if photo.is_floating_point() else photo).numpy()
    if isinstance(photo, np.ndarray):
        return _from_array(photo)
    raise ValueError(f"a photo is a path, a PIL picture, an array or a tensor; got {type(photo)}")


def _read_file(path: Path) -> Image.Image:
    if not path.is_file():
        raise ValueError(f"no photo at {path}")
    try:
        with Image.open(path) as picture:
            return as_shown(picture)
    except UNDECODABLE as error:
        raise ValueError(f"cannot read {path} as a picture: {why(error)}") from None


def _from_array(pixels: np.ndarray) -> Image.Image:
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(
            f"an array photo is [height, width, 3] or [height, width]; got {_of(pixels)}"
        )
    if np.issubdtype(pixels.dtype, np.floating):
        low, high = float(pixels.min()), float(pixels.max())
        if not 0 <= low <= high <= 1:  # also refuses what is not a number
            raise ValueError(
                f"a photo of floats lies in [0, 1]; got {low:g} to {high:g}: divide bytes by 255"
            )
        pixels = (pixels * 255).round().astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ValueError(f"an array photo has bytes or floats in [0, 1]; got {_of(pixels)}")
    return Image.fromarray(np.ascontiguousarray(pixels))


def _of(array: np.ndarray | torch.Tensor) -> str:
    return f"{array.dtype} {list(array.shape)}"
