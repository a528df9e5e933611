"""How high the right answers rank: recall at k for captions, top-k accuracy for classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from whatwhere.benchmarks.score import or_null, partial, percent

MOST = 10  # the largest k that is asked for


class Ranking:
    """Queries and their answers, of which some are right, seen in parts of any size.

    For each query only its best right score and its 2 * MOST best wrong ones are kept, so memory
    grows with the queries and not with queries times answers; every rank below MOST is exact.
    """

    def __init__(self, queries: int, *, device: torch.device | str = "cpu"):
        self.right = torch.full((queries,), -torch.inf, device=device)
        self.wrong = torch.full((queries, 2 * MOST), -torch.inf, device=device)

    def see(
        self,
        rows: slice,
        scores: Float[Tensor, "queries answers"],
        right: Bool[Tensor, "queries answers"],
    ) -> None:
        """Scores of some more answers for the queries `rows`."""
        scores = scores.nan_to_num(nan=-torch.inf)  # what is no number is ahead of nothing
        best = scores.masked_fill(~right, -torch.inf).amax(dim=1)
        self.right[rows] = torch.maximum(self.right[rows], best)
        wrong = torch.cat([self.wrong[rows], scores.masked_fill(right, -torch.inf)], dim=1)
        self.wrong[rows] = wrong.topk(2 * MOST, dim=1).values

    def ahead(self) -> Float[Tensor, " queries"]:
        """Wrong answers ahead of the best right one; those that score the same count half."""
        right = self.right[:, None]
        return (self.wrong > right).sum(dim=1) + (self.wrong == right).sum(dim=1) / 2

    def recall(self, k: int) -> float:
        """Share of the queries, 0 to 1, that have a right answer among their k best."""
        assert k <= MOST
        return (self.ahead() < k).float().mean().item()


@dataclass(frozen=True)
class Recalls:
    """Retrieval both ways, in shares from 0 to 1.

    As usual on Flickr and COCO: a picture is answered by any of its captions (the best one's rank
    counts), a caption only by its own picture.
    """

    to_text: dict[int, float]  # k: share of the pictures with a caption of theirs among the k best
    to_image: dict[int, float]  # k: share of the captions whose picture is among the k best
    pictures: int
    captions: int
    pictures_expected: int
    left_out: str = ""

    def table(self) -> str:
        wide = [f"R@{k:<4}" for k in self.to_text]
        rows = [
            f"{'':<18} {' '.join(wide)}".rstrip(),
            f"{'picture to caption':<18} {_row(self.to_text)}",
            f"{'caption to picture':<18} {_row(self.to_image)}",
            f"{self.pictures} pictures, {self.captions} captions; any of a picture's is right",
        ]
        rows += [f"left out: {line}" for line in self.left_out.splitlines()]
        banner = partial(self.pictures, self.pictures_expected)
        return "\n".join([banner, *rows] if banner else rows)

    def as_json(self) -> dict[str, Any]:
        """Recalls from 0 to 100."""
        return {
            "picture_to_caption": {f"recall_at_{k}": 100 * v for k, v in self.to_text.items()},
            "caption_to_picture": {f"recall_at_{k}": 100 * v for k, v in self.to_image.items()},
            "pictures": self.pictures,
            "captions": self.captions,
            "partial": self.pictures != self.pictures_expected,
            "left_out": self.left_out.splitlines(),
        }


def _row(recalls: dict[int, float]) -> str:
    return " ".join(f"{100 * value:<6.2f}" for value in recalls.values()).rstrip()


@dataclass(frozen=True, eq=False)
class TopK:
    """Photos of each class, and those whose class was the best, or among the five best."""

    classes: tuple[str, ...]
    photos: Int64[np.ndarray, " names"]
    first: Int64[np.ndarray, " names"]  # of these, the class scores best
    fifth: Int64[np.ndarray, " names"]  # it is among the five best
    photos_expected: int

    @property
    def top1(self) -> float:
        return _share(self.first.sum(), self.photos.sum())

    @property
    def top5(self) -> float:
        """nan where five names are all there are: nobody could miss."""
        return _share(self.fifth.sum(), self.photos.sum()) if len(self.classes) > 5 else np.nan

    @property
    def per_class(self) -> np.ndarray:
        """Top-1 of each class; nan where it has no photo."""
        nothing = np.full(len(self.classes), np.nan)
        return np.divide(self.first, self.photos, out=nothing, where=self.photos > 0)

    @property
    def mean_per_class(self) -> float:
        """The mean of `per_class`, in which every class counts alike (usual on Caltech-101)."""
        return float(np.nanmean(self.per_class)) if self.photos.any() else np.nan

    def table(self) -> str:
        wide = max(map(len, (*self.classes, "class")))
        rows = [f"{'class':<{wide}}  {'photos':>6}  {'top-1 %':>7}"]
        for name, photos, share in zip(self.classes, self.photos, self.per_class, strict=True):
            rows.append(f"{name:<{wide}}  {photos:>6}  {percent(share):>7}")
        rows.append(
            f"top-1 {percent(self.top1)}, top-5 {percent(self.top5)}, mean per class "
            f"{percent(self.mean_per_class)}: {self.photos.sum()} photos, "
            f"{np.count_nonzero(self.photos)} of {len(self.classes)} classes"
        )
        banner = partial(int(self.photos.sum()), self.photos_expected)
        return "\n".join([banner, *rows] if banner else rows)

    def as_json(self) -> dict[str, Any]:
        """Shares from 0 to 100; `null` for what has no value."""
        return {
            "top1": or_null(self.top1),
            "top5": or_null(self.top5),
            "mean_per_class": or_null(self.mean_per_class),
            "per_class": dict(zip(self.classes, map(or_null, self.per_class), strict=True)),
            "photos": dict(zip(self.classes, self.photos.tolist(), strict=True)),
            "photos_total": int(self.photos.sum()),
            "partial": int(self.photos.sum()) != self.photos_expected,
        }


def _share(part: Any, of: Any) -> float:
    return float(part / of) if of else np.nan


def top_k(
    classes: Sequence[str],
    ahead: Float[np.ndarray, " photos"],
    truth: Int64[np.ndarray, " photos"],
    *,
    expected: int,
) -> TopK:
    """Counts per class from the number of wrong classes ahead of each photo's own."""
    names = len(classes)

    def count(chosen: Bool[np.ndarray, " photos"]) -> Int64[np.ndarray, " names"]:
        return np.bincount(truth[chosen], minlength=names)

    return TopK(tuple(classes), count(ahead > -1), count(ahead < 1), count(ahead < 5), expected)
