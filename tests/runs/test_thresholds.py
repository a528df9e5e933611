"""The background rule that captions teach."""

import numpy as np
import pytest

from whatwhere.runs.thresholds import equal_error


def test_the_threshold_has_as_many_wrong_above_as_below():
    draw = np.random.default_rng(0)
    above, below = draw.normal(1.0, 0.5, size=4001), draw.normal(0.0, 1.0, size=977)
    threshold, error = equal_error(above, below)
    missed = sum(value < threshold for value in above) / len(above)
    taken = sum(value >= threshold for value in below) / len(below)
    assert missed == pytest.approx(taken, abs=2e-3)
    assert error == pytest.approx((missed + taken) / 2)
    assert 0.2 < error < 0.3  # the tails of two normals beyond (1 - t) / 0.5 = t


def test_what_is_apart_is_told_apart_without_error():
    threshold, error = equal_error(np.array([0.9, 0.8]), np.array([0.1, 0.3, 0.2]))
    assert 0.3 < threshold <= 0.8 and error == 0.0


def test_what_is_the_wrong_way_round_is_all_error():
    _, error = equal_error(np.array([0.1, 0.2]), np.array([0.8, 0.9, 1.0]))
    assert error > 0.9
