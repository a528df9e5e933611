"""Scenes as labelled pictures: where every name of the world must be found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from whatwhere.pictures import Item

from .world import World

HELD_OUT = 1_000_000  # the first scene of the benchmark: training stays below


@dataclass(frozen=True)
class SceneBenchmark:
    """Held-out scenes. Every pixel counts: each has a name, so there is no background.

    >>> benchmark = SceneBenchmark(World(kinds=("cat", "ball"), grounds=("grass",)), count=30)
    >>> benchmark.names
    (('cat', 'cats'), ('ball', 'balls'), ('grass',))
    >>> next(benchmark.items()).labels.shape
    (72, 96)
    """

    world: World
    count: int
    first: int = HELD_OUT
    name: str = "scenes"
    ignore: int = 255
    background: int | None = None
    official: int | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the world, in English whatever the language of its captions is."""
        return self.world.names

    @property
    def display(self) -> tuple[str, ...]:
        """The names as captions say them."""
        return tuple(forms[0] for forms in self.world.concepts)

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        return self.world.concepts

    def __len__(self) -> int:
        return self.count

    def items(self, indices: Iterable[int] | None = None) -> Iterator[Item]:
        for index in range(self.count) if indices is None else indices:
            scene = self.world.scene(self.first + index)
            yield Item(scene.key, scene.picture, scene.labels)
