"""The records of the world: what is in a picture, where, and what its caption says of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image


@dataclass(frozen=True)
class Thing:
    """One thing in a picture. Words are the world's own (English), whatever the captions speak."""

    name: str
    color: str
    size: str | None  # "small", "big" for its kind
    pattern: str | None  # "striped", "spotted"
    ground: str  # what it is on or in: under its foot, or behind its middle if it floats
    box: tuple[int, int, int, int]  # of its visible pixels: top, left, bottom, right (excluded)

    @property
    def attributes(self) -> tuple[str, ...]:
        return tuple(word for word in (self.size, self.color, self.pattern) if word is not None)


@dataclass(frozen=True)
class Mention:
    """A noun phrase of the caption, its characters [start, end), and the things it speaks of."""

    name: str
    things: tuple[int, ...]  # indices into `Scene.things`; none for a ground
    start: int
    end: int
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Relation:
    """`subject` is left of, ... `object` (indices into `Scene.things`)."""

    how: str  # "left", "right", "above", "below", "front", "behind", "near"
    subject: int
    object: int


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture, the truth about every pixel, and a caption. Things are ordered back to front."""

    key: str
    image: UInt8[np.ndarray, "height width 3"]
    labels: Int[np.ndarray, "height width"]  # index into `World.names`; every pixel has one
    instances: Int[np.ndarray, "height width"]  # 0: ground; k: visible part of things[k - 1]
    ground: Int[np.ndarray, "height width"]  # the label that would be there without things
    whole: Bool[np.ndarray, "things height width"]  # silhouettes, hidden parts included
    things: tuple[Thing, ...]
    caption: str
    mentions: tuple[Mention, ...]
    relations: tuple[Relation, ...]  # those that the caption states
    mentioned: tuple[str, ...]  # names, in the order of the world
    omitted: tuple[str, ...]  # names that are in the picture but not in the caption

    @property
    def picture(self) -> Image.Image:
        return Image.fromarray(self.image)
