"""PASCAL VOC 2012 as the evaluator released with CLIPpy scores it, beside correct scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64
from PIL import Image

from whatwhere.benchmarks import Benchmark, Item, voc
from whatwhere.benchmarks.score import ENOUGH, Scores, or_null, percent
from whatwhere.transforms import centre_square, whole

SAID = {"diningtable": "table", "pottedplant": "potted plant", "tvmonitor": "television monitor"}
WHY = (
    "released: the square in the centre of a photo, held against the whole mask squashed to that "
    "square (the two lie on each other only if the photo is square), and a class that occurs "
    "nowhere counts as 0. Correct: the whole photo, its mask as it is, such a class left out. "
    "The former is also one look at 224 pixels with the released prompts, the latter read as the "
    "model reads any photo, larger and in windows if it says so, so they differ by that too"
)


@dataclass(frozen=True)
class BothWays:
    """Photos to be scored twice: `squashed` and read as `reading` says, and as any others.

    `background` is the rule of both, in words that the command line takes; so is `reading`. The
    released code also divides the vectors of all names by one number (their Frobenius norm), which
    moves no pixel to another name.
    """

    photos: Benchmark
    side: int = 224
    reading: tuple[str, ...] = ("side=0", "window=0", "prompts=article")
    background: str = "list:voc60"

    @property
    def name(self) -> str:
        return self.photos.name

    def __len__(self) -> int:
        return len(self.photos)


def load(root: str, split: str = "val") -> BothWays:
    """As `voc`, each class said in one way, that of the released code.

    Its only published number, 42.11 of the checkpoint clippy_5k, is of the split "train".
    """
    photos = voc.load(root, split)
    names = tuple((SAID.get(name, name),) for name in photos.classes)
    return BothWays(replace(photos, name="clippy_voc", names=names))


def squashed(item: Item, *, side: int) -> Item:
    """A photo and its labels as the released code pairs them, both `side` pixels a side."""
    view = whole(*item.labels.shape, (side, side))
    labels = view.mask(Image.fromarray(item.labels.astype(np.uint8)))
    image = centre_square(item.image, side=side)
    return Item(item.key, image, np.asarray(labels).astype(np.int64))


def released_iou(scores: Scores) -> Float64[np.ndarray, " names"]:
    """IoU with a little added to unions, so that it is 0 where there is nothing to divide by."""
    return scores.intersections / (scores.unions + np.finfo(np.float32).eps)


@dataclass(frozen=True, eq=False)
class BothScores:
    """What the same model scores in both ways."""

    released: Scores
    correct: Scores

    def table(self) -> str:
        """One line per class, then the means and why they differ."""
        classes, correct = self.correct.classes, self.correct
        wide = max(map(len, (*classes, "IoU %")))
        rows = [f"{'IoU %':<{wide}}  {'photos':>6}  {'released':>8}  {'correct':>7}"]
        columns = (classes, correct.photos, released_iou(self.released), correct.iou)
        for name, photos, released, iou in zip(*columns, strict=True):
            rows.append(f"{name:<{wide}}  {photos:>6}  {percent(released):>8}  {percent(iou):>7}")
        rows.append(
            f"mIoU {percent(released_iou(self.released).mean())} as released over all "
            f"{len(classes)} classes, {percent(correct.miou)} correct over the "
            f"{len(correct.seen_in(least=0))} that occur; {correct.photos_total} photos"
        )
        rows.append(
            f"mIoU {percent(correct.miou_over(least=ENOUGH))} correct over "
            f"{len(correct.seen_in(least=ENOUGH))} classes (in {ENOUGH} photos or more)"
        )
        rows.append(WHY)
        return "\n".join([correct.banner, *rows] if correct.banner else rows)

    def as_json(self) -> dict[str, Any]:
        """The correct scores as for `voc`, and the released way's mIoU and IoU; 0 to 100."""
        iou = released_iou(self.released)
        released = {
            "miou": or_null(iou.mean()),
            "per_class": dict(zip(self.released.classes, map(or_null, iou), strict=True)),
        }
        return self.correct.as_json() | {"released": released, "why": WHY}
