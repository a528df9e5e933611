"""Concepts of one picture that mean much the same, as clusters: half as many as concepts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Int64

TOGETHER = 256  # pictures at a time, so that their tables stay in the processor's cache


def cluster(
    concept: Int64[np.ndarray, "pictures kept"],
    cosines: Float32[np.ndarray, "concepts concepts"],
) -> Int64[np.ndarray, "pictures kept"]:
    """The cluster of each concept of each picture, numbered in the order of the concepts.

    k-means on the concepts' unit text vectors, whose products are `cosines`, with k = half of a
    picture's concepts, rounded up (CoCu). -1 where there are at most two, and where there is none.
    Instead of the best of five random starts: Ward's clusters, then the one move or exchange of
    concepts that helps most, until none does. It draws no random numbers, and mostly leaves smaller
    squares within clusters.
    """
    there = concept >= 0
    found = np.full(concept.shape, -1)
    number = there.sum(axis=1)
    by_size = np.argsort(number, kind="stable")
    by_size = by_size[number[by_size] > 2]
    for rows in (by_size[i : i + TOGETHER] for i in range(0, len(by_size), TOGETHER)):
        kept = number[rows[-1]]
        valid = there[rows, :kept]
        own = np.where(valid, concept[rows, :kept], 0)
        products = cosines[own[:, :, None], own[:, None]]
        label = _descended(products, _ward(products, valid), valid)
        found[rows, :kept] = np.where(valid, _by_appearance(label), -1)
    return found


def _distances(
    products: Float32[np.ndarray, "pictures kept kept"],
) -> Float32[np.ndarray, "pictures kept kept"]:
    squares = np.einsum("pii->pi", products)
    return squares[:, :, None] + squares[:, None] - 2 * products


def _ward(
    products: Float32[np.ndarray, "pictures kept kept"], valid: Bool[np.ndarray, "pictures kept"]
) -> Int64[np.ndarray, "pictures kept"]:
    """Merge, again and again, the two clusters whose squares grow least, down to half as many."""
    width = valid.shape[1]
    cost = _distances(products) / 2
    cost[~valid] = np.inf
    cost.swapaxes(1, 2)[~valid] = np.inf
    cost[:, range(width), range(width)] = np.inf
    size = valid.astype(np.float32)
    label = np.tile(np.arange(width), (len(valid), 1))
    merges = valid.sum(axis=1) // 2
    for step in range(merges.max(initial=0)):
        rows = np.flatnonzero(merges > step)
        one, two = np.divmod(cost[rows].reshape(len(rows), -1).argmin(axis=1), width)
        a, b, c = size[rows, one][:, None], size[rows, two][:, None], size[rows]
        grown = (a + c) * cost[rows, one] + (b + c) * cost[rows, two]
        with np.errstate(invalid="ignore"):
            grown = (grown - c * cost[rows, one, two][:, None]) / (a + b + c)
        grown[np.isnan(grown)] = np.inf
        grown[range(len(rows)), one] = grown[range(len(rows)), two] = np.inf
        cost[rows, one] = cost[rows, :, one] = grown
        cost[rows, two] = cost[rows, :, two] = np.inf
        size[rows, one] += size[rows, two]
        size[rows, two] = 0
        label[rows] = np.where(label[rows] == two[:, None], one[:, None], label[rows])
    return label


def _descended(
    products: Float32[np.ndarray, "pictures kept kept"],
    label: Int64[np.ndarray, "pictures kept"],
    valid: Bool[np.ndarray, "pictures kept"],
) -> Int64[np.ndarray, "pictures kept"]:
    """The best move of one concept or exchange of two, for every picture, until none helps.

    The squares within clusters are a constant less the sum over clusters of |sum|^2 / size, so
    that sum is what grows.
    """
    label = label.copy()
    busy = np.arange(len(label))
    while len(busy):
        gain = _gains(products[busy], label[busy], valid[busy])
        width = label.shape[1]
        best = gain.argmax(axis=1)
        better = gain[range(len(busy)), best] > 1e-5  # above rounding, so that it ends
        busy, best = busy[better], best[better]
        kind, place = np.divmod(best, width * width)
        one, two = np.divmod(place, width)
        was = label[busy, one]
        label[busy, one] = np.where(kind == 0, two, label[busy, two])
        exchanged = kind == 1
        label[busy[exchanged], two[exchanged]] = was[exchanged]
    return label


def _gains(
    products: Float32[np.ndarray, "pictures kept kept"],
    label: Int64[np.ndarray, "pictures kept"],
    valid: Bool[np.ndarray, "pictures kept"],
) -> Float32[np.ndarray, "pictures both"]:
    """Of moving concept i to cluster j, then of exchanging concepts i and j; -inf: not possible."""
    pictures, width = label.shape
    member = (label[:, :, None] == np.arange(width)) & valid[:, :, None]
    size = member.sum(axis=1).astype(np.float32)
    to_sum = products @ member.astype(np.float32)  # concept i with the sum of cluster j
    square = (member * to_sum).sum(axis=1)
    some = np.maximum(size, 1)
    own_size = np.take_along_axis(some, label, axis=1)
    own_sum = np.take_along_axis(to_sum, label[:, :, None], axis=2)[:, :, 0]
    own_square = np.take_along_axis(square, label, axis=1)
    self_ = np.einsum("pii->pi", products)

    left = (own_square - 2 * own_sum + self_) / np.maximum(own_size - 1, 1) - own_square / own_size
    joined = square[:, None] + 2 * to_sum + self_[:, :, None]
    move = left[:, :, None] + joined / (size + 1)[:, None] - (square / some)[:, None]
    able = valid & (own_size > 1)
    move[~(able[:, :, None] & (size > 0)[:, None] & ~member)] = -np.inf

    others = np.broadcast_to(label[:, None], (pictures, width, width))
    theirs = np.take_along_axis(to_sum, others, axis=2).swapaxes(1, 2)  # j with the sum of i's
    half = 2 * (theirs - own_sum[:, :, None]) + _distances(products)
    half = half / own_size[:, :, None]
    exchange = half + half.swapaxes(1, 2)
    apart = label[:, :, None] != label[:, None]
    exchange[~(apart & valid[:, :, None] & valid[:, None])] = -np.inf
    return np.concatenate([move.reshape(pictures, -1), exchange.reshape(pictures, -1)], axis=1)


def _by_appearance(label: Int64[np.ndarray, "pictures kept"]) -> Int64[np.ndarray, "pictures kept"]:
    """The same clusters, numbered by their first concept."""
    same = label[:, :, None] == label[:, None]
    first = same.argmax(axis=2)  # of the cluster that each concept is in
    opens = first == np.arange(label.shape[1])
    number = np.cumsum(opens, axis=1) - 1
    return np.take_along_axis(number, first, axis=1)
