"""The procedural world: settings in, numbered scenes out, each a pure function of its number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import stage
from .grounds import GROUNDS, VIEWS
from .relations import box, relations
from .scene import Relation, Scene, Thing
from .telling import Manner, Told, language, tell
from .things import KINDS, Kind

ANEW = 40  # stagings tried until enough things find a place
AGAIN = 0.3  # how often a thing is of a kind that the scene already has
PATTERNED, SIZED = 0.5, 0.5  # how often a thing has a pattern (if it can), is small or big


@dataclass(frozen=True)
class World:
    """Textured things on textured grounds, with captions and the truth about every pixel.

    Scene `i` depends on the settings, the seed and `i` alone. Settings that only concern captions
    (`attributes` and below) leave the picture bit for bit the same, so two worlds can tell the
    same pictures in two ways: all of it or with things left out, in English or in French.

    count         fewest and most things in a scene
    kinds         the things there are
    grounds       the grounds there are
    scale         times the usual size of things; larger ones are easier to find, fewer fit
    background    "usual": things are where they belong (fish in water); "random": anywhere;
                  "swapped": never where they belong, as in Waterbirds (arXiv 1911.08731)
    attributes    how often each size, color and pattern is said, 0 to 1
    relations     how often a relation is stated ("left of"), 0 to 1
    omit          how often a name of a thing is left out of the caption: the missing concepts
                  that CoCu (arXiv 2309.13505) restores. A name is left out with all its things
    omit_grounds  the same for grounds
    long          further sentences about single things, relations and grounds follow
    language      of captions: a file of `scenes/languages`

    Lengths are in pixels. Things are sized by the shorter side, textures too, so a larger picture
    shows a scene of the same kind, not the same scene.

    >>> world = World(kinds=("boat", "cat"), grounds=("water", "floor", "wall"), seed=3)
    >>> world.names
    ('boat', 'cat', 'water', 'floor', 'wall')
    >>> scene = world.scene(9)
    >>> scene.caption
    'we see two cats on the floor in front of the wall'
    >>> [thing.attributes for thing in scene.things], scene.image.shape, scene.omitted
    ([('brown',), ('gray',)], (72, 96, 3), ())
    """

    height: int = 72
    width: int = 96
    count: tuple[int, int] = (1, 4)
    kinds: tuple[str, ...] = tuple(KINDS)
    grounds: tuple[str, ...] = tuple(GROUNDS)
    scale: float = 1.0
    background: str = "usual"
    attributes: float = 0.5
    relations: float = 0.4
    omit: float = 0.0
    omit_grounds: float = 0.2
    long: bool = False
    language: str = "en"
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 32:
            raise ValueError(
                f"scenes of {self.height}x{self.width} are too small to draw; use 32x32 or more"
            )
        if not 1 <= self.count[0] <= self.count[1] <= 10:
            raise ValueError(
                f"count={self.count} is no range of things; take 1 <= fewest <= most <= 10"
            )
        if not 0.5 <= self.scale <= 1.8:
            raise ValueError(f"scale={self.scale} hides things or the scene; take 0.5 to 1.8")
        _check_names("kinds", self.kinds, tuple(KINDS))
        _check_names("grounds", self.grounds, tuple(GROUNDS))
        _check_names("background", (self.background,), ("usual", "random", "swapped"))
        for name in ("attributes", "relations", "omit", "omit_grounds"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is no probability; take 0 to 1")
        language(self.language)
        for name in self.kinds:
            if not self._homes(KINDS[name]):
                raise ValueError(
                    f"background={self.background!r} leaves no ground for {name!r} among "
                    f"{', '.join(self.grounds)}; usual are {', '.join(KINDS[name].usual)}: "
                    "add grounds or leave the kind out"
                )
        if self.count[0] > 1 and all(KINDS[name].single for name in self.kinds):
            raise ValueError(
                f"there is one {' and one '.join(self.kinds)} at most; "
                f"add kinds or take count=(1, {self.count[1]})"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Things, then grounds: what `Scene.labels` counts. English whatever the language is."""
        return self.kinds + self.grounds

    @property
    def concepts(self) -> tuple[tuple[str, ...], ...]:
        """How captions say each name: one, and (where it differs) many."""
        nouns = language(self.language).NOUNS
        forms = (dict.fromkeys(nouns[name][:2]) for name in self.kinds)
        return (*(tuple(f) for f in forms), *((nouns[name][0],) for name in self.grounds))

    def scene(self, index: int) -> Scene:
        """Everything about scene `index`."""
        staged = self._staged(index)
        told = self._told(staged, index, telling=0)
        labels = np.array([self.names.index(name) for name in staged.land.names])[staged.land.index]
        ground = labels.copy()
        for number, thing in enumerate(staged.things, start=1):
            labels[staged.instances == number] = self.names.index(thing.name)
        there = {self.names.index(name) for name in (*staged.grounds, *_names(staged.things))}
        said = {mention.name for mention in told.mentions}
        return Scene(
            key=f"scene-{self.seed}-{index:07d}",
            image=stage.render(staged.land, staged.actors, draw=self._draw(index, 1)),
            labels=labels,
            instances=staged.instances,
            ground=ground,
            whole=staged.whole,
            things=staged.things,
            caption=told.text,
            mentions=tuple(told.mentions),
            relations=tuple(told.relations),
            mentioned=tuple(name for name in self.names if name in said),
            omitted=tuple(self.names[k] for k in sorted(there) if self.names[k] not in said),
        )

    def captions(self, index: int, *, tellings: int = 1) -> tuple[str, ...]:
        """Scene `index` told several times, the first being `Scene.caption`; nothing is painted."""
        staged = self._staged(index)
        return tuple(self._told(staged, index, telling=k).text for k in range(tellings))

    def _draw(self, index: int, *stream: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, index, *stream))

    def _told(self, staged: _Staged, index: int, *, telling: int) -> Told:
        return tell(
            staged.things,
            staged.grounds,
            staged.facts,
            manner=Manner(self.attributes, self.relations, self.omit, self.omit_grounds, self.long),
            speech=language(self.language),
            draw=self._draw(index, 2, telling),
        )

    def _homes(self, kind: Kind) -> tuple[str, ...]:
        if self.background == "random":
            return self.grounds
        usual = self.background == "usual"
        return tuple(ground for ground in self.grounds if (ground in kind.usual) == usual)

    def _staged(self, index: int) -> _Staged:
        """The things and grounds of a scene. Each kind is as likely as another to be the first."""
        draw = self._draw(index, 0)
        homes = {name: self._homes(KINDS[name]) for name in self.kinds}
        views = [view for view in VIEWS if set(view) <= set(self.grounds)]
        number = int(draw.integers(self.count[0], self.count[1] + 1))
        for _ in range(ANEW):
            first = self.kinds[draw.integers(len(self.kinds))]
            fitting = [view for view in views if set(view) & set(homes[first])]
            view = fitting[draw.integers(len(fitting))]
            land = stage.lay_land(view, height=self.height, width=self.width, draw=draw)
            possible = [name for name in self.kinds if set(homes[name]) & set(view)]
            actors = self._cast(first, possible, homes, number, land, draw)
            if len(actors) >= self.count[0]:
                return _stage(land, actors)
        raise ValueError(
            f"{self.count[0]} things do not fit into {self.height}x{self.width} pixels of scene "
            f"{index}; take a smaller count or larger pictures"
        )

    def _cast(
        self,
        first: str,
        possible: list[str],
        homes: dict[str, tuple[str, ...]],
        number: int,
        land: stage.Land,
        draw: np.random.Generator,
    ) -> list[stage.Actor]:
        actors: list[stage.Actor] = []
        for turn in range(number):
            present = [actor.kind.name for actor in actors]
            again = [name for name in present if not KINDS[name].single]
            free = [n for n in possible if not (KINDS[n].single and n in present)]
            if turn == 0:
                name = first
            elif again and draw.random() < AGAIN:
                name = again[draw.integers(len(again))]
            elif free:
                name = free[draw.integers(len(free))]
            else:
                break
            actor = stage.place(
                KINDS[name],
                on=homes[name],
                land=land,
                taken=[actor.pose.box for actor in actors],
                look=look_of(KINDS[name], draw),
                grown=self.scale,
                draw=draw,
            )
            actors += [] if actor is None else [actor]
        ordered = stage.back_to_front(actors)
        return stage.in_sight(ordered, height=self.height, width=self.width)


@dataclass(frozen=True)
class _Staged:
    """A scene before it is painted and told."""

    land: stage.Land
    actors: list[stage.Actor]
    whole: np.ndarray
    instances: np.ndarray
    things: tuple[Thing, ...]
    grounds: dict[str, str]  # those that can be seen, with their colors
    facts: list[Relation]


def _stage(land: stage.Land, actors: list[stage.Actor]) -> _Staged:
    height, width = land.index.shape
    silhouettes = [stage.silhouette(a.drawing, height=height, width=width) for a in actors]
    whole = np.stack(silhouettes)
    instances = np.zeros((height, width), dtype=np.int64)
    for number, mask in enumerate(whole, start=1):
        instances[mask] = number
    visible = instances == np.arange(1, len(actors) + 1)[:, None, None]
    things = tuple(
        Thing(a.kind.name, a.color, a.size, a.pattern, a.ground, box(mask))
        for a, mask in zip(actors, visible, strict=True)
    )
    seen = np.bincount(land.index[instances == 0], minlength=len(land.names))
    enough = max(stage.SMALLEST * height * width, 1)
    grounds = {
        name: color
        for name, color, pixels in zip(land.names, land.colors, seen, strict=True)
        if pixels >= enough or name in {thing.ground for thing in things}
    }
    return _Staged(land, actors, whole, instances, things, grounds, relations(visible, whole))


def look_of(kind: Kind, draw: np.random.Generator) -> tuple[str, str | None, str | None]:
    """A color, size and pattern that things of this kind may have."""
    color = kind.colors[draw.integers(len(kind.colors))]
    size = ("small", "big")[draw.integers(2)] if draw.random() < SIZED else None
    patterned = kind.patterns and draw.random() < PATTERNED
    return color, size, kind.patterns[draw.integers(len(kind.patterns))] if patterned else None


def _names(things: tuple[Thing, ...]) -> tuple[str, ...]:
    return tuple(thing.name for thing in things)


def _check_names(what: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown or not given or len(set(given)) < len(given):
        wrong = f"has {', '.join(unknown)}" if unknown else "is empty or names one twice"
        raise ValueError(f"{what} {wrong}; choose from {', '.join(known)}")
