"""Whether a thing is still known where it does not belong: accuracy by class and ground."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64

from whatwhere.benchmarks.score import or_null, partial, percent
from whatwhere.pictures import OnGround


@runtime_checkable
class OnGrounds(Protocol):
    """Photos of things, each with its class and with the ground that it is on."""

    @property
    def name(self) -> str: ...

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """How to say each class that competes, of which the first have photos."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Those that have photos."""
        ...

    @property
    def grounds(self) -> tuple[str, ...]: ...

    @property
    def usual(self) -> tuple[int, ...]:
        """The ground on which each of `classes` is at home."""
        ...

    @property
    def official(self) -> int | None:
        """Photos in the set that published numbers refer to; None: there is no such set."""
        ...

    def __len__(self) -> int: ...

    def items(self, indices: Iterable[int] | None = None) -> Iterator[OnGround]:
        """These photos, or all of them, read one at a time."""
        ...


@dataclass(frozen=True, eq=False)
class ByGround:
    """Photos of each class on each ground, and those whose class was found, among all names.

    The domain gap of a class is that of CLIPpy (arXiv 2210.09996, fig. 4): its accuracy at home
    minus that elsewhere. A model that looks at things alone has none.
    """

    classes: tuple[str, ...]
    grounds: tuple[str, ...]
    usual: tuple[int, ...]
    photos: Int64[np.ndarray, "names grounds"]
    right: Int64[np.ndarray, "names grounds"]
    photos_expected: int

    @property
    def accuracy(self) -> Float64[np.ndarray, "names grounds"]:
        """From 0 to 1; nan where there is no photo."""
        return _share(self.right, self.photos)

    @property
    def gap(self) -> Float64[np.ndarray, " names"]:
        """At home minus elsewhere, all photos elsewhere counting alike; -1 to 1."""
        home, away = (_share(*self._photos(at_home).sum(axis=2)) for at_home in (True, False))
        return home - away

    @property
    def average_gap(self) -> float:
        """The same over the photos of all classes."""
        home, away = (_share(*self._photos(at_home).sum((1, 2))) for at_home in (True, False))
        return float(home - away)

    @property
    def average(self) -> float:
        """Accuracy over all photos."""
        return float(_share(self.right.sum(), self.photos.sum()))

    @property
    def worst(self) -> float:
        """The lowest accuracy of a class on a ground; nan if there is no photo at all."""
        return float(np.nanmin(self.accuracy)) if self.photos.any() else np.nan

    def table(self) -> str:
        """A line per class: accuracy on each ground, a star at home, and the gap; percent."""
        wide = max(map(len, (*self.classes, "top-1 %")))
        heads = "  ".join(f"{ground:>7}" for ground in self.grounds)
        rows = [f"{'top-1 %':<{wide}}  {'photos':>6}  {heads}   {'gap':>7}"]
        for row, (name, at_home) in enumerate(zip(self.classes, self.usual, strict=True)):
            marks = ["*" if column == at_home else " " for column in range(len(self.grounds))]
            cells = [
                f"{percent(share):>{max(len(ground), 7)}}{mark}"
                for share, ground, mark in zip(self.accuracy[row], self.grounds, marks, strict=True)
            ]
            photos, gap = self.photos[row].sum(), percent(self.gap[row])
            rows.append(f"{name:<{wide}}  {photos:>6}  {' '.join(cells)}  {gap:>7}")
        rows.append(
            f"top-1 {percent(self.average)}, worst class on a ground {percent(self.worst)}, gap "
            f"{percent(self.average_gap)} (at home, *, minus elsewhere): {self.photos.sum()} photos"
        )
        banner = partial(int(self.photos.sum()), self.photos_expected)
        return "\n".join([banner, *rows] if banner else rows)

    def as_json(self) -> dict[str, Any]:
        """Shares from 0 to 100, gaps from -100; `null` for what has no value."""

        def keyed(values: np.ndarray, how: Any) -> dict[str, dict]:
            return {
                name: dict(zip(self.grounds, map(how, row), strict=True))
                for name, row in zip(self.classes, values, strict=True)
            }

        return {
            "top1": or_null(self.average),
            "worst_group": or_null(self.worst),
            "gap": or_null(self.average_gap),
            "gaps": dict(zip(self.classes, map(or_null, self.gap), strict=True)),
            "by_ground": keyed(self.accuracy, or_null),
            "photos": keyed(self.photos, int),
            "photos_total": int(self.photos.sum()),
            "partial": int(self.photos.sum()) != self.photos_expected,
        }

    def _photos(self, at_home: bool) -> Int64[np.ndarray, "2 names grounds"]:
        """Those that were right, and all, where the thing is at home or where it is not."""
        home = np.arange(len(self.grounds)) == np.array(self.usual)[:, None]
        return np.stack([self.right, self.photos]) * (home == at_home)


def _share(part: Any, of: Any) -> np.ndarray:
    nothing = np.full(np.shape(of), np.nan)
    return np.divide(part, of, out=nothing, where=np.asarray(of) > 0)


def by_ground(benchmark: OnGrounds, found: Iterable[tuple[OnGround, bool]]) -> ByGround:
    """Counts photos and whether their class was found, as they come."""
    photos = np.zeros((len(benchmark.classes), len(benchmark.grounds)), np.int64)
    right = np.zeros_like(photos)
    for photo, known in found:
        photos[photo.label, photo.ground] += 1
        right[photo.label, photo.ground] += known
    expected = len(benchmark) if benchmark.official is None else benchmark.official
    return ByGround(benchmark.classes, benchmark.grounds, benchmark.usual, photos, right, expected)
