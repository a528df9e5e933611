"""Puts grounds and things into one picture: who stands where, what hides what, and the pixels.

First everything is placed and drawn as silhouettes, then light and surfaces are added. The first
half is all that a caption needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from . import textures
from .grounds import GROUNDS, Size, paint
from .pen import Drawing, Pen, Pose
from .things import Kind, paints

TRIES = 12  # places tried for a thing before it is left out of the scene
CROWDED = 0.5  # share of the smaller of two frames that the other may cover
SEEN = 0.4  # share of a thing that must stay in sight ...
SMALLEST = 0.004  # ... and the share of the picture that this must be
HORIZONS = {1: (), 2: ((0.32, 0.56),), 3: ((0.28, 0.4), (0.6, 0.74))}
GROWTH = {"small": 0.72, None: 1.0, "big": 1.36}


@dataclass(frozen=True)
class Land:
    """The grounds of a picture, from top to bottom, and where one gives way to the next."""

    names: tuple[str, ...]
    colors: tuple[str, ...]
    edges: Float[np.ndarray, "edges width"]  # rows at which the next ground begins
    index: Int[np.ndarray, "height width"]  # which of `names` each pixel shows


@dataclass(frozen=True)
class Actor:
    """A thing that has its place."""

    kind: Kind
    color: str
    size: str | None
    pattern: str | None
    ground: str  # what it is on or in
    pose: Pose
    drawing: Drawing


def lay_land(view: tuple[str, ...], *, height: int, width: int, draw: np.random.Generator) -> Land:
    colors = tuple(str(draw.choice(list(GROUNDS[name].colors))) for name in view)
    columns = np.linspace(-0.5, 0.5, width)
    edges = [
        height * draw.uniform(low, high)
        + GROUNDS[name].rough
        * height
        * (
            np.sin(draw.uniform(3, 9) * columns + draw.uniform(0, 6))
            + 2 * draw.uniform(-1, 1) * columns
        )
        for name, (low, high) in zip(view[1:], HORIZONS[len(view)], strict=True)
    ]
    stacked = np.array(edges, dtype=np.float32).reshape(-1, width)
    rows = np.arange(height)[None, :, None] + 0.5
    return Land(view, colors, stacked, (rows > stacked[:, None]).sum(axis=0))


def place(
    kind: Kind,
    *,
    on: tuple[str, ...],
    land: Land,
    taken: list[tuple[float, float, float, float]],
    look: tuple[str, str | None, str | None],
    grown: float,
    draw: np.random.Generator,
) -> Actor | None:
    """The thing at a random free place on one of the grounds `on`, or None when all are taken."""
    height, width = land.index.shape
    color, size, pattern = look
    for _ in range(TRIES):
        which = int(draw.choice([k for k, name in enumerate(land.names) if name in on]))
        tall = min(height, width) * kind.size * GROWTH[size] * grown
        scale = min(tall * draw.uniform(0.92, 1.08), 0.95 * height, width / kind.aspect) / 2
        half_x = scale * kind.aspect
        x = draw.uniform(min(half_x, width / 2), max(width - half_x, width / 2))
        edges = land.edges[:, int(x)].tolist()
        top, bottom = [0.0, *edges][which], [*edges, float(height)][which]
        y = _row(kind, top=top, bottom=bottom, scale=scale, draw=draw)
        y = min(max(y, 0.9 * scale), height - 0.95 * scale)
        anchor = y if kind.floats else min(y + 0.97 * scale, height - 1)
        pose = Pose(
            (y, x), scale, kind.aspect, draw.normal(0, 0.6) * kind.turn, bool(draw.random() < 0.5)
        )
        standing = land.index[min(int(anchor), height - 1), int(x)] == which
        if standing and all(_overlap(pose.box, other) <= CROWDED for other in taken):
            pen = Pen(pose, paints(color, pattern, draw), draw)
            kind.paint(pen, draw)
            return Actor(kind, color, size, pattern, land.names[which], pose, pen.drawing())
    return None


def _row(
    kind: Kind, *, top: float, bottom: float, scale: float, draw: np.random.Generator
) -> float:
    """The middle of the thing: the whole of a floating one, the foot of a standing one, inside."""
    if kind.floats:
        low, high = top + 0.9 * scale, bottom - 0.9 * scale
        return draw.uniform(low, high) if low < high else (top + bottom) / 2
    return top + draw.uniform(0.2, 0.95) * (bottom - top) - scale


def _overlap(one: tuple[float, ...], two: tuple[float, ...]) -> float:
    high = min(one[2], two[2]) - max(one[0], two[0])
    wide = min(one[3], two[3]) - max(one[1], two[1])
    area = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, two))
    return max(high, 0) * max(wide, 0) / area


def back_to_front(actors: list[Actor]) -> list[Actor]:
    """Sun and moon are farthest, then what is in the sky or on a wall, then by the row of foot."""
    return sorted(
        actors,
        key=lambda a: (not a.kind.single, a.ground not in ("sky", "wall"), a.pose.box[2]),
    )


def silhouette(
    drawing: Drawing, *, height: int, width: int
) -> Bool[np.ndarray, "{height} {width}"]:
    """The pixels that are at least half the thing's, hidden or not."""
    whole = np.zeros((height, width), dtype=bool)
    rows, cols, inside = _window(drawing, height, width)
    whole[rows, cols] = drawing.alpha[inside] >= 0.5
    return whole


def in_sight(actors: list[Actor], *, height: int, width: int) -> list[Actor]:
    """Without those that others hide too much; from the front, so that only what stays hides."""
    covered = np.zeros((height, width), dtype=bool)
    kept = []
    for actor in reversed(actors):
        whole = silhouette(actor.drawing, height=height, width=width)
        seen = (whole & ~covered).sum()
        if seen >= max(SEEN * whole.sum(), SMALLEST * height * width):
            covered |= whole
            kept.append(actor)
    return kept[::-1]


def render(
    land: Land, actors: list[Actor], *, draw: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    height, width = land.index.shape
    size = Size(height, width)
    picture = paint(GROUNDS[land.names[0]], color=land.colors[0], size=size, draw=draw)
    rows = np.arange(height, dtype=np.float32)[:, None] + 0.5
    for name, color, edge in zip(land.names[1:], land.colors[1:], land.edges, strict=True):
        below = np.clip(rows - edge + 0.5, 0, 1)[..., None]
        depth = 0.86 + 0.14 * np.clip((rows - edge) / (0.3 * height), 0, 1)[..., None]
        surface = paint(GROUNDS[name], color=color, size=size, draw=draw)
        picture = picture * (1 - below) + surface * depth * below
    for actor in actors:
        if actor.ground not in ("sky", "wall"):
            _cast_shadow(picture, actor)
    for actor in actors:
        _blend(picture, actor, draw)
    warmth = np.float32(draw.normal(1, 0.025, 3) * draw.normal(1, 0.04))
    grain = 2 * draw.standard_normal((height, width, 1), dtype=np.float32)
    return np.clip(picture * warmth + grain, 0, 255).astype(np.uint8)


def _cast_shadow(picture: np.ndarray, actor: Actor) -> None:
    """A soft ellipse at the foot, a little to the right: the light comes from the upper left."""
    height, width, _ = picture.shape
    foot, x = actor.pose.centre[0] + 0.97 * actor.pose.scale, actor.pose.centre[1]
    half = actor.pose.scale * actor.pose.aspect
    away = np.hypot(
        (np.arange(width) - x - 0.15 * half) / half,
        (np.arange(height)[:, None] - foot) / (0.22 * half + 1),
    )
    picture *= 1 - 0.38 * np.clip(1.25 - away, 0, 1)[..., None]


def _blend(picture: np.ndarray, actor: Actor, draw: np.random.Generator) -> None:
    """Surfaces, then light from the upper left, then over the picture by coverage."""
    drawing = actor.drawing
    color, x, y = drawing.color, drawing.x, drawing.y
    first, second, pattern = (drawing.cover[..., k, None] for k in range(3))
    if actor.pattern is not None:
        what = textures.striped if actor.pattern == "striped" else textures.spotted
        share = pattern * what(x, y, draw)[..., None]
        other = drawing.other * drawing.alpha[..., None]
        color = color * (1 - share) + other * share
    factor = 1 + first * (actor.kind.texture(x, y, draw)[..., None] - 1)
    factor = factor + second * (actor.kind.second(x, y, draw)[..., None] - 1)
    top_left = np.add.outer(np.linspace(0.5, -0.5, len(x)), np.linspace(0.25, -0.25, x.shape[1]))
    color = np.clip(color * factor * (1 + 0.24 * top_left[..., None]), 0, 255)
    rows, cols, inside = _window(drawing, *picture.shape[:2])
    picture[rows, cols] *= 1 - drawing.alpha[inside][..., None]
    picture[rows, cols] += color[inside]


def _window(drawing: Drawing, height: int, width: int) -> tuple[slice, slice, tuple[slice, slice]]:
    """The rows and columns of the picture that the drawing covers, and that part of the drawing."""
    high, wide = drawing.alpha.shape
    top, left = max(drawing.top, 0), max(drawing.left, 0)
    bottom = max(min(drawing.top + high, height), top)
    right = max(min(drawing.left + wide, width), left)
    inside = (
        slice(top - drawing.top, bottom - drawing.top),
        slice(left - drawing.left, right - drawing.left),
    )
    return slice(top, bottom), slice(left, right), inside
