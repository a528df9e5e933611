"""How well groups without names fit the segments that people drew: Jaccard similarity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer
from PIL import Image

from whatwhere.benchmarks import Benchmark, Item
from whatwhere.benchmarks.photos import as_stored
from whatwhere.benchmarks.score import as_labelled, first, or_null, partial, percent


@dataclass(frozen=True)
class Drawn:
    """A photo, RGB, and a map of its segments from each person who drew some."""

    key: str
    image: Image.Image
    maps: tuple[Int64[np.ndarray, "height width"], ...]


@dataclass(frozen=True)
class Segments:
    """A benchmark of photos whose segments are known, but not what they show.

    The numbers in a map tell its segments apart and mean nothing else, but for `ignore` (pixels
    that do not count) and `background` (pixels that are no segment, if there is such a number).
    """

    name: str
    files: tuple[tuple[str, Path, Path], ...]  # key, photo, segments
    read: Callable[[Path], list[Int64[np.ndarray, "height width"]]]
    ignore: int
    background: int | None = None
    official: int | None = None

    def __len__(self) -> int:
        return len(self.files)

    def items(self, indices: Iterable[int] | None = None) -> Iterator[Drawn]:
        """These photos, or all of them, read one at a time."""
        for index in range(len(self)) if indices is None else indices:
            key, photo, file = self.files[index]
            image, maps = as_stored(photo), self.read(file)
            for drawn in maps:
                if drawn.shape != (image.height, image.width):
                    raise ValueError(
                        f"{file} is {'x'.join(map(str, drawn.shape))} and its photo "
                        f"{image.height}x{image.width} (height x width); they need one size"
                    )
            yield Drawn(key, image, tuple(maps))


def best_ious(
    truth: Integer[np.ndarray, "height width"],
    groups: Integer[np.ndarray, "height width"],
    *,
    ignore: int,
) -> tuple[Int64[np.ndarray, " segments"], Float64[np.ndarray, " segments"]]:
    """The segments of `truth`, ascending, and the IoU of each with the group that fits it best.

    One group may be the best of several segments. Ignored pixels belong to neither.

    >>> best_ious(np.array([[3, 3, 7, 9]]), np.array([[0, 0, 0, 1]]), ignore=9)[1].round(2).tolist()
    [0.67, 0.33]
    """
    counted = truth != ignore
    segments, rows = np.unique(truth[counted], return_inverse=True)
    found, columns = np.unique(groups[counted], return_inverse=True)
    cells = len(segments) * len(found)
    both = np.bincount(rows * len(found) + columns, minlength=cells)
    both = both.reshape(len(segments), len(found))
    either = both.sum(axis=1, keepdims=True) + both.sum(axis=0) - both
    return segments.astype(np.int64), (both / either).max(axis=1, initial=0)


@dataclass(frozen=True, eq=False)
class Jaccard:
    """The best IoU of every segment of a set, averaged over segments, whatever they show.

    The measure of CLIPpy's tables 3 and 4 ("JS", protocol of DINO and GroupViT); which details are
    ours says section 5.6 of its specification: a segment is all pixels of one number in one map,
    and takes the group with the highest IoU. Where several people drew a photo, the one whose
    segments have the highest mean counts, and only that one. Whether a background is a segment is
    not said, so both means are given; the first leaves it out, for things are what was annotated,
    but its pixels still count against groups that reach into it.
    """

    ious: Float64[np.ndarray, " segments"]
    background: Bool[np.ndarray, " segments"]
    photos: int
    photos_expected: int

    @property
    def mean(self) -> float:
        """Over all segments but backgrounds; nan where there is none."""
        return _mean(self.ious[~self.background])

    @property
    def mean_with_background(self) -> float:
        return _mean(self.ious)

    def table(self) -> str:
        things = np.count_nonzero(~self.background)
        rows = [f"Jaccard {percent(self.mean)} over {things} segments of {self.photos} photos"]
        if self.background.any():
            rows.append(
                f"Jaccard {percent(self.mean_with_background)} with each background as one more "
                f"segment, {len(self.ious)} in all"
            )
        banner = partial(self.photos, self.photos_expected)
        return "\n".join([banner, *rows] if banner else rows)

    def as_json(self) -> dict[str, Any]:
        """Means from 0 to 100; `null` for what has no value."""
        return {
            "jaccard": or_null(self.mean),
            "jaccard_with_background": or_null(self.mean_with_background),
            "segments": int(np.count_nonzero(~self.background)),
            "segments_with_background": len(self.ious),
            "photos_total": self.photos,
            "photos_expected": self.photos_expected,
            "partial": self.photos != self.photos_expected,
        }


def jaccard(
    group: Callable[[Image.Image], Integer[np.ndarray, "height width"]],
    benchmark: Segments | Benchmark,
    *,
    limit: int | None = None,
    progress: bool = True,
) -> Jaccard:
    """Groups every photo of the benchmark, or the first `limit`, and scores all.

    group: a photo of any size to its map, a number for every pixel. Of a benchmark of classes, a
    segment is all that a photo shows of one class.
    """
    ious, background, photos = [np.zeros(0)], [np.zeros(0, bool)], 0
    for item in first(benchmark, limit, progress=progress):
        found = np.asarray(group(item.image))
        if isinstance(item, Item):
            found, maps = as_labelled(found, item), (item.labels,)
        else:
            maps = item.maps
        scored = [best_ious(drawn, found, ignore=benchmark.ignore) for drawn in maps]
        segments, best = max(scored, key=lambda one: one[1].mean() if len(one[1]) else -1)
        ious.append(best)
        background.append(segments == benchmark.background)
        photos += 1
    expected = len(benchmark) if benchmark.official is None else benchmark.official
    return Jaccard(np.concatenate(ious), np.concatenate(background), photos, expected)


def _mean(ious: Float64[np.ndarray, " segments"]) -> float:
    return float(ious.mean()) if len(ious) else np.nan
