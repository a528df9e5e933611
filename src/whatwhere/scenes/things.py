"""The things of the world: how each is drawn, which colors it has, and where it usually is.

No thing is known by its color: most have several, and things share them. Shape and texture tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import textures
from .pen import RGB, Number, Pen

COLORS: dict[str, RGB] = {
    "red": (208, 58, 52),
    "orange": (238, 138, 48),
    "yellow": (244, 208, 72),
    "green": (86, 164, 78),
    "blue": (66, 118, 206),
    "purple": (146, 88, 184),
    "pink": (242, 150, 178),
    "brown": (146, 96, 62),
    "black": (58, 55, 62),
    "white": (242, 240, 234),
    "gray": (152, 152, 156),
}
FIXED: dict[str, RGB] = {
    "wood": (136, 92, 58),
    "leaf": (84, 150, 70),
    "ink": (38, 34, 40),
    "paper": (250, 247, 238),
    "gold": (248, 206, 84),
    "beak": (240, 150, 50),
    "blush": (244, 150, 150),
    "glass": (190, 222, 238),
    "cream": (240, 224, 192),
    "steel": (186, 188, 194),
}
BRIGHT = ("red", "orange", "yellow", "green", "blue", "purple", "pink")

Draw = Callable[[Pen, np.random.Generator], None]
Texture = Callable[[textures.Plane, textures.Plane, np.random.Generator], textures.Plane]


@dataclass(frozen=True)
class Kind:
    """A kind of thing. Sizes are shares of the picture's shorter side."""

    name: str
    paint: Draw
    size: float  # from top to foot
    aspect: float  # width over height
    colors: tuple[str, ...]
    usual: tuple[str, ...]  # the grounds it is usually seen on
    texture: Texture = textures.plain  # cover "a"
    second: Texture = textures.plain  # cover "b"
    patterns: tuple[str, ...] = ()  # "striped", "spotted" are possible
    floats: bool = False  # is in a ground (fish, bird) and does not stand on it
    single: bool = False  # at most one in a scene
    turn: float = 0.1  # radians it may lean


def _house(pen: Pen, draw: np.random.Generator) -> None:
    pen.polygon([(0.35, -0.9), (0.58, -0.9), (0.58, -0.2), (0.35, -0.2)], "dark", cover="a")
    pen.polygon([(-0.72, -0.1), (0.72, -0.1), (0.72, 1), (-0.72, 1)], "body", cover="a")
    pen.polygon([(-0.97, 0.02), (0, -0.98), (0.97, 0.02)], "dark", cover="b")
    door = draw.choice([-0.42, 0.0, 0.42])
    pen.polygon(_box(door, 0.67, 0.17, 0.33), "wood", rim=False)
    pen.dots([(door + 0.09, 0.68)], 0.04, "gold")
    for x in {-0.42, 0.0, 0.42} - {float(door)}:
        pen.polygon(_box(x, 0.42, 0.16, 0.18), "paper", rim=False)
        pen.polygon(_box(x, 0.42, 0.11, 0.13), "glass", rim=False)
        pen.line([(x, 0.26), (x, 0.58)], 0.05, "paper")
    pen.ellipse(0, -0.4, 0.14, 0.14, "paper", rim=False)
    pen.ellipse(0, -0.4, 0.09, 0.09, "glass", rim=False)


def _tree(pen: Pen, draw: np.random.Generator) -> None:
    pen.polygon([(-0.1, 0), (0.1, 0), (0.17, 1), (-0.17, 1)], "wood", cover="b")
    if draw.random() < 0.4:
        for top, bottom, half in ((-0.05, 0.62, 0.66), (-0.5, 0.2, 0.54), (-1, -0.25, 0.4)):
            pen.polygon([(0, top), (half, bottom), (-half, bottom)], "body", cover="a")
        return
    angles = np.linspace(0, 2 * math.pi, 9, endpoint=False)
    reach = draw.uniform(0.5, 0.7, 9)
    crown = [
        (r * math.cos(t), -0.36 + 0.9 * r * math.sin(t)) for r, t in zip(reach, angles, strict=True)
    ]
    pen.blob(crown, "body", cover="a")
    pen.ellipse(-0.2, -0.55, 0.2, 0.16, "light", cover="a", rim=False)


def _car(pen: Pen, draw: np.random.Generator) -> None:
    roof = draw.uniform(-1, -0.8)
    pen.blob(
        [
            (-1.65, 0.3),
            (-1.6, -0.12),
            (-1.05, -0.22),
            (-0.7, roof),
            (0.45, roof),
            (0.95, -0.2),
            (1.55, -0.05),
            (1.68, 0.4),
            (1.4, 0.62),
            (-1.4, 0.62),
        ],
        "body",
        cover="a",
    )
    glass = roof + 0.2
    for window in (
        [(-0.92, -0.2), (-0.6, glass), (-0.12, glass), (-0.12, -0.2)],
        [(0.02, -0.2), (0.02, glass), (0.38, glass), (0.74, -0.2)],
    ):
        pen.polygon(window, "glass", rim=False)
    for x in (-0.92, 0.95):
        pen.ellipse(x, 0.62, 0.38, 0.38, "ink")
        pen.ellipse(x, 0.62, 0.18, 0.18, "steel", rim=False)
    pen.ellipse(1.52, 0.16, 0.11, 0.13, "gold", rim=False)
    pen.line([(-0.05, 0.0), (0.12, 0.0)], 0.07, "dark")


def _boat(pen: Pen, draw: np.random.Generator) -> None:
    pen.line([(0, -1), (0, 0.6)], 0.09, "wood", rim=True)
    pen.polygon([(0.1, -0.92), (0.1, 0.34), (0.86, 0.34)], "paper")
    pen.polygon([(-0.1, -0.66), (-0.1, 0.34), (-0.66, 0.34)], "paper")
    pen.polygon([(0.02, -1), (0.36, -0.9), (0.02, -0.8)], "body", rim=False)
    pen.polygon([(-1.05, 0.46), (1.05, 0.46), (0.72, 0.98), (-0.72, 0.98)], "body", cover="a")
    pen.line([(-1, 0.5), (1, 0.5)], 0.1, "light")


def _fish(pen: Pen, draw: np.random.Generator) -> None:
    pen.polygon([(-0.8, 0), (-1.5, -0.66), (-1.28, 0), (-1.5, 0.66)], "dark", cover="b")
    pen.blob([(-0.45, -0.45), (0.0, -0.98), (0.62, -0.55)], "dark", cover="b")
    pen.blob(
        [
            (-1, 0),
            (-0.5, -0.48),
            (0.3, -0.68),
            (1, -0.46),
            (1.45, 0.04),
            (1, 0.48),
            (0.3, 0.68),
            (-0.5, 0.48),
        ],
        "body",
        cover="ap",
    )
    pen.polygon([(0.3, 0.1), (-0.25, 0.52), (0.25, 0.5)], "dark", rim=False)
    pen.ellipse(0.98, -0.14, 0.2, 0.2, "paper", rim=False)
    pen.ellipse(1.03, -0.12, 0.11, 0.11, "ink", rim=False)
    pen.line([(1.2, 0.26), (1.36, 0.2)], 0.06, "contour")


def _bird(pen: Pen, draw: np.random.Generator) -> None:
    lift = draw.uniform(-1, -0.7)
    pen.blob([(0.1, 0.15), (0.35, lift), (0.7, lift + 0.1), (0.55, 0.2)], "dark", cover="b")
    pen.polygon([(-0.6, 0.25), (-1.35, 0.02), (-1.25, 0.52)], "dark", cover="b")
    pen.blob(
        [(-0.85, 0.28), (-0.3, 0.0), (0.4, -0.08), (0.9, 0.1), (0.6, 0.55), (-0.2, 0.66)],
        "body",
        cover="a",
    )
    pen.polygon([(1.05, -0.12), (1.45, 0.06), (1.05, 0.18)], "beak")
    pen.ellipse(0.84, 0.02, 0.32, 0.3, "body", cover="a")
    pen.ellipse(0.2, 0.42, 0.42, 0.16, "light", rim=False)
    pen.blob([(-0.3, 0.2), (-0.75, lift), (-0.3, lift), (0.42, 0.12)], "dark", cover="b")
    pen.ellipse(0.94, -0.06, 0.1, 0.1, "paper", rim=False)
    pen.ellipse(0.97, -0.05, 0.06, 0.06, "ink", rim=False)


def _sun(pen: Pen, draw: np.random.Generator) -> None:
    rays = int(draw.integers(9, 14))
    for turn in np.arange(rays) * 2 * math.pi / rays:
        tip, half = 1.0, 0.16
        pen.polygon(
            [
                (tip * math.cos(turn), tip * math.sin(turn)),
                (0.62 * math.cos(turn + half), 0.62 * math.sin(turn + half)),
                (0.62 * math.cos(turn - half), 0.62 * math.sin(turn - half)),
            ],
            "body",
        )
    pen.ellipse(0, 0, 0.62, 0.62, "body")
    pen.ellipse(0, 0, 0.5, 0.5, "light", rim=False)
    _smile(pen, 0, 0, 0.5)


def _moon(pen: Pen, draw: np.random.Generator) -> None:
    outer = [(0.98 * math.cos(t) + 0.2, 0.98 * math.sin(t)) for t in np.linspace(1.1, 5.2, 14)]
    inner = [(0.78 * math.cos(t) + 0.45, 0.78 * math.sin(t)) for t in np.linspace(4.9, 1.4, 12)]
    pen.polygon(outer + inner, "body", cover="a")
    pen.ellipse(-0.42, -0.2, 0.09, 0.11, "ink", rim=False)
    pen.line([(-0.4, 0.3), (-0.28, 0.36), (-0.18, 0.3)], 0.07, "ink")
    pen.ellipse(-0.55, 0.14, 0.1, 0.07, "blush", rim=False)


def _ball(pen: Pen, draw: np.random.Generator) -> None:
    pen.ellipse(0, 0, 0.98, 0.98, "body", cover="p")
    if "pattern" not in pen.paints:
        pole, start = np.array([-0.2, -0.3]), draw.uniform(0, 2)
        for wedge in range(3):  # a beach ball
            angles = start + (2 * wedge + np.linspace(0, 1, 7)) * math.pi / 3
            arc = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 0.98
            pen.polygon(np.stack([pole, *arc]), "paper", rim=False, wobble=0.0)
        pen.ellipse(-0.2, -0.3, 0.14, 0.14, "body", rim=False)
    pen.ellipse(-0.42, -0.5, 0.16, 0.1, "paper", turn=-0.7, rim=False)


def _flower(pen: Pen, draw: np.random.Generator) -> None:
    pen.line([(0, -0.4), (0.04, 0.3), (0, 1)], 0.13, "leaf", rim=True)
    pen.blob([(0, 0.85), (0.28, 0.45), (0.6, 0.35), (0.4, 0.7)], "leaf", cover="b")
    pen.blob([(0, 0.95), (-0.28, 0.6), (-0.6, 0.5), (-0.4, 0.85)], "leaf", cover="b")
    petals, start = int(draw.integers(5, 9)), draw.uniform(0, 6)
    for turn in start + np.arange(petals) * 2 * math.pi / petals:
        x, y = 0.34 * math.cos(turn), -0.43 + 0.34 * math.sin(turn)
        pen.ellipse(x, y, 0.26, 1.05 / petals, "body", turn=turn, cover="a")
    pen.ellipse(0, -0.43, 0.2, 0.2, "wood" if pen.paints["body"][2] < 110 else "gold", rim=False)


def _cat(pen: Pen, draw: np.random.Generator) -> None:
    pen.line(
        [(0.4, 0.85), (0.78, 0.75), (0.86, 0.3), (0.7, 0.05)], 0.18, "body", cover="a", rim=True
    )
    pen.blob(
        [(-0.45, 1), (-0.56, 0.6), (-0.34, 0), (0, -0.12), (0.34, 0), (0.56, 0.6), (0.45, 1)],
        "body",
        cover="ap",
    )
    for side in (-1, 1):
        pen.polygon(
            [(side * 0.5, -0.42), (side * 0.46, -1), (side * 0.08, -0.68)], "body", cover="a"
        )
        pen.polygon(
            [(side * 0.4, -0.6), (side * 0.4, -0.84), (side * 0.22, -0.7)], "blush", rim=False
        )
    pen.ellipse(0, -0.38, 0.54, 0.42, "body", cover="a")
    pen.ellipse(0, 0.45, 0.24, 0.34, "light", rim=False)
    pen.ellipse(0, -0.22, 0.22, 0.16, "light", rim=False)
    for side in (-1, 1):
        pen.ellipse(side * 0.23, -0.44, 0.12, 0.13, "gold", rim=False)
        pen.ellipse(side * 0.23, -0.44, 0.06, 0.11, "ink", rim=False)
        pen.ellipse(side * 0.2, 0.95, 0.14, 0.08, "light", rim=False)
    pen.ellipse(0, -0.27, 0.07, 0.05, "blush", rim=False)


def _sheep(pen: Pen, draw: np.random.Generator) -> None:
    face = "cream" if sum(pen.paints["body"]) < 240 else "contour"
    for x in (-0.62, -0.25, 0.25, 0.6):
        pen.line([(x, 0.4), (x, 0.95)], 0.17, face)
    for turn in np.linspace(0, 2 * math.pi, 9, endpoint=False) + draw.uniform(0, 1):
        x, y = -0.1 + 0.72 * math.cos(turn), -0.08 + 0.42 * math.sin(turn)
        pen.ellipse(x, y, 0.38, 0.36, "body", cover="a")
    pen.ellipse(-0.1, -0.05, 0.85, 0.55, "body", cover="a", rim=False)
    pen.ellipse(0.68, -0.32, 0.26, 0.1, face, turn=0.4)
    pen.ellipse(1.0, -0.25, 0.27, 0.38, face, turn=-0.35)
    pen.ellipse(0.86, -0.6, 0.28, 0.18, "body", cover="a")
    pen.ellipse(1.06, -0.34, 0.1, 0.1, "paper", rim=False)
    pen.ellipse(1.08, -0.33, 0.05, 0.05, "ink", rim=False)


def _mushroom(pen: Pen, draw: np.random.Generator) -> None:
    pen.blob([(-0.2, 0), (-0.26, 0.6), (-0.36, 0.98), (0.36, 0.98), (0.26, 0.6), (0.2, 0)], "cream")
    pen.ellipse(0, 0.16, 0.7, 0.16, "cream", cover="b")
    pen.blob(
        [
            (-0.92, 0.08),
            (-0.8, -0.42),
            (-0.35, -0.88),
            (0.35, -0.88),
            (0.8, -0.42),
            (0.92, 0.08),
            (0.45, 0.14),
            (-0.45, 0.14),
        ],
        "body",
        cover="ap",
    )
    pen.ellipse(-0.4, -0.5, 0.2, 0.1, "light", turn=-0.7, rim=False)


def _cactus(pen: Pen, draw: np.random.Generator) -> None:
    left, right = draw.uniform(-0.1, 0.3, 2)
    pen.line(
        [(0, left + 0.1), (-0.55, left), (-0.58, left - 0.5)], 0.3, "body", cover="a", rim=True
    )
    pen.line(
        [(0, right), (0.55, right - 0.1), (0.58, right - 0.55)], 0.3, "body", cover="a", rim=True
    )
    pen.line([(0, -0.7), (0, 0.8)], 0.54, "body", cover="a", rim=True)
    pen.polygon([(-0.27, 0.6), (0.27, 0.6), (0.27, 1), (-0.27, 1)], "body", cover="a")
    pen.dots([(-0.1, -0.98), (0.1, -0.98), (0, -0.9)], 0.1, "blush")
    spines = np.stack([draw.uniform(-0.2, 0.2, 9), np.linspace(-0.75, 0.9, 9)], axis=1)
    pen.dots([(x, y) for x, y in spines.tolist()], 0.035, "paper")


def _balloon(pen: Pen, draw: np.random.Generator) -> None:
    for x in (-0.17, 0.17):
        pen.line([(x * 1.6, 0.25), (x, 0.75)], 0.05, "wood")
    pen.blob(
        [
            (-0.2, 0.4),
            (-0.6, -0.02),
            (-0.7, -0.45),
            (-0.35, -0.92),
            (0.35, -0.92),
            (0.7, -0.45),
            (0.6, -0.02),
            (0.2, 0.4),
        ],
        "body",
        cover="ap",
    )
    if "pattern" not in pen.paints:
        for x in (-0.42, 0.42):
            pen.ellipse(x * 0.94, -0.34, 0.12, 0.5, "light", turn=x * 0.35, cover="a", rim=False)
        pen.ellipse(0, -0.34, 0.14, 0.64, "light", cover="a", rim=False)
    pen.polygon([(-0.22, 0.7), (0.22, 0.7), (0.17, 0.99), (-0.17, 0.99)], "wood", cover="b")


def _snowman(pen: Pen, draw: np.random.Generator) -> None:
    for side in (-1, 1):
        pen.line([(side * 0.3, 0.05), (side * 0.64, -0.2)], 0.07, "wood")
    pen.ellipse(0, 0.6, 0.5, 0.42, "body", cover="a")
    pen.ellipse(0, -0.02, 0.38, 0.34, "body", cover="a")
    pen.ellipse(0, -0.5, 0.28, 0.26, "body", cover="a")
    pen.polygon([(-0.26, -0.98), (0.26, -0.98), (0.26, -0.7), (-0.26, -0.7)], "ink")
    pen.line([(-0.38, -0.7), (0.38, -0.7)], 0.09, "ink")
    pen.dots([(-0.1, -0.55), (0.1, -0.55), (0, -0.1), (0, 0.1), (0, 0.45)], 0.055, "ink")
    pen.polygon([(0, -0.5), (0.36, -0.42), (0, -0.38)], "beak", rim=False)
    pen.line([(-0.27, -0.27), (0.27, -0.27)], 0.12, "scarf")
    pen.line([(0.15, -0.25), (0.2, 0.05)], 0.12, "scarf")


def _kite(pen: Pen, draw: np.random.Generator) -> None:
    pen.line([(0, 0.3), (0.16, 0.5), (-0.1, 0.68), (0.1, 0.84), (0, 0.98)], 0.06, "contour")
    pen.polygon([(0, -0.98), (0.72, -0.4), (0, 0.4), (-0.72, -0.4)], "body", cover="ap")
    if "pattern" not in pen.paints:
        pen.polygon([(0, -0.98), (0.72, -0.4), (0, -0.4)], "light", cover="a", rim=False)
        pen.polygon([(0, 0.4), (-0.72, -0.4), (0, -0.4)], "light", cover="a", rim=False)
    for x, y in ((0.13, 0.5), (-0.08, 0.68), (0.08, 0.84)):
        pen.polygon([(x - 0.16, y - 0.08), (x + 0.16, y + 0.08), (x + 0.16, y - 0.08)], "body")
        pen.polygon([(x - 0.16, y - 0.08), (x - 0.16, y + 0.08), (x, y)], "dark")


def _umbrella(pen: Pen, draw: np.random.Generator) -> None:
    pen.line([(0, -0.98), (0, 0.96)], 0.1, "wood", rim=True)
    arc = [(math.cos(t), -0.08 - 0.8 * math.sin(t)) for t in np.linspace(math.pi, 0, 13)]
    hem = [(x, -0.02 if k % 2 else -0.16) for k, x in enumerate(np.linspace(0.8, -0.8, 9))]
    pen.polygon(arc + hem, "body", cover="ap")
    if "pattern" not in pen.paints:
        for low, high in ((-0.62, -0.24), (0.24, 0.62)):
            pen.polygon(
                [(low, -0.06), ((low + high) / 2, -0.14), (high, -0.06), (0, -0.86)],
                "paper",
                cover="a",
                rim=False,
            )


def _clock(pen: Pen, draw: np.random.Generator) -> None:
    if draw.random() < 0.5:
        pen.polygon(_box(0, 0, 0.95, 0.95), "body", cover="a")
    else:
        pen.ellipse(0, 0, 0.97, 0.97, "body", cover="a")
    pen.ellipse(0, 0, 0.74, 0.74, "paper", rim=False)
    for turn in np.arange(12) * math.pi / 6:
        x, y = math.cos(turn), math.sin(turn)
        pen.dots([(0.6 * x, 0.6 * y)], 0.06, "ink")
    for turn, length, width in zip(
        draw.uniform(0, 6.28, 2), (0.34, 0.52), (0.13, 0.09), strict=True
    ):
        pen.line([(0, 0), (length * math.cos(turn), length * math.sin(turn))], width, "ink")


def _penguin(pen: Pen, draw: np.random.Generator) -> None:
    for side in (-1, 1):
        pen.ellipse(side * 0.22, 0.92, 0.24, 0.08, "beak")
        pen.ellipse(side * 0.5, 0.2, 0.13, 0.45, "body", turn=side * -0.3, cover="a")
    pen.blob(
        [
            (0, -0.98),
            (-0.32, -0.8),
            (-0.36, -0.45),
            (-0.52, 0.2),
            (-0.42, 0.75),
            (0, 0.93),
            (0.42, 0.75),
            (0.52, 0.2),
            (0.36, -0.45),
            (0.32, -0.8),
        ],
        "body",
        cover="a",
    )
    pen.ellipse(0, 0.3, 0.34, 0.54, "paper", rim=False)
    for side in (-1, 1):
        pen.ellipse(side * 0.13, -0.6, 0.15, 0.18, "paper", rim=False)
        pen.ellipse(side * 0.12, -0.6, 0.06, 0.08, "ink", rim=False)
    pen.polygon([(-0.13, -0.46), (0.13, -0.46), (0, -0.26)], "beak", rim=False)


def _butterfly(pen: Pen, draw: np.random.Generator) -> None:
    for side in (-1, 1):
        wing = [(0.05, 0), (0.35, -0.85), (1.05, -0.9), (1.0, -0.2), (0.5, 0.12)]
        low = [(0.05, 0.05), (0.7, 0.12), (0.85, 0.6), (0.45, 0.92), (0.1, 0.4)]
        pen.blob([(side * x, y) for x, y in low], "dark", cover="b")
        pen.blob([(side * x, y) for x, y in wing], "body", cover="ap")
        pen.ellipse(side * 0.7, -0.5, 0.2, 0.18, "light", rim=False)
        pen.ellipse(side * 0.52, 0.5, 0.14, 0.14, "light", rim=False)
        pen.line([(0, -0.4), (side * 0.22, -0.95)], 0.06, "ink")
    pen.ellipse(0, 0.05, 0.11, 0.55, "ink", rim=False)


def _chair(pen: Pen, draw: np.random.Generator) -> None:
    for x in (-0.5, 0.5):
        pen.line([(x * 0.9, -0.9), (x, 0.95)], 0.14, "dark", cover="a", rim=True)
    for x in (-0.3, 0.3):
        pen.line([(x, 0.2), (x, 0.8)], 0.12, "dark", cover="a", rim=True)
    for y in draw.permutation([-0.82, -0.5, -0.18])[: int(draw.integers(2, 4))].tolist():
        pen.line([(-0.42, y), (0.42, y)], 0.2, "body", cover="a", rim=True)
    pen.polygon([(-0.5, 0.08), (0.5, 0.08), (0.62, 0.36), (-0.62, 0.36)], "body", cover="a")


def _box(x: Number, y: Number, half_x: Number, half_y: Number) -> list[tuple[Number, Number]]:
    return [
        (x - half_x, y - half_y),
        (x + half_x, y - half_y),
        (x + half_x, y + half_y),
        (x - half_x, y + half_y),
    ]


def _smile(pen: Pen, x: Number, y: Number, size: Number) -> None:
    for side in (-1, 1):
        pen.ellipse(
            x + side * size * 0.42, y - size * 0.2, size * 0.13, size * 0.2, "ink", rim=False
        )
        pen.ellipse(
            x + side * size * 0.66, y + size * 0.22, size * 0.17, size * 0.12, "blush", rim=False
        )
    curve = [(x + size * a, y + size * b) for a, b in ((-0.34, 0.25), (0, 0.45), (0.34, 0.25))]
    pen.line(curve, size * 0.14, "ink")


_KINDS = (
    Kind("house", _house, 0.52, 1.0, ("red", "yellow", "blue", "white", "pink", "green"),
         ("grass", "snow"), textures.bricks, textures.tiles, turn=0.03),
    Kind("tree", _tree, 0.56, 0.72, ("green", "yellow", "orange", "red", "pink"),
         ("grass", "snow"), textures.leaves, textures.bark),
    Kind("car", _car, 0.27, 1.7, (*BRIGHT, "white", "black"), ("road",), textures.metal, turn=0.05),
    Kind("boat", _boat, 0.42, 1.08, ("red", "blue", "green", "yellow", "brown", "white", "pink"),
         ("water",), textures.planks, turn=0.15),
    Kind("fish", _fish, 0.25, 1.5, BRIGHT, ("water",), textures.scales, textures.ribs,
         patterns=("striped",), floats=True, turn=0.3),
    Kind("bird", _bird, 0.25, 1.42, ("red", "blue", "yellow", "black", "brown", "white", "green"),
         ("sky",), textures.feathers, textures.feathers, floats=True, turn=0.25),
    Kind("sun", _sun, 0.3, 1.0, ("yellow", "orange", "red"), ("sky",), floats=True, single=True,
         turn=0.4),
    Kind("moon", _moon, 0.27, 0.82, ("yellow", "white", "orange"), ("sky",), textures.ice,
         floats=True, single=True, turn=0.3),
    Kind("ball", _ball, 0.22, 1.0, BRIGHT, ("grass", "sand", "floor"),
         patterns=("striped", "spotted"), turn=0.8),
    Kind("flower", _flower, 0.34, 0.72, ("red", "yellow", "pink", "purple", "blue", "white"),
         ("grass",), textures.plain, textures.leaves, turn=0.15),
    Kind("cat", _cat, 0.36, 0.95, ("black", "orange", "gray", "white", "brown"),
         ("floor", "grass"), textures.fur, turn=0.06),
    Kind("sheep", _sheep, 0.32, 1.28, ("white", "black", "brown", "gray"), ("grass",),
         textures.wool, turn=0.06),
    Kind("mushroom", _mushroom, 0.27, 0.94, ("red", "brown", "orange", "purple", "white"),
         ("grass",), textures.plain, textures.ribs, patterns=("spotted",)),
    Kind("cactus", _cactus, 0.42, 0.75, ("green", "brown", "purple", "blue"), ("sand",),
         textures.ribs),
    Kind("balloon", _balloon, 0.42, 0.74, BRIGHT, ("sky",), textures.cloth, textures.planks,
         patterns=("striped", "spotted"), floats=True, turn=0.15),
    Kind("snowman", _snowman, 0.46, 0.66, ("white", "blue", "pink", "gray"), ("snow",),
         textures.ice, turn=0.06),
    Kind("kite", _kite, 0.38, 0.74, BRIGHT, ("sky",), textures.cloth,
         patterns=("striped", "spotted"), floats=True, turn=0.6),
    Kind("umbrella", _umbrella, 0.46, 1.02, (*BRIGHT, "black"), ("sand",), textures.cloth,
         patterns=("striped", "spotted"), turn=0.2),
    Kind("clock", _clock, 0.25, 1.0, (*BRIGHT, "brown", "black"), ("wall",), textures.metal,
         floats=True),
    Kind("penguin", _penguin, 0.38, 0.64, ("black", "blue", "gray", "purple"), ("snow",),
         textures.feathers, turn=0.08),
    Kind("butterfly", _butterfly, 0.22, 1.1, (*BRIGHT, "black"), ("grass",), textures.feathers,
         textures.feathers, patterns=("spotted",), floats=True, turn=0.5),
    Kind("chair", _chair, 0.38, 0.66, (*BRIGHT, "brown", "white"), ("floor",), textures.bark,
         turn=0.04),
)  # fmt: skip

KINDS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}


def paints(color: str, pattern: str | None, draw: np.random.Generator) -> dict[str, RGB]:
    """The colors of one thing: its own, a little off the named one, and those derived from it."""
    body = np.clip(np.array(COLORS[color]) + draw.normal(0, 8, 3) + draw.normal(0, 8), 20, 250)
    mixed = {
        "body": body,
        "dark": body * 0.66,
        "light": body * 0.5 + 126,
        "contour": body * 0.28 + 10,
        "scarf": np.array(COLORS[BRIGHT[draw.integers(len(BRIGHT))]]),
    }
    if pattern is not None:
        mixed["pattern"] = body * 0.25 + 186 if body.mean() < 200 else body * 0.55
    return FIXED | {name: (int(r), int(g), int(b)) for name, (r, g, b) in mixed.items()}
