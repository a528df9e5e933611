"""Scenes as pictures with captions: what a model is trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from PIL import Image

from .world import World


@dataclass(frozen=True)
class ScenePair:
    """One scene as training sees it. Plain settings: it travels to data loader workers."""

    world: World
    index: int
    tellings: int

    @property
    def key(self) -> str:
        return f"scene-{self.world.seed}-{self.index:07d}"

    @property
    def captions(self) -> tuple[str, ...]:
        return _captions(self.world, self.index, self.tellings)

    def open(self) -> Image.Image:
        return _picture(self.world, self.index)


@lru_cache(maxsize=8192)  # 20 kB each at the usual size; drawing takes longer than a training step
def _picture(world: World, index: int) -> Image.Image:
    return world.scene(index).picture


@lru_cache(maxsize=65536)  # captions need the silhouettes, which take milliseconds to draw
def _captions(world: World, index: int, tellings: int) -> tuple[str, ...]:
    return world.captions(index, tellings=tellings)


@dataclass(frozen=True)
class NothingSkipped:
    """No scene is ever broken; other sources list here what was."""

    counts: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return 0

    def add(self, reason: str, key: str, detail: str = "") -> None:
        raise AssertionError(f"{key} cannot be a {reason}: scenes are drawn, not read ({detail})")

    def report(self, *, examples: int = 3) -> str:
        return ""


@dataclass(frozen=True)
class Scenes:
    """Scenes [first, first + count) of a world, `tellings` captions each, drawn when asked for.

    >>> scenes = Scenes(World(), count=500, tellings=2)
    >>> len(scenes), scenes[499].key, scenes[499].open().size, len(scenes[499].captions)
    (500, 'scene-0-0000499', (96, 72), 2)
    """

    world: World
    count: int
    first: int = 0
    tellings: int = 1

    def __post_init__(self) -> None:
        if self.count < 1 or self.first < 0 or self.tellings < 1:
            raise ValueError(
                f"no {self.count} scenes from {self.first} on, told {self.tellings} times; "
                "take count >= 1, first >= 0, tellings >= 1"
            )

    @property
    def skipped(self) -> NothingSkipped:
        return NothingSkipped()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> ScenePair:
        if not -self.count <= index < self.count:
            raise IndexError(f"scene {index} of {self.count}")
        return ScenePair(self.world, self.first + index % self.count, self.tellings)
