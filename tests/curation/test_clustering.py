"""Concepts of a picture in clusters: as few squares as can be, whatever stands beside them."""

import numpy as np
import pytest
from pools import unit

from whatwhere.curation.clustering import cluster


def squares(vectors, label):
    """Squared distances from the means of the clusters."""
    parts = [vectors[label == one] for one in set(label.tolist())]
    return sum(float(((part - part.mean(axis=0)) ** 2).sum()) for part in parts)


def partitions(number, parts):
    """All ways to put things into so many clusters, numbered by their first thing."""

    def more(label, used):
        if number - len(label) < parts - used:
            return
        if len(label) == number:
            yield np.array(label)
            return
        for one in range(min(used + 1, parts)):
            yield from more([*label, one], max(used, one + 1))

    return more([], 0)


def filled(rows, width):
    return np.array([row + [-1] * (width - len(row)) for row in rows])


def test_the_squares_are_nearly_the_least_of_all_partitions():
    draw = np.random.default_rng(0)
    ratios = []
    for number in (3, 4, 5, 6, 7):
        for _ in range(4):
            vectors = unit(draw, number, 5)
            (label,) = cluster(np.arange(number)[None], vectors @ vectors.T)
            least = min(squares(vectors, one) for one in partitions(number, -(-number // 2)))
            ratios.append(squares(vectors, label) / least)
    assert min(ratios) > 1 - 1e-5, "the least is the least"
    assert np.mean(np.array(ratios) < 1.0001) >= 0.9 and max(ratios) < 1.1


def test_there_are_half_as_many_clusters_numbered_as_they_appear():
    draw = np.random.default_rng(1)
    vectors = unit(draw, 20, 6)
    rows = [draw.permutation(20)[:number].tolist() for number in range(12)]
    found = cluster(filled(rows, 13), vectors @ vectors.T)
    for row, number in zip(found, range(12), strict=True):
        real, rest = row[:number], row[number:]
        assert (rest == -1).all()
        if number <= 2:
            assert (real == -1).all()
        else:
            assert len(set(real.tolist())) == -(-number // 2)
            firsts = list(dict.fromkeys(real.tolist()))
            assert firsts == list(range(len(firsts)))


def test_a_picture_gets_the_same_clusters_alone_and_beside_others():
    draw = np.random.default_rng(2)
    vectors = unit(draw, 15, 6)
    rows = [draw.permutation(15)[:number].tolist() for number in (9, 3, 6, 9, 4)]
    together = cluster(filled(rows, 10), vectors @ vectors.T)
    for row, found in zip(rows, together, strict=True):
        (alone,) = cluster(np.array([row]), vectors @ vectors.T)
        assert found[: len(row)].tolist() == alone.tolist()


def test_pairs_that_mean_the_same_are_found():
    draw = np.random.default_rng(3)
    pairs = np.repeat(unit(draw, 4, 9), 2, axis=0) + draw.normal(0, 0.01, (8, 9))
    order = draw.permutation(8)
    vectors = (pairs / np.linalg.norm(pairs, axis=1, keepdims=True)).astype(np.float32)[order]
    (found,) = cluster(np.arange(8)[None], vectors @ vectors.T)
    same = order[:, None] // 2 == order[None] // 2
    assert ((found[:, None] == found[None]) == same).all()


def test_copies_of_one_concept_do_not_stop_it():
    vectors = np.ones((5, 1), dtype=np.float32)
    (found,) = cluster(np.arange(5)[None], vectors @ vectors.T)
    assert sorted(set(found.tolist())) == [0, 1, 2]


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_nothing_to_cluster_is_no_mistake(shape):
    assert cluster(np.full(shape, -1), np.ones((1, 1), np.float32)).shape == shape
