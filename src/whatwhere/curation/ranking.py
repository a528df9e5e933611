"""Which of the concepts that similar pictures mention does this picture show?

CoCu (arXiv 2309.13505) calls the two steps vision-driven expansion and text-to-vision-guided
ranking. All pictures of a batch are ranked at once, however many concepts each has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from whatwhere.curation.mentions import Mentions

LEAST = 1e-6  # similarities are at least this


@dataclass(frozen=True)
class Pool:
    """Pictures whose captions lend their concepts.

    Exact membership makes `references` the lists themselves. CoCu's released code lists whole
    words but looks for references letter by letter: `lists.through(inside(names))`.
    """

    lists: Mentions  # what each picture's captions mention
    references: Mentions  # the concepts that it is an example of
    fits: Float32[np.ndarray, " examples"]  # cosine of picture and concept, for each reference


@dataclass(frozen=True)
class Archive:
    """Concepts that pictures may borrow, the best first; concept -1 and zeros fill up the rows."""

    concept: Int64[np.ndarray, "pictures kept"]
    score: Float32[np.ndarray, "pictures kept"]
    fit: Float32[np.ndarray, "pictures kept"]  # of the concept and the picture
    ratio: Float32[np.ndarray, "pictures kept"]  # fit over the mean fit of the concept's examples
    largest: Float32[np.ndarray, " pictures"]  # fit of any concept and any of its examples


def fits_of(
    blocks: Iterable[tuple[int, Float32[np.ndarray, "_ dim"]]],
    concepts: Float32[np.ndarray, "concepts dim"],
    references: Mentions,
) -> Float32[np.ndarray, " examples"]:
    """Cosine of every picture with the concepts that it is an example of.

    Pictures come in blocks (first row, unit vectors), in order: a pool may exceed the memory.
    These do not depend on who borrows, so they are computed once.
    """
    found = [np.empty(0, np.float32)]
    for first, vectors in blocks:
        rows = np.arange(first, first + len(vectors))
        asked, place = references.places(rows)
        found.append(_dots(vectors, asked, concepts, references.concept[place]))
    return np.concatenate(found)


def rank(
    pictures: Float32[np.ndarray, "pictures dim"],
    neighbours: Int64[np.ndarray, "pictures near"],
    concepts: Float32[np.ndarray, "concepts dim"],
    pool: Pool,
    *,
    shift: float = 0.0,
    most: int | None = None,
) -> Archive:
    """What the neighbours' captions mention, by how well it fits the picture.

    With g the fit of concept and picture: score = g / (largest fit of any concept and any of its
    examples) + g / (mean fit of the concept's examples and the picture). Both terms need positive
    cosines, which CLIP gives and other models do not: `shift` is added to all of them. `most` best
    concepts are kept; None keeps all. Neighbours are rows of the pool, -1 is none. A picture of the
    pool is its own neighbour, and counts twice among the examples of what its caption mentions.
    """
    count, width = len(neighbours), len(concepts)
    asked, place = pool.lists.places(neighbours.ravel())
    key = asked // neighbours.shape[1] * width + pool.lists.concept[place]
    archive = np.unique(key)
    picture, concept = np.divmod(archive, width)
    own = _dots(pictures, picture, concepts, concept)

    if pool.references is not pool.lists:
        asked, place = pool.references.places(neighbours.ravel())
        key = asked // neighbours.shape[1] * width + pool.references.concept[place]
        listed = np.isin(key, archive)
        key, place = key[listed], place[listed]
    # What each concept fits: the picture itself, then its examples.
    entry = np.concatenate([np.arange(len(archive)), archive.searchsorted(key)])
    fits = np.concatenate([own, pool.fits[place]]) + np.float32(shift)
    fits = np.maximum(fits, np.float32(LEAST))
    mean = (np.bincount(entry, fits) / np.bincount(entry)).astype(np.float32)
    largest = np.zeros(count, np.float32)
    np.maximum.at(largest, picture[entry], fits)

    own = fits[: len(own)]
    ratio = own / mean
    score = own / largest[picture] + ratio
    return _padded(picture, concept, score, own - np.float32(shift), ratio, largest, most)


def _padded(picture, concept, score, fit, ratio, largest, most) -> Archive:
    """Entries, ascending in picture, as rows in descending order of their score."""
    order = np.lexsort((-score, picture))
    number = np.bincount(picture, minlength=len(largest))
    width = number.max(initial=0)
    ahead = np.arange(len(number)) * width - (number.cumsum() - number)
    place = np.arange(len(picture)) + ahead[picture]

    def rows(values: np.ndarray, fill: int) -> np.ndarray:
        table = np.full(len(number) * width, fill, values.dtype)
        table[place] = values[order]
        return table.reshape(len(number), width)[:, :most]

    return Archive(rows(concept, -1), rows(score, 0), rows(fit, 0), rows(ratio, 0), largest)


def _dots(
    left: Float32[np.ndarray, "_ dim"],
    rows: Int64[np.ndarray, " pairs"],
    right: Float32[np.ndarray, "_ dim"],
    others: Int64[np.ndarray, " pairs"],
) -> Float32[np.ndarray, " pairs"]:
    """left[rows[i]] . right[others[i]], in blocks that stay in the processor's cache."""
    found = np.empty(len(rows), np.float32)
    for here in (slice(i, i + 128) for i in range(0, len(rows), 128)):
        one, two = left.take(rows[here], axis=0), right.take(others[here], axis=0)
        np.einsum("id,id->i", one, two, out=found[here])
    return found
