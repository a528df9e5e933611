"""The grounds of the world: what lies behind and under things, as procedural surfaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .pen import RGB, Number
from .textures import noise

Canvas = Float[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class Size:
    """A picture's size; `unit` is the pixel of a picture 72 pixels high, so textures scale."""

    height: int
    width: int

    @property
    def unit(self) -> float:
        return min(self.height, self.width) / 72

    def noise(self, cell: tuple[Number, Number], draw: np.random.Generator) -> np.ndarray:
        scaled = (cell[0] * self.unit, cell[1] * self.unit)
        return noise(self.height, self.width, cell=scaled, draw=draw)

    @property
    def rows(self) -> np.ndarray:
        return (np.arange(self.height, dtype=np.float32) / self.unit)[:, None]

    @property
    def cols(self) -> np.ndarray:
        return (np.arange(self.width, dtype=np.float32) / self.unit)[None, :]


@dataclass(frozen=True)
class Ground:
    """A kind of ground. `solid`: things cast a shadow on it and may stand on it."""

    name: str
    paint: Callable[[Size, np.ndarray, np.random.Generator], np.ndarray]
    colors: dict[str, RGB]
    solid: bool = True
    rough: float = 0.05  # how wavy its upper edge is, as a share of the picture's height


def _sky(size: Size, color: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Paler towards the horizon; clouds by day, stars by night."""
    fade = np.clip(size.rows / (size.height / size.unit) * 1.6, 0, 1)[..., None]
    pale = color * 0.45 + np.array([140, 136, 132])
    if color.mean() < 90:
        sky = color * (1 + 0.5 * fade) + np.zeros((size.height, size.width, 1))
        stars = draw.random((size.height, size.width)) < 0.006
        return sky + stars[..., None] * 150
    sky = color * (1 - fade) + pale * fade
    shape = 0.7 * size.noise((9, 18), draw) + 0.4 * size.noise((4, 7), draw)
    clouds = np.clip(shape * 2.2 - draw.uniform(0.2, 1.4), 0, 0.85)[..., None]
    return sky * (1 - clouds) + 248 * clouds


def _grass(size: Size, color: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Blades, upright and thin, over patches of lighter and darker meadow."""
    blades = size.noise((4, 1), draw)
    light = 1 + 0.18 * blades + 0.12 * size.noise((14, 22), draw)
    return color * light[..., None] + np.clip(blades - 0.5, 0, 1)[..., None] * (50, 50, 10)


def _water(size: Size, color: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Waves that run across, with bright crests."""
    bend = size.noise((7, 16), draw)
    waves = np.sin(size.rows * draw.uniform(0.8, 1.1) + 2.6 * bend + 0.05 * size.cols)
    crests = np.clip(waves - 0.72, 0, 1) * 2.4
    light = 0.94 + 0.09 * waves + 0.06 * size.noise((2, 8), draw)
    return color * light[..., None] + crests[..., None] * (80, 88, 84)


def _sand(size: Size, color: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Grains, soft ripples, a pebble here and there."""
    ripples = np.sin(size.rows * 0.55 + 0.18 * size.cols + 2.5 * size.noise((12, 14), draw))
    grains = draw.normal(0, 0.045, (size.height, size.width))
    pebbles = draw.random((size.height, size.width)) < 0.008
    return color * (1 + 0.06 * ripples + grains - 0.3 * pebbles)[..., None]


def _snow(size: Size, color: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Blue hollows between soft drifts, and glitter."""
    drifts = 0.6 * size.noise((9, 20), draw) + 0.4 * size.noise((5, 9), draw)
    hollows = np.clip(-drifts, 0, 1)[..., None] * np.array([52, 36, 14])
    glitter = draw.random((size.height, size.width)) < 0.012
    return color - hollows + glitter[..., None] * 30 + np.clip(drifts, 0, 1)[..., None] * 10


def _road(size: Size, color: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Asphalt with dashed white lines."""
    gravel = draw.normal(0, 0.09, (size.height, size.width)) + 0.06 * size.noise((8, 20), draw)
    spacing, shift = draw.uniform(15, 20), draw.uniform(0, 20)
    across = np.abs((size.rows + shift) % spacing - spacing / 2) < 0.9
    dashes = ((size.cols + 5 * np.floor((size.rows + shift) / spacing) + shift) % 15) < 8
    lines = (across & dashes)[..., None]
    return np.where(lines, np.array([226, 222, 206]), color) * (1 + gravel)[..., None]


def _wall(size: Size, color: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Bricks in running bond, each of its own shade, pale mortar between."""
    high, wide = draw.uniform(4.5, 6), draw.uniform(10, 13)
    row = np.floor(size.rows / high)
    along = size.cols / wide + 0.5 * (row % 2)
    column = np.floor(along)
    shades = draw.normal(1, 0.09, (int(row.max()) + 1, int(column.max()) + 1))
    shade = shades[row.astype(int), column.astype(int)]
    mortar = (size.rows / high - row < 1.1 / high) | (along - column < 1.1 / wide)
    grain = 1 + draw.normal(0, 0.03, (size.height, size.width))
    pale = color * 0.35 + 138
    return np.where(mortar[..., None], pale, color * shade[..., None]) * grain[..., None]


def _floor(size: Size, color: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Boards that run away from the viewer, with grain along them."""
    wide = draw.uniform(9, 13)
    along = (size.cols - size.width / size.unit / 2) / (0.55 + 0.45 * size.rows / 72) / wide
    board = np.floor(along).astype(int)
    shades = draw.normal(1, 0.07, int(board.max() - board.min()) + 1)
    seams = along - board < 0.09
    grain = 0.09 * size.noise((16, 1.2), draw) + 0.05 * size.noise((6, 2), draw)
    return color * (shades[board - board.min()] * (1 + grain) - 0.28 * seams)[..., None]


_GROUNDS = (
    Ground("sky", _sky, {"blue": (92, 158, 226), "gray": (150, 160, 172), "pink": (236, 150, 160),
                         "black": (26, 30, 62)}, solid=False),
    Ground("grass", _grass, {"green": (96, 158, 66), "yellow": (176, 168, 78)}),
    Ground("water", _water, {"blue": (52, 112, 176), "green": (50, 138, 130),
                             "gray": (98, 120, 134)}, solid=False, rough=0.0),
    Ground("sand", _sand, {"yellow": (228, 196, 134), "white": (234, 222, 196),
                           "orange": (222, 158, 104)}),
    Ground("snow", _snow, {"white": (238, 243, 250)}, rough=0.07),
    Ground("road", _road, {"gray": (112, 112, 118), "black": (70, 70, 78)}, rough=0.0),
    Ground("wall", _wall, {"red": (172, 84, 66), "gray": (148, 146, 144), "yellow": (206, 172, 112),
                           "white": (222, 218, 208)}, solid=False, rough=0.0),
    Ground("floor", _floor, {"brown": (164, 112, 70), "yellow": (206, 164, 108),
                             "gray": (150, 144, 138)}, rough=0.0),
)  # fmt: skip

GROUNDS: dict[str, Ground] = {ground.name: ground for ground in _GROUNDS}

# Which grounds are seen together, from the top of the picture to its bottom.
VIEWS: tuple[tuple[str, ...], ...] = (
    ("sky", "grass"), ("sky", "water"), ("sky", "sand"), ("sky", "snow"), ("sky", "road"),
    ("wall", "floor"), ("wall", "road"), ("wall", "grass"), ("wall", "snow"), ("wall", "sand"),
    ("sky", "water", "sand"), ("sky", "grass", "road"), ("sky", "snow", "water"),
    ("sky", "water", "grass"), ("sky", "snow", "road"), ("wall", "grass", "road"),
    ("grass", "road"), ("water", "sand"), ("grass", "water"), ("snow", "road"),
    *((name,) for name in GROUNDS),
)  # fmt: skip


def paint(ground: Ground, *, color: str, size: Size, draw: np.random.Generator) -> Canvas:
    """The ground over the whole picture, colors 0 to 255, a little off the named one."""
    base = np.array(ground.colors[color]) + draw.normal(0, 7, 3)
    return ground.paint(size, base, draw).astype(np.float32)
