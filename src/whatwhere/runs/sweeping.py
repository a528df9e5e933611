"""Many background thresholds in one pass: every photo is scored once and thresholded often."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import torch

from whatwhere.benchmarks import Benchmark
from whatwhere.benchmarks.score import ENOUGH, Scores, Tally, first, or_null, percent
from whatwhere.concepts.names import parse_names
from whatwhere.segmenter import Segmenter

Rule = Literal["score", "probability"]
USUAL = {"score": "0:0.5:0.05", "probability": "0:0.95:0.05"}
NOTE = (
    "these thresholds are compared by the labels they are scored on: to quote the best of them is "
    "tuning on the test; choose one elsewhere, or show the curve"
)


@dataclass(frozen=True)
class Sweep:
    """The thresholds to try of a background rule (see `segmenter.reading.Background`)."""

    rule: Rule
    thresholds: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores at each threshold. There is no best one here, see `NOTE`."""

    sweep: Sweep
    scores: tuple[Scores, ...]
    background: int

    def table(self) -> str:
        rows = [f"{self.sweep.rule} <   mIoU %  in {ENOUGH}+ photos  background  pixels right"]
        for threshold, at in zip(self.sweep.thresholds, self.scores, strict=True):
            rows.append(
                f"{threshold:>{len(self.sweep.rule) + 2}g}  {percent(at.miou):>7}  "
                f"{percent(at.miou_over(least=ENOUGH)):>13}  "
                f"{percent(at.iou[self.background]):>10}  {percent(at.accuracy):>12}"
            )
        rows.append(f"{self.scores[0].photos_total} photos; {NOTE}")
        banner = self.scores[0].banner
        return "\n".join([banner, *rows] if banner else rows)

    def as_json(self) -> dict[str, Any]:
        """IoU, mIoU and accuracy run from 0 to 100."""
        some = self.scores[0]
        points = [
            {
                "threshold": threshold,
                "miou": or_null(at.miou),
                f"miou_{ENOUGH}": or_null(at.miou_over(least=ENOUGH)),
                "background": or_null(at.iou[self.background]),
                "accuracy": or_null(at.accuracy),
            }
            for threshold, at in zip(self.sweep.thresholds, self.scores, strict=True)
        ]
        return {
            "sweep": self.sweep.rule,
            "points": points,
            "photos": dict(zip(some.classes, some.photos.tolist(), strict=True)),
            "photos_total": some.photos_total,
            "partial": some.banner is not None,
            "note": NOTE,
        }


def parse_sweep(text: str) -> Sweep:
    """Thresholds as typed in a shell: a rule, or a rule with the first, the last and the step.

    >>> parse_sweep("score:-0.1:0.1:0.05").thresholds
    (-0.1, -0.05, 0.0, 0.05, 0.1)
    """
    rule, _, typed = text.partition(":")
    if rule in get_args(Rule):
        try:
            low, high, step = map(float, (typed or USUAL[rule]).split(":"))
        except ValueError:
            low = high = step = math.nan
        steps = (high - low) / step if step > 0 else math.nan
        if 0 <= steps < 1000:
            count = math.floor(steps + 1e-9) + 1
            chosen = tuple(round(low + i * step, 10) + 0.0 for i in range(count))
            return Sweep(cast(Rule, rule), chosen)
    raise ValueError(
        f"no sweep {text!r}; use score, probability, or with the first, the last and the step: "
        "score:0:0.4:0.02"
    )


def asked(benchmark: Benchmark) -> tuple[list[int], list[str]]:
    """Classes that a segmenter is asked for, and how: all but the background, which is no word."""
    named = [row for row in range(len(benchmark.classes)) if row != benchmark.background]
    return named, ["|".join(benchmark.names[row]) for row in named]


@torch.no_grad()
def sweep_background(
    segment: Segmenter, benchmark: Benchmark, sweep: Sweep, *, limit: int | None = None
) -> Curve:
    """The scores that each threshold would have in a run of its own."""
    if benchmark.background is None:
        raise ValueError(f"{benchmark.name} has no background class to find; leave --sweep out")
    named, names = asked(benchmark)
    vectors, owner = segment.name_vectors(parse_names(names))
    tallies = [Tally(benchmark) for _ in sweep.thresholds]
    for item in first(benchmark, limit, progress=True):
        best, label, confidence = segment.best(segment.look(item.image), vectors, owner)
        found = np.array(named)[label.cpu().numpy()]
        held = (best if sweep.rule == "score" else confidence).cpu().numpy()
        for threshold, tally in zip(sweep.thresholds, tallies, strict=True):
            tally.add(item, np.where(held < threshold, benchmark.background, found))
    return Curve(sweep, tuple(tally.scores for tally in tallies), benchmark.background)
