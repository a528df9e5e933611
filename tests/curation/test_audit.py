"""What is gained is what is borrowed and not said."""

import numpy as np
from pools import captions

from whatwhere.curation.audit import audit
from whatwhere.curation.mentions import Mentions


def test_counts_are_those_of_a_loop():
    draw = np.random.default_rng(0)
    own = captions(draw, 9, 7)
    borrowed = np.stack([draw.permutation(7)[:3] for _ in range(9)])
    borrowed[draw.random(borrowed.shape) < 0.3] = -1
    found = audit(Mentions.of(own), borrowed, concepts=7)
    both = zip(borrowed.tolist(), own, strict=True)
    new = [{c for c in row if c >= 0} - set(said) for row, said in both]
    assert found.gained.tolist() == [len(row) for row in new]
    assert found.own.tolist() == [len(row) for row in own]
    for concept in range(7):
        assert found.said[concept] == sum(concept in row for row in own)
        assert found.recovered[concept] == sum(concept in row for row in new)
    assert set(found.never.tolist()) == set(range(7)) - {c for row in own for c in row}
    assert found.gained.sum() > 0


def test_borrowing_nothing_or_only_what_is_said_gains_nothing():
    own = Mentions.of([[0, 2], [1]])
    for borrowed in (np.empty((2, 0), np.int64), np.array([[2, 0, -1], [1, -1, -1]])):
        assert audit(own, borrowed, concepts=3).gained.tolist() == [0, 0]
