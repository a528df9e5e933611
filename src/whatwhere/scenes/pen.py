"""A pen for small colored things: outlines in, antialiased colors and silhouettes out.

A thing is drawn in its own frame: y runs from -1 (top) to 1 (foot), x from -aspect to aspect
(to the right). The pen turns, mirrors and scales that frame onto pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

RGB = tuple[int, int, int]
Number = int | float
Points = Sequence[tuple[Number, Number]] | Float[np.ndarray, "points 2"]

FINER = 4  # times finer than the picture; averaging these down is the antialiasing
STEPS = 6  # corners between two control points of a curve
_T = np.arange(STEPS) / STEPS
_POWERS = np.stack([_T**0, _T, _T**2, _T**3], axis=1)
_CATMULL_ROM = _POWERS @ np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
_CIRCLE = np.stack(
    [f(np.linspace(0, 2 * math.pi, 28, endpoint=False)) for f in (np.cos, np.sin)], 1
)


@dataclass(frozen=True)
class Pose:
    """Where the frame of a thing lies in the picture."""

    centre: tuple[float, float]  # y, x in pixels
    scale: float  # pixels from the middle to the foot
    aspect: float  # width over height
    turn: Number = 0.0  # radians
    mirrored: bool = False

    @property
    def matrix(self) -> Float[np.ndarray, "2 2"]:
        """Local (x, y) rows times this are pixels (x, y) from the centre."""
        cos, sin = math.cos(self.turn) * self.scale, math.sin(self.turn) * self.scale
        flip = -1 if self.mirrored else 1
        return np.array([[cos * flip, sin * flip], [-sin, cos]])

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Top, left, bottom, right of the turned frame in pixels."""
        half_x, half_y = np.abs(self.matrix.T) @ np.array([self.aspect, 1.0])
        y, x = self.centre
        return y - half_y, x - half_x, y + half_y, x + half_x


class Drawing(NamedTuple):
    """What a pen leaves in a window of the picture whose corner is (top, left)."""

    top: int
    left: int
    color: Float[np.ndarray, "rows cols 3"]  # 0 to 255, already times `alpha`
    alpha: Float[np.ndarray, "rows cols"]  # share of the pixel that is covered
    cover: Float[np.ndarray, "rows cols 3"]  # share under first texture, second texture, pattern
    x: Float[np.ndarray, "rows cols"]  # the thing's own frame
    y: Float[np.ndarray, "rows cols"]
    other: Float[np.ndarray, " 3"]  # the color of its pattern


class _Stroke(NamedTuple):
    points: Float[np.ndarray, "points 2"]  # in the thing's frame
    paint: RGB
    covers: RGB
    width: Number | None  # None: a filled outline
    rim: bool


class Pen:
    """Collects strokes; `drawing` rasters them. `draw` wobbles the outlines a little."""

    def __init__(self, pose: Pose, paints: dict[str, RGB], draw: np.random.Generator):
        self.pose, self.paints, self.draw = pose, paints, draw
        self.strokes: list[_Stroke] = []

    def polygon(
        self,
        points: Points,
        paint: str,
        *,
        cover: str = "",
        rim: bool = True,
        wobble: float = 0.012,
    ) -> None:
        """A filled outline. `cover` lists what varies on it: "a", "b" (textures), "p" (pattern)."""
        self._add(self._wobbled(points, wobble), paint, cover, None, rim)

    def blob(self, points: Points, paint: str, *, cover: str = "", rim: bool = True) -> None:
        """A filled smooth curve through the points (Catmull-Rom)."""
        self._add(_smooth(self._wobbled(points, 0.02)), paint, cover, None, rim)

    def ellipse(
        self, x: Number, y: Number, rx: Number, ry: Number, paint: str, *, turn: Number = 0.0,
        cover: str = "", rim: bool = True,
    ) -> None:  # fmt: skip
        cos, sin = math.cos(turn), math.sin(turn)
        points = _CIRCLE * (rx, ry) @ np.array([[cos, sin], [-sin, cos]]) + (x, y)
        self._add(points, paint, cover, None, rim)

    def line(
        self, points: Points, width: Number, paint: str, *, cover: str = "", rim: bool = False
    ) -> None:
        """A stroke with round ends and joints, `width` in the thing's frame."""
        at = self._wobbled(points, 0.012)
        self._add(at, paint, cover, width, rim)
        if width * self.pose.scale > 1.5:  # thinner ends cannot be seen
            for x, y in at:
                self.ellipse(x, y, width / 2, width / 2, paint, cover=cover, rim=rim)

    def dots(self, places: Points, radius: Number, paint: str) -> None:
        for x, y in places:
            self.ellipse(x, y, radius, radius, paint, rim=False)

    def drawing(self) -> Drawing:
        top, left, bottom, right = self.pose.box
        top, left = math.floor(top) - 2, math.floor(left) - 2
        rows, cols = math.ceil(bottom) + 2 - top, math.ceil(right) + 2 - left
        at = np.array([self.pose.centre[1] - left, self.pose.centre[0] - top])
        # CMYK means four plain bands here: reducing RGBA would divide colors by alpha again.
        color = Image.new("CMYK", (cols * FINER, rows * FINER))
        cover = Image.new("RGB", color.size)
        on_color, on_cover = ImageDraw.Draw(color), ImageDraw.Draw(cover)
        matrix = self.pose.matrix
        placed = [((s.points @ matrix + at) * FINER).ravel().tolist() for s in self.strokes]
        contour, line = (*self.paints["contour"], 255), max(FINER, round(self.pose.scale * 0.2))
        for points, stroke in zip(placed, self.strokes, strict=True):
            if stroke.rim and stroke.width is None:  # contours under all fills: no lines inside
                on_color.line(points + points[:4], fill=contour, width=line)
        for points, stroke in zip(placed, self.strokes, strict=True):
            if stroke.width is None:
                on_color.polygon(points, fill=(*stroke.paint, 255))
                on_cover.polygon(points, fill=stroke.covers)
            else:
                pixels = max(2, round(stroke.width * self.pose.scale * FINER))
                on_color.line(points, fill=(*stroke.paint, 255), width=pixels)
                on_cover.line(points, fill=stroke.covers, width=pixels)
        # Nothing is (0, 0, 0, 0), so averages of the four bands are colors times alpha.
        mixed = np.asarray(color.reduce(FINER), dtype=np.float32)
        covered = np.asarray(cover.reduce(FINER), dtype=np.float32) / 255
        pixel_x, pixel_y = np.arange(cols) + 0.5 - at[0], np.arange(rows)[:, None] + 0.5 - at[1]
        (xx, yx), (xy, yy) = np.linalg.inv(matrix).astype(np.float32).T.tolist()
        x, y = (pixel_x * a + pixel_y * b for a, b in ((xx, yx), (xy, yy)))
        alpha = mixed[..., 3] / 255
        other = np.array(self.paints.get("pattern", (0, 0, 0)), dtype=np.float32)
        return Drawing(top, left, mixed[..., :3], alpha, covered, x, y, other)

    def _wobbled(self, points: Points, amount: float) -> np.ndarray:
        at = np.array(points, dtype=float)
        return at + self.draw.normal(0, amount, at.shape)

    def _add(
        self, points: np.ndarray, paint: str, cover: str, width: Number | None, rim: bool
    ) -> None:
        covers = (255 * ("a" in cover), 255 * ("b" in cover), 255 * ("p" in cover))
        self.strokes.append(_Stroke(points, self.paints[paint], covers, width, rim))


def _smooth(points: np.ndarray) -> np.ndarray:
    near = np.stack([np.roll(points, shift, axis=0) for shift in (1, 0, -1, -2)], axis=1)
    return np.einsum("sk,nkc->nsc", _CATMULL_ROM, near).reshape(-1, 2)
