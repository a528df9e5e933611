"""The benchmark `scenes_swap`: the same thing where it belongs and where it does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from whatwhere.pictures import OnGround

from . import stage
from .things import KINDS
from .world import World, look_of

FIRST = 4_000_000  # scenes of a world that nothing else draws
WORLD = World(  # the things that the recipe `scenes` learns, at its scale
    kinds=("balloon", "boat", "car", "cat", "cactus", "fish", "flower", "house", "sheep", "tree"),
    scale=1.4,
)


@dataclass(frozen=True)
class SwappedScenes:
    """Waterbirds (arXiv 1911.08731) drawn: each thing alone in a square, on two grounds in turn.

    Both pictures show it at the same place, of the same size, color and pattern. The first ground
    is one of its usual ones, the second is not, and there is nothing else to go by. Kinds take
    turns, so that all are equally frequent, and all of them compete.

    >>> swapped = SwappedScenes(WORLD, things=30)
    >>> [(item.label, item.ground, item.image.size) for item in swapped.items([4, 5])]
    [(2, 0, (72, 72)), (2, 1, (72, 72))]
    """

    world: World
    things: int
    name: str = "scenes_swap"
    grounds: tuple[str, ...] = ("usual", "swapped")
    official: int | None = None

    def __post_init__(self) -> None:
        for background in self.grounds:  # ValueError if a thing has no ground of the sort
            replace(self.world, background=background)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.world.kinds

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        return self.world.concepts[: len(self.classes)]

    @property
    def usual(self) -> tuple[int, ...]:
        return (0,) * len(self.classes)

    def __len__(self) -> int:
        return 2 * self.things

    def items(self, indices: Iterable[int] | None = None) -> Iterator[OnGround]:
        for index in range(len(self)) if indices is None else indices:
            thing, ground = divmod(index, 2)
            key = f"{self.name}-{self.world.seed}-{thing:05d}-{self.grounds[ground]}"
            yield OnGround(key, self._picture(thing, ground), thing % len(self.classes), ground)

    def _picture(self, thing: int, which: int) -> Image.Image:
        land, actor = self._staged(thing, which)
        return Image.fromarray(stage.render(land, [actor], draw=self._draw(thing, 1)))

    def _staged(self, thing: int, which: int) -> tuple[stage.Land, stage.Actor]:
        kind, draw = KINDS[self.classes[thing % len(self.classes)]], self._draw(thing, 0)
        homes = [name for name in self.world.grounds if name in kind.usual]
        others = [name for name in self.world.grounds if name not in kind.usual]
        ground = [str(draw.choice(some)) for some in (homes, others)][which]
        side = min(self.world.height, self.world.width)
        land = stage.lay_land((ground,), height=side, width=side, draw=self._draw(thing, 2))
        actor = stage.place(
            kind,
            on=(ground,),
            land=land,
            taken=[],
            look=look_of(kind, draw),
            grown=self.world.scale,
            draw=draw,
        )
        assert actor is not None, "one ground and nothing else leave a place"
        return land, actor

    def _draw(self, thing: int, stream: int) -> np.random.Generator:
        return np.random.default_rng((self.world.seed, FIRST + thing, stream))


def load(root: str | None = None, split: str = "0") -> SwappedScenes:
    """400 things, 40 of each kind that the recipe `scenes` learns; nothing is read from disk.

    split: the seed, any whole number from 0 on; others draw other scenes.
    """
    if root is not None:
        raise ValueError(f"scenes_swap is drawn, not read from {root}; leave --root out")
    if not split.isdecimal():
        raise ValueError(f"scenes_swap has no split {split!r}; give a seed, such as 0")
    return SwappedScenes(replace(WORLD, seed=int(split)), things=400)
