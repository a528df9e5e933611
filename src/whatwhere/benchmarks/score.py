"""How good label maps are: intersections and unions counted over the whole set, then divided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64, Integer
from PIL import Image
from tqdm import tqdm

from whatwhere.benchmarks import Benchmark, Item

One = TypeVar("One", covariant=True)

ENOUGH = 10  # photos; the IoU of a class seen in fewer is mostly luck


def confusion(
    truth: Integer[np.ndarray, "*place"],
    guess: Integer[np.ndarray, "*place"],
    *,
    names: int,
    ignore: int,
) -> Int64[np.ndarray, "{names} {names}"]:
    """Pixels of each (true, guessed) class; rows are the truth. Exact for any number of names.

    Pixels whose truth is `ignore` do not count, but the guess must be a class everywhere: a
    segmenter does not know which pixels these are.

    >>> confusion(np.array([0, 0, 1, 9]), np.array([0, 1, 1, 0]), names=2, ignore=9).tolist()
    [[1, 1], [0, 1]]
    """
    if ignore < names:
        raise ValueError(f"ignored pixels have value {ignore} among {names} names; take {names} up")
    if truth.min(initial=0) < 0:
        _check("truth", truth, names)
    _check("guess", guess, names)
    # Ignored pixels fall into a row below the last class and are cut off with it, which is faster
    # than picking the others out.
    rows = np.minimum(truth.astype(np.int64, copy=False), names)
    pairs = rows * names + guess.astype(np.int64, copy=False)
    counts = np.bincount(pairs.ravel(), minlength=names * (names + 1))
    counts = counts.reshape(names + 1, names)
    if counts[names].sum() != np.count_nonzero(truth == ignore):
        _check("truth", truth[truth != ignore], names)
    return counts[:names]


@dataclass(frozen=True, eq=False)
class Scores:
    """What a set of label maps is worth. Shares and IoUs are from 0 to 1 here, percent in print.

    The definition is that of mmsegmentation 0.27, which the papers of the field report: counts are
    pooled over the set before anything is divided, and a class in neither truth nor guess has no
    IoU (nan) and is left out of the mean. The evaluator released with CLIPpy gives it 0 instead
    (and adds 1e-7 to unions), which makes a partial set look worse than it is.
    """

    classes: tuple[str, ...]
    counts: Int64[np.ndarray, "names names"]  # pixels; rows are the truth, columns the guess
    photos: Int64[np.ndarray, " names"]  # photos in which each class is to be seen
    photos_total: int
    photos_expected: int | None = None  # of the whole official set

    @property
    def intersections(self) -> Int64[np.ndarray, " names"]:
        return self.counts.diagonal()

    @property
    def unions(self) -> Int64[np.ndarray, " names"]:
        return self.counts.sum(axis=0) + self.counts.sum(axis=1) - self.intersections

    @property
    def iou(self) -> Float64[np.ndarray, " names"]:
        nothing = np.full(len(self.classes), np.nan)
        return np.divide(self.intersections, self.unions, out=nothing, where=self.unions > 0)

    @property
    def miou(self) -> float:
        return self.miou_over(least=0)

    def miou_over(self, *, least: int) -> float:
        """The mean over classes that at least so many photos show; nan when there are none."""
        iou = self.iou[self.seen_in(least=least)]
        return float(np.mean(iou)) if len(iou) else float("nan")

    def seen_in(self, *, least: int) -> Int64[np.ndarray, " chosen"]:
        """The classes that have an IoU and that at least so many photos show."""
        return np.flatnonzero((self.photos >= least) & ~np.isnan(self.iou))

    @property
    def accuracy(self) -> float:
        """Share of the pixels that count whose class is right; nan when none counts."""
        pixels = self.counts.sum()
        return float(self.intersections.sum() / pixels) if pixels else float("nan")

    @property
    def banner(self) -> str | None:
        return partial(self.photos_total, self.photos_expected)

    def table(self) -> str:
        """One line per class, then the means; IoU and shares in percent."""
        share = self.counts.sum(axis=1) / max(self.counts.sum(), 1)
        wide = max(map(len, (*self.classes, "class")))
        rows = [f"{'class':<{wide}}  {'photos':>6}  {'pixels %':>8}  {'IoU %':>6}"]
        for name, photos, part, iou in zip(self.classes, self.photos, share, self.iou, strict=True):
            rows.append(f"{name:<{wide}}  {photos:>6}  {100 * part:>8.2f}  {percent(iou):>6}")
        for least, which in ((0, "all that occur"), (ENOUGH, f"in {ENOUGH} photos or more")):
            number, mean = len(self.seen_in(least=least)), self.miou_over(least=least)
            rows.append(f"mIoU {percent(mean)} over {number} classes ({which})")
        rows.append(f"pixel accuracy {percent(self.accuracy)}, {self.photos_total} photos")
        return "\n".join([self.banner, *rows] if self.banner else rows)

    def as_json(self) -> dict[str, Any]:
        """The object that `evaluate --json` prints. IoU, mIoU and accuracy run from 0 to 100.

        `null` stands for what has no value: the IoU of a class in neither truth nor guess. miou_10
        is the mean over the classes_10 classes that 10 photos or more show.
        """
        return {
            "miou": or_null(self.miou),
            "per_class": dict(zip(self.classes, map(or_null, self.iou), strict=True)),
            "photos": dict(zip(self.classes, self.photos.tolist(), strict=True)),
            "accuracy": or_null(self.accuracy),
            f"miou_{ENOUGH}": or_null(self.miou_over(least=ENOUGH)),
            f"classes_{ENOUGH}": len(self.seen_in(least=ENOUGH)),
            "photos_total": self.photos_total,
            "photos_expected": self.photos_expected,
            "partial": self.banner is not None,
        }


@dataclass(eq=False)
class Tally:
    """Label maps of a benchmark, counted one photo at a time."""

    benchmark: Benchmark
    counts: Int64[np.ndarray, "names names"] = field(init=False)
    photos: Int64[np.ndarray, " names"] = field(init=False)
    total: int = field(init=False, default=0)

    def __post_init__(self):
        names = len(self.benchmark.classes)
        self.counts, self.photos = np.zeros((names, names), np.int64), np.zeros(names, np.int64)

    def add(self, item: Item, guess: np.ndarray) -> None:
        """guess: a class 0 to K-1 of the benchmark for every pixel of the photo."""
        if guess.dtype.kind not in "iu":
            raise ValueError(f"the map of {item.key} is {guess.dtype}; give class ids as integers")
        guess = as_labelled(guess, item)
        if guess.shape != item.labels.shape:
            raise ValueError(
                f"the map of {item.key} is {guess.shape}; give its photo's "
                f"{item.image.size[::-1]} (height x width)"
            )
        benchmark = self.benchmark
        here = confusion(item.labels, guess, names=len(benchmark.classes), ignore=benchmark.ignore)
        self.counts += here
        self.photos += here.any(axis=1)
        self.total += 1

    @property
    def scores(self) -> Scores:
        benchmark = self.benchmark
        expected = len(benchmark) if benchmark.official is None else benchmark.official
        return Scores(benchmark.classes, self.counts, self.photos, self.total, expected)


def evaluate(
    segment: Callable[[Image.Image], Integer[np.ndarray, "height width"]],
    benchmark: Benchmark,
    *,
    progress: bool = True,
    limit: int | None = None,
) -> Scores:
    """Label every photo (or the first `limit`) with `segment` and count.

    segment: a photo of any size to its map, a class 0 to K-1 of `benchmark` for every pixel.
    """
    tally = Tally(benchmark)
    for item in first(benchmark, limit, progress=progress):
        tally.add(item, np.asarray(segment(item.image)))
    return tally.scores


def as_labelled(guess: Integer[np.ndarray, "*place"], item: Item) -> Integer[np.ndarray, "*size"]:
    """The map of a photo that was shown smaller than its labels are, enlarged to these.

    Each pixel takes the one that it falls into, as `nearest` of the usual evaluation code does.

    >>> small = Item("a", Image.new("RGB", (2, 1)), np.zeros((2, 5), int))
    >>> as_labelled(np.array([[7, 8]]), small).tolist()
    [[7, 7, 7, 8, 8], [7, 7, 7, 8, 8]]
    """
    if guess.shape != (item.image.height, item.image.width) or guess.shape == item.labels.shape:
        return guess
    rows, cols = (
        np.arange(long) * short // long
        for long, short in zip(item.labels.shape, guess.shape, strict=True)
    )
    return guess[rows[:, None], cols]


@runtime_checkable
class Photographed(Protocol[One]):
    """Photos, each with its answer."""

    @property
    def name(self) -> str: ...
    def __len__(self) -> int: ...
    def items(self, indices: Iterable[int] | None = None) -> Iterator[One]: ...


def first(benchmark: Photographed[One], limit: int | None, *, progress: bool) -> Iterator[One]:
    """The first `limit` photos of a benchmark, or all, under a progress bar."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; give at least 1, or None for all photos")
    total = len(benchmark) if limit is None else min(limit, len(benchmark))
    items = benchmark.items(range(total))
    return iter(tqdm(items, benchmark.name, total, disable=not progress, unit="photo"))


def partial(total: int, expected: int | None) -> str | None:
    """The warning to print above any number that cannot be held against published ones."""
    if expected in (None, total):
        return None
    return f"PARTIAL SET: {total} photos of {expected}; do not compare with published numbers"


def percent(share: float) -> str:
    """
    >>> percent(0.4567), percent(float("nan"))
    ('45.67', '-')
    """
    return "-" if np.isnan(share) else f"{100 * share:.2f}"


def or_null(share: float) -> float | None:
    """From 0 to 100 for JSON, which has no nan."""
    return None if np.isnan(share) else 100 * float(share)


def _check(what: str, ids: Integer[np.ndarray, "*place"], names: int) -> None:
    if ids.min(initial=0) < 0 or ids.max(initial=0) >= names:
        raise ValueError(f"{what} has ids from {ids.min()} to {ids.max()}; take 0 to {names - 1}")
