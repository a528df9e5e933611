"""Which borrowed concepts one step of training is told: the best, or drawn.

Draws follow from uniform numbers in [0, 1) that the caller brings, so a step of training can be
repeated; concepts come in descending order of their scores, as `ranking.Archive` has them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int64

Sampling = Literal["top", "softmax", "cluster"]
_TINY = 1e-30  # instead of 0, to divide by


def draw(
    score: Float[np.ndarray, "pictures kept"],
    cluster: Int64[np.ndarray, "pictures kept"],
    uniform: Float[np.ndarray, "pictures 2 draws"],
    *,
    number: Int64[np.ndarray, " pictures"],
    how: Sampling,
) -> Int64[np.ndarray, "pictures draws"]:
    """Columns of `score`; -1 where a picture has no more. The first `number` columns are real.

    top       the best: what CoCu's released code always takes.
    softmax   without replacement, each draw by the softmax of what is left.
    cluster   as CoCu is designed: a cluster by the softmax of the clusters' mean scores, then a
              concept of it by the softmax of the scores inside; with replacement, so one concept
              may come twice. Pictures without clusters (at most two concepts) take the best.
    """
    draws = uniform.shape[2]
    there = np.arange(score.shape[1]) < number[:, None]
    best = np.where(np.arange(draws) < number[:, None], np.arange(draws), -1)
    if how == "top" or not score.size:
        return best
    if how == "softmax":
        return _without_replacement(softmax(score, there), uniform[:, 0])
    clusters, inside = chances(score, cluster)
    chosen = _pick(clusters[:, None], uniform[:, 0])
    members = np.where(cluster[:, None] == chosen[:, :, None], inside[:, None], 0)
    return np.where(cluster[:, :1] >= 0, _pick(members, uniform[:, 1]), best)


def chances(
    score: Float[np.ndarray, "pictures kept"], cluster: Int64[np.ndarray, "pictures kept"]
) -> tuple[Float[np.ndarray, "pictures clusters"], Float[np.ndarray, "pictures kept"]]:
    """The chance of each cluster, and of each concept inside its cluster; zeros fill up the rows.

    There are as many columns for clusters as for concepts.
    """
    member = cluster[:, None] == np.arange(cluster.shape[1])[:, None]
    size = member.sum(axis=2)
    mean = np.where(member, score[:, None], 0).sum(axis=2) / np.maximum(size, 1)
    raised = _raised(score, cluster >= 0)
    total = (member * raised[:, None]).sum(axis=2)
    inside = raised / np.maximum(np.take_along_axis(total, cluster, axis=1), _TINY)
    return softmax(mean, size > 0), inside


def softmax(
    score: Float[np.ndarray, "pictures kept"], there: Bool[np.ndarray, "pictures kept"]
) -> Float[np.ndarray, "pictures kept"]:
    """Over the columns that are there; zeros elsewhere."""
    raised = _raised(score, there)
    return raised / np.maximum(raised.sum(axis=1, keepdims=True), _TINY)


def _raised(
    score: Float[np.ndarray, "pictures kept"], there: Bool[np.ndarray, "pictures kept"]
) -> Float[np.ndarray, "pictures kept"]:
    """e to the score, up to a factor for each row."""
    return np.exp(score - score.max(axis=1, keepdims=True)) * there


def _pick(
    chance: Float[np.ndarray, "pictures any kept"], uniform: Float[np.ndarray, "pictures draws"]
) -> Int64[np.ndarray, "pictures draws"]:
    """The column at which the running sum of chances passes the uniform number."""
    running = np.cumsum(chance, axis=2, dtype=float)
    beyond = running > uniform[:, :, None] * running[:, :, -1:]
    return beyond.argmax(axis=2)


def _without_replacement(
    chance: Float[np.ndarray, "pictures kept"], uniform: Float[np.ndarray, "pictures draws"]
) -> Int64[np.ndarray, "pictures draws"]:
    chance, found = chance.astype(float), []
    for column in uniform.T:
        one = _pick(chance[:, None], column[:, None])
        some = chance.sum(axis=1, keepdims=True) > 0
        found.append(np.where(some, one, -1))
        np.put_along_axis(chance, one, 0, axis=1)
    return np.concatenate(found, axis=1)
