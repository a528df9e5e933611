"""Scores that follow the colours of the picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from colours import SMALL, painting, segmenter
from torch.testing import assert_close

from whatwhere.segmenter.guided import LEAST, fitted, guided
from whatwhere.segmenter.reading import Reading


@pytest.fixture
def edge():
    """A picture that is dark up to column 40, and a soft map of what is bright, 6 pixels off."""
    torch.manual_seed(0)
    picture = 0.1 + 0.02 * torch.rand(3, 96, 120)
    picture[:, :, 40:] += 0.7
    soft = torch.sigmoid((torch.arange(120.0) - 46) / 8).expand(1, 96, 120)
    return picture, soft


def test_an_outline_moves_to_the_edge_beside_it(edge):
    picture, soft = edge
    truth = torch.arange(120) >= 40
    found = guided(soft, picture, radius=16)
    assert found.shape == (1, 48, 60)
    wrong = [
        ((maps > 0.5) != at).float().mean() for maps, at in ((soft, truth), (found, truth[::2]))
    ]
    assert wrong[0] > 0.04 and wrong[1] == 0


def test_without_edges_scores_are_averaged():
    picture, soft = torch.full((3, 64, 64), 0.4), torch.rand(2, 64, 64)
    found = guided(soft, picture, radius=8)
    assert found.std() < 0.1 * soft.std()
    assert_close(found.mean(), soft.mean(), rtol=0.02, atol=0)


def test_it_is_linear_in_the_scores_and_keeps_constants(edge):
    picture, soft = edge
    both = torch.cat([soft, torch.rand_like(soft)])
    found = guided(both, picture, radius=12)
    assert_close(
        guided(3 * both[:1] - both[1:], picture, radius=12),
        3 * found[:1] - found[1:],
        atol=1e-4,
        rtol=0,
    )
    assert_close(
        guided(torch.full_like(soft, 0.3), picture, radius=12),
        torch.full_like(found[:1], 0.3),
        atol=1e-4,
        rtol=0,
    )


def test_it_is_least_squares_in_every_square():
    """Against the sums written pixel by pixel."""
    draw = np.random.default_rng(0)
    picture, scores = draw.random((3, 6, 7)), draw.random((6, 7))

    def around(row, col):
        rows, cols = (
            range(max(row - 1, 0), min(row + 2, 6)),
            range(max(col - 1, 0), min(col + 2, 7)),
        )
        return tuple(np.array([(r, c) for r in rows for c in cols]).T)

    slopes, levels = np.zeros((6, 7, 3)), np.zeros((6, 7))
    for row, col in np.ndindex(6, 7):
        near = around(row, col)
        colours, own = picture[:, *near].T, scores[near]
        apart = colours - colours.mean(0)
        spread = apart.T @ apart / len(own) + LEAST * np.eye(3)
        slopes[row, col] = np.linalg.solve(spread, apart.T @ (own - own.mean()) / len(own))
        levels[row, col] = own.mean() - slopes[row, col] @ colours.mean(0)
    slope, level = fitted(torch.tensor(scores)[None], torch.tensor(picture), reach=1)
    for row, col in np.ndindex(6, 7):
        near = around(row, col)
        assert_close(slope[0, :, row, col], torch.tensor(slopes[near].mean(0)))
        assert_close(level[0, row, col], torch.tensor(levels[near].mean()))


def test_a_segmenter_guides_its_scores_by_the_pixels_that_it_sees():
    picture = painting(["red", "green"], ["blue", "white"])
    plain, along = segmenter(SMALL), segmenter(replace(SMALL, guide=8))
    vectors = torch.eye(plain.model.similarity.readout.region_mean.numel())[:2]
    pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 255
    half = guided(plain.scores(picture, vectors), pixels, radius=8)
    expected = F.interpolate(half[None], pixels.shape[1:], mode="bilinear")[0]
    found = along.scores(picture, vectors)
    assert_close(found, expected)
    assert not torch.allclose(found, plain.scores(picture, vectors), atol=0.01)


def test_a_guide_is_counted_in_pixels():
    with pytest.raises(ValueError, match=r"reading\.guide=-1; take a whole number from 0 on"):
        Reading(guide=-1)
