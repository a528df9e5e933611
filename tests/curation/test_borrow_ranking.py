"""Ranking all pictures at once is the published rule applied to each concept of each picture."""

import numpy as np
import pytest
from pools import captions, unit

from whatwhere.curation.mentions import Mentions, inside
from whatwhere.curation.ranking import Pool, fits_of, rank

PICTURES, POOL, NEAR, CONCEPTS, DIM = 7, 30, 5, 11, 6


def lent(lists, vectors, concepts, references=None):
    references = references or lists
    return Pool(lists, references, fits_of([(0, vectors)], concepts, references))


def loop(picture, near, concepts, pool, lists, references, shift):
    """One picture by the formulas: {concept: (score, fit)}."""
    names = {c for row in near if row >= 0 for c in lists[row]}
    fit = {c: max(float(concepts[c] @ picture) + shift, 1e-6) for c in names}
    seen = {
        c: [
            max(float(concepts[c] @ pool[row]) + shift, 1e-6)
            for row in near
            if row >= 0 and c in references[row]
        ]
        for c in names
    }
    largest = max([0.0, *fit.values(), *(one for fits in seen.values() for one in fits)])
    return {
        c: (fit[c] / largest + fit[c] / np.mean([*seen[c], fit[c]]), fit[c] - shift) for c in names
    }


@pytest.fixture
def world():
    draw = np.random.default_rng(0)
    lists = captions(draw, POOL, CONCEPTS)
    near = draw.integers(-1, POOL, (PICTURES, NEAR))
    near[2] = -1  # found nothing
    return unit(draw, PICTURES, DIM), near, unit(draw, CONCEPTS, DIM), unit(draw, POOL, DIM), lists


@pytest.mark.parametrize("shift", [0.0, 1.2])
@pytest.mark.parametrize("letters", [False, True])
def test_scores_are_those_of_a_loop(world, shift, letters):
    pictures, near, concepts, pool, lists = world
    own = Mentions.of(lists)
    more = [sorted({*row, *((c + 1) % CONCEPTS for c in row)}) for row in lists]
    references = more if letters else lists
    given = Mentions.of(references) if letters else own
    found = rank(pictures, near, concepts, lent(own, pool, concepts, given), shift=shift)
    for row in range(PICTURES):
        expected = loop(pictures[row], near[row], concepts, pool, lists, references, shift)
        real = found.concept[row] >= 0
        assert set(found.concept[row][real].tolist()) == expected.keys()
        for column in np.flatnonzero(real):
            score, fit = expected[int(found.concept[row, column])]
            assert found.score[row, column] == pytest.approx(score, rel=2e-5)
            assert found.fit[row, column] == pytest.approx(fit, abs=1e-6)
        assert (np.diff(found.score[row][real]) <= 0).all()
        assert (found.score[row][~real] == 0).all() and (found.fit[row][~real] == 0).all()


def test_one_by_one_is_the_same_as_together(world):
    pictures, near, concepts, pool, lists = world
    given = lent(Mentions.of(lists), pool, concepts)
    found = rank(pictures, near, concepts, given, shift=1.0)
    for row in range(PICTURES):
        alone = rank(pictures[row : row + 1], near[row : row + 1], concepts, given, shift=1.0)
        kept = alone.concept.shape[1]
        assert (found.concept[row, :kept] == alone.concept[0]).all()
        assert (found.concept[row, kept:] == -1).all()
        np.testing.assert_allclose(found.score[row, :kept], alone.score[0], rtol=1e-6)


def test_order_of_the_neighbours_does_not_matter(world):
    pictures, near, concepts, pool, lists = world
    given = lent(Mentions.of(lists), pool, concepts)
    one, two = (rank(pictures, n, concepts, given, shift=1.0) for n in (near, near[:, ::-1].copy()))
    assert (one.concept == two.concept).all()
    np.testing.assert_allclose(one.score, two.score, rtol=1e-6)


def test_the_most_keeps_the_best(world):
    pictures, near, concepts, pool, lists = world
    given = lent(Mentions.of(lists), pool, concepts)
    all_of = rank(pictures, near, concepts, given, shift=1.0)
    two = rank(pictures, near, concepts, given, shift=1.0, most=2)
    assert (two.concept == all_of.concept[:, :2]).all()


def test_a_concept_whose_examples_fit_as_well_as_the_picture_scores_two():
    """The largest fit is its own, and so is the mean."""
    same = np.array([[0.6, 0.8]], dtype=np.float32)
    found = rank(same, np.array([[0, 0]]), same, lent(Mentions.of([[0]]), same, same))
    assert found.concept.tolist() == [[0]]
    assert (found.score[0, 0], found.largest[0]) == pytest.approx((2.0, 1.0))


@pytest.mark.parametrize("lists", [[[], []], [[1], []]])
def test_captions_without_concepts_lend_nothing(lists):
    draw = np.random.default_rng(1)
    pool, concepts = unit(draw, 2, DIM), unit(draw, 3, DIM)
    given = lent(Mentions.of(lists), pool, concepts)
    found = rank(unit(draw, 1, DIM), np.array([[1, -1, 1]]), concepts, given)
    assert found.concept.shape == (1, 0) and found.largest.tolist() == [0.0]


def test_fits_do_not_depend_on_the_blocks(world):
    _, _, concepts, pool, lists = world
    given = Mentions.of(lists)
    blocks = [(0, pool[:13]), (13, pool[13:14]), (14, pool[14:])]
    whole = fits_of([(0, pool)], concepts, given)
    assert (fits_of(blocks, concepts, given) == whole).all()
    dots = (pool[given.picture] * concepts[given.concept]).sum(axis=1)
    np.testing.assert_allclose(whole, dots, atol=1e-6)


def test_substring_membership_takes_a_street_for_a_tree():
    """The published slip, kept only to repeat its numbers: one more example of "tree"."""
    names = ["tree", "street"]
    draw = np.random.default_rng(3)
    pool, concepts = np.abs(unit(draw, 2, DIM)), np.abs(unit(draw, 2, DIM))
    lists = Mentions.of([[0], [1]])
    exact, slip = (
        rank(pool[:1], np.array([[0, 1]]), concepts, lent(lists, pool, concepts, references))
        for references in (lists, lists.through(inside(names)))
    )
    tree = [np.flatnonzero(found.concept[0] == 0)[0] for found in (exact, slip)]
    own, other = pool @ concepts[0]
    assert exact.ratio[0, tree[0]] == pytest.approx(1)
    assert slip.ratio[0, tree[1]] == pytest.approx(own / np.mean([own, own, other]), rel=1e-5)
