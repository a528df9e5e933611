"""What surfaces look like: light and dark over a thing's own frame, and smooth noise.

A texture is a function of (x, y, draw) that gives factors around 1 for colors; a pattern gives
shares in [0, 1] of a second color.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from PIL import Image

from .pen import Number

Plane = Float[np.ndarray, "rows cols"]


def noise(
    rows: int, cols: int, *, cell: tuple[Number, Number], draw: np.random.Generator
) -> Float[np.ndarray, "{rows} {cols}"]:
    """Smooth value noise in about [-1, 1]; bumps are `cell` (rows, cols) pixels large."""
    high, wide = (int(n / max(c, 1.0)) + 3 for n, c in zip((rows, cols), cell, strict=True))
    coarse = Image.fromarray(draw.uniform(-1, 1, (high, wide)).astype(np.float32))
    box = (0.0, 0.0, min(cols / max(cell[1], 1.0), wide), min(rows / max(cell[0], 1.0), high))
    return np.asarray(coarse.resize((cols, rows), Image.Resampling.BICUBIC, box=box))


def plain(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    return np.ones_like(x)


def fur(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    """Short strokes downwards, and the darker bars of a tabby."""
    bars = np.sin(9 * y + 2 * np.cos(3 * x)) > 0.6
    return 1 + 0.16 * noise(*x.shape, cell=(3, 1), draw=draw) - 0.14 * bars


def wool(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    curls = np.sin(13 * x + 2 * np.sin(9 * y)) * np.sin(13 * y + 2 * np.sin(9 * x))
    return 1 + 0.12 * curls + 0.06 * noise(*x.shape, cell=(2, 2), draw=draw)


def leaves(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    return (
        1
        + 0.2 * noise(*x.shape, cell=(2.5, 2.5), draw=draw)
        + 0.12 * noise(*x.shape, cell=(6, 6), draw=draw)
    )


def bark(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    return 1 + 0.2 * noise(*x.shape, cell=(6, 1), draw=draw)


def scales(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    """Rows of overlapping arcs, every other row moved by half a scale."""
    column = np.floor(x * 4.5)
    row = y * 4.5 + 0.5 * (column % 2)
    across, down = x * 4.5 - column, row - np.floor(row)
    return 1.1 - 0.26 * (np.hypot(across, down - 0.5) > 0.62)


def feathers(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    return 1 + 0.13 * np.sin(14 * x + 5 * y) + 0.05 * noise(*x.shape, cell=(2, 2), draw=draw)


def bricks(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    row = np.floor(y * 5)
    joint = ((y * 5 - row) < 0.22) | (((x * 3 + 0.5 * (row % 2)) % 1) < 0.14)
    return 1 + 0.1 * noise(*x.shape, cell=(2, 3), draw=draw) - 0.22 * joint


def tiles(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    return 1.04 + 0.16 * np.sin(18 * y) + 0.08 * noise(*x.shape, cell=(2, 2), draw=draw)


def planks(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    return 1 + 0.08 * noise(*x.shape, cell=(1, 7), draw=draw) - 0.22 * ((y * 5 % 1) < 0.22)


def ribs(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    return 1 + 0.18 * np.sin(24 * x) + 0.06 * noise(*x.shape, cell=(2, 2), draw=draw)


def ice(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    return 1 + 0.07 * noise(*x.shape, cell=(4, 4), draw=draw)


def metal(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    """Lacquer: the sky in the upper half, a dark line below."""
    return 1.08 + 0.14 * np.tanh(-6 * y) - 0.1 * (np.abs(y - 0.35) < 0.07)


def cloth(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    return 1 + 0.1 * np.sin(5 * x + 3 * y) + 0.05 * noise(*x.shape, cell=(1, 1), draw=draw)


def striped(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    wave = np.sin(9.5 * (0.3 * x + y) + draw.uniform(0, 6))
    return np.clip(0.5 + 3 * wave, 0, 1)


def spotted(x: Plane, y: Plane, draw: np.random.Generator) -> Plane:
    row = np.floor(y * 2.4 + 0.5)
    across = (x * 2.4 + 0.5 * (row % 2)) % 1 - 0.5
    return np.clip(3.2 - 9 * np.hypot(across, y * 2.4 + 0.5 - row - 0.5), 0, 1)
