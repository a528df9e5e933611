"""Draws follow their chances, take what is there, and repeat with the same numbers."""

import numpy as np
import pytest

from whatwhere.curation.sampling import chances, draw, softmax

SCORE = np.array([[2.0, 1.5, 1.0, 0.5, 0.0], [1.0, 0.2, 0.0, 0.0, 0.0]])
CLUSTER = np.array([[0, 1, 0, 2, -1], [-1, -1, -1, -1, -1]])
NUMBER = np.array([4, 2])


def many(how, times=4000, draws=3):
    uniform = np.random.default_rng(0).random((times, 2, draws))
    score, cluster = np.tile(SCORE[:1], (times, 1)), np.tile(CLUSTER[:1], (times, 1))
    return draw(score, cluster, uniform, number=np.full(times, 4), how=how)


def test_the_best_come_first_and_a_short_row_is_filled():
    found = draw(SCORE, CLUSTER, np.zeros((2, 2, 3)), number=NUMBER, how="top")
    assert found.tolist() == [[0, 1, 2], [0, 1, -1]]


def test_chances_of_clusters_are_of_their_mean_scores():
    clusters, inside = chances(SCORE, CLUSTER)
    raised = np.exp([1.5, 1.5, 0.5])
    assert clusters[0] == pytest.approx([*(raised / raised.sum()), 0, 0])
    pair = np.exp([2.0, 1.0])
    assert inside[0] == pytest.approx([pair[0] / pair.sum(), 1, pair[1] / pair.sum(), 1, 0])
    assert (clusters[1] == 0).all() and (inside[1] == 0).all()


def test_cluster_draws_have_those_chances():
    clusters, inside = chances(SCORE[:1], CLUSTER[:1])
    expected = clusters[0][CLUSTER[0, :4]] * inside[0, :4]
    found = many("cluster")
    shares = np.bincount(found.ravel(), minlength=5) / found.size
    assert shares[:4] == pytest.approx(expected, abs=0.015) and shares[4] == 0
    assert (found[:, 0] == found[:, 1]).any(), "with replacement"


def test_pictures_without_clusters_take_the_best():
    found = draw(SCORE, CLUSTER, np.full((2, 2, 3), 0.9), number=NUMBER, how="cluster")
    assert found[1].tolist() == [0, 1, -1]


def test_softmax_draws_no_concept_twice_and_the_first_by_its_chance():
    found = many("softmax")
    assert all(len(set(row)) == 3 for row in found.tolist())
    expected = softmax(SCORE[:1], np.arange(5)[None] < 4)[0]
    shares = np.bincount(found[:, 0], minlength=5) / len(found)
    assert shares == pytest.approx(expected, abs=0.025)
    short = draw(SCORE, CLUSTER, np.full((2, 2, 3), 0.5), number=NUMBER, how="softmax")
    assert sorted(short[1].tolist()) == [-1, 0, 1]


@pytest.mark.parametrize("how", ["top", "softmax", "cluster"])
def test_a_picture_that_borrows_nothing_is_told_nothing(how):
    nothing = np.zeros((1, 5)), np.full((1, 5), -1)
    assert draw(*nothing, np.zeros((1, 2, 2)), number=np.array([0]), how=how).tolist() == [[-1, -1]]


@pytest.mark.parametrize("how", ["softmax", "cluster"])
def test_uniform_numbers_at_both_ends_draw_what_is_there(how):
    for uniform in (0.0, np.nextafter(1, 0)):
        found = draw(SCORE, CLUSTER, np.full((2, 2, 3), uniform), number=NUMBER, how=how)
        assert ((found >= -1) & (found < NUMBER[:, None])).all() and (found[0] >= 0).all()
