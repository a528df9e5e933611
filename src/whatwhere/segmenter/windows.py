"""Square windows over a picture, and their scores put back where they came from."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """A box of the resized picture, in its pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(
        self, picture: Float[Tensor, "3 height width"], *, multiple: int
    ) -> Float[Tensor, "3 rows cols"]:
        """The pixels inside, resized (never cropped) to the nearest sides that `multiple` divides.

        A window whose sides are multiples already, as windows of a picture larger than them are,
        is cut without resampling.
        """
        inside = picture[:, self.top : self.top + self.height, self.left : self.left + self.width]
        size = tuple(max(round(n / multiple), 1) * multiple for n in (self.height, self.width))
        if size == (self.height, self.width):
            return inside
        return F.interpolate(inside[None], size, mode="bilinear", antialias=True)[0].clamp(0, 1)

    def add(
        self,
        scores: Float[Tensor, "vectors rows cols"],
        canvas: Float[Tensor, "vectors height width"],
        hits: Float[Tensor, "height width"],
    ) -> None:
        """Add scores to the canvas under this window, and one to the hits."""
        size = (self.height, self.width)
        up = scores
        if scores.shape[1:] != size:
            up = F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]
        here = (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )
        canvas[:, here[0], here[1]] += up
        hits[here] += 1


def windows(size: tuple[int, int], *, window: int, stride: int) -> list[Window]:
    """Windows row by row; the last of a row or column is moved back inside (mmsegmentation).

    A side shorter than the window is covered by windows of that side.

    >>> [(w.top, w.left) for w in windows((56, 90), window=56, stride=28)]
    [(0, 0), (0, 28), (0, 34)]
    """
    if window == 0:
        return [Window(0, 0, *size)]
    if not 0 < stride <= window:
        raise ValueError(
            f"stride {stride} leaves gaps between windows of {window}; use 1..{window}"
        )
    height, width = (min(window, n) for n in size)
    return [
        Window(top, left, height, width)
        for top in _starts(size[0], height, stride)
        for left in _starts(size[1], width, stride)
    ]


def _starts(length: int, window: int, stride: int) -> list[int]:
    count = max(length - window + stride - 1, 0) // stride + 1
    return [min(i * stride, length - window) for i in range(count)]
