"""A sweep gives what a run for each threshold would, and looks at each photo once."""

import json
from dataclasses import replace

import numpy as np
import pytest

from segmenter.colours import SMALL, painting, segmenter
from whatwhere.benchmarks.score import evaluate
from whatwhere.pictures import Item
from whatwhere.runs.evaluating import labeller, measure
from whatwhere.runs.sweeping import Sweep, parse_sweep, sweep_background
from whatwhere.segmenter.reading import Background

ROWS = (["red", "white", "green"], ["green", "blue", "blue"]), (["white", "red"],)


class Paintings:
    """Red, nothing (white and blue) and green; the last column does not count."""

    name, classes = "paintings", ("red", "nothing", "green")
    names = (("red",), ("nothing",), ("green", "blue"))
    ignore, official = 9, None

    def __init__(self, background=1):
        self.background = background

    def __len__(self):
        return len(ROWS)

    def items(self, indices=None):
        for index in range(len(self)) if indices is None else indices:
            picture = painting(*ROWS[index])
            ids = {"red": 0, "green": 2, "white": 1, "blue": 1}
            labels = np.array([[ids[name] for name in row] for row in ROWS[index]])
            labels = labels.repeat(8, axis=0).repeat(8, axis=1)
            labels[:, -1] = 9
            yield Item(f"painting {index}", picture, labels)


@pytest.mark.parametrize("rule", ["score", "probability"])
def test_each_threshold_scores_as_in_a_run_of_its_own(rule):
    segment, thresholds = segmenter(replace(SMALL, window=8, stride=4)), (0.2, 0.5, 0.8, 0.99)
    curve = sweep_background(segment, Paintings(), Sweep(rule, thresholds))
    alone = []
    for threshold, found in zip(thresholds, curve.scores, strict=True):
        label = labeller(segment, Paintings(), background=Background(rule, threshold))
        alone.append(evaluate(label, Paintings(), progress=False))
        assert np.array_equal(found.counts, alone[-1].counts)
        assert found.photos.tolist() == alone[-1].photos.tolist()
    assert len({scores.counts.tobytes() for scores in alone}) > 1


def test_every_photo_is_looked_at_once(monkeypatch):
    segment, looked = segmenter(), []
    look = segment.look
    monkeypatch.setattr(segment, "look", lambda photo: looked.append(photo) or look(photo))
    sweep_background(segment, Paintings(), Sweep("score", (0.1, 0.2, 0.3)))
    assert len(looked) == 2


def test_a_limit_makes_the_curve_partial():
    curve = sweep_background(segmenter(), Paintings(), Sweep("score", (0.1,)), limit=1)
    assert curve.table().startswith("PARTIAL SET: 1 photos of 2")
    assert curve.as_json()["partial"] is True


def test_the_curve_names_no_best_threshold_and_says_why():
    found = measure(segmenter(), Paintings(), sweep=parse_sweep("score:0:0.9:0.3"))
    said = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert [point["threshold"] for point in said["points"]] == [0, 0.3, 0.6, 0.9]
    assert "miou" not in said and "tuning on the test" in said["note"]
    assert "tuning on the test" in found.table()
    rows = found.table().splitlines()[1:5]
    assert [float(row.split()[1]) for row in rows] == [
        pytest.approx(point["miou"], abs=0.005) for point in said["points"]
    ]


def test_without_a_background_class_there_is_nothing_to_sweep():
    with pytest.raises(ValueError, match="paintings has no background class"):
        sweep_background(segmenter(), Paintings(background=None), Sweep("score", (0.1,)))
    with pytest.raises(ValueError, match="leave --background out"):
        measure(
            segmenter(), Paintings(), sweep=Sweep("score", (0.1,)), background=Background("none")
        )


@pytest.mark.parametrize(
    ("typed", "first", "last", "count"),
    [
        ("score", 0, 0.5, 11),
        ("probability", 0, 0.95, 20),
        ("score:-0.2:0.3:0.1", -0.2, 0.3, 6),
        ("score:0:0.25:0.1", 0, 0.2, 3),
        ("probability:0.5:0.5:1", 0.5, 0.5, 1),
    ],
)
def test_sweeps_as_typed(typed, first, last, count):
    found = parse_sweep(typed)
    assert found.rule == typed.partition(":")[0]
    assert (found.thresholds[0], found.thresholds[-1], len(found.thresholds)) == (
        first,
        last,
        count,
    )


@pytest.mark.parametrize(
    "typed",
    ["", "none", "scores", "score:0.2", "score:0:1", "score:0:1:0", "score:1:0:0.1", "score:0:1:x",
     "score:0:nan:0.1", "score:0:inf:0.1", "score:0:1:1e-9"],
)  # fmt: skip
def test_other_sweeps_are_refused_with_an_example(typed):
    with pytest.raises(ValueError, match=r"score:0:0\.4:0\.02"):
        parse_sweep(typed)
