"""The eigenvectors of normalised cut against the dense matrix, and the cut against all others."""

from itertools import product

import torch
import torch.nn.functional as F

from whatwhere.grouping.normalized_cut import NormalizedCut, spectral


def affinities(patches):
    unit = F.normalize(patches.double(), dim=-1)
    return (1 + unit @ unit.T) / 2


def some(rows=19, width=7):
    torch.manual_seed(0)
    return torch.randn(rows, width)


def test_places_are_rows_of_the_eigenvectors_of_the_dense_matrix():
    """Up to the signs of the eigenvectors, which cosines between places do not see."""
    weights = affinities(some())
    scale = weights.sum(dim=1).rsqrt()
    vectors = torch.linalg.eigh(scale[:, None] * weights * scale).eigenvectors[:, -4:]
    expected = F.normalize(vectors, dim=-1)
    places = spectral(some(), count=4).double()
    torch.testing.assert_close(places @ places.T, expected @ expected.T, atol=1e-5, rtol=0)


def cut(groups, weights):
    """What leaves each group, as a share of what its patches have in all, summed over groups."""
    total = 0.0
    for group in set(groups):
        mine = torch.tensor([g == group for g in groups])
        total += float(weights[mine][:, ~mine].sum() / weights[mine].sum())
    return total


def test_no_other_cut_in_two_is_better_where_there_are_two_kinds():
    torch.manual_seed(2)
    kinds = torch.tensor([0, 1, 1, 0, 1, 1, 0, 1, 1])
    patches = torch.eye(5)[kinds] + 0.3 * torch.randn(9, 5)
    weights = affinities(patches)
    every = [groups for groups in product((0, 1), repeat=9) if 0 < sum(groups) < 9]
    best = min(every, key=lambda groups: cut(groups, weights))
    found = NormalizedCut(2)(patches).tolist()
    assert cut(found, weights) == cut(best, weights)


def test_lengths_of_vectors_do_not_matter():
    lengths = torch.rand(19, 1) * 9 + 0.1
    assert torch.equal(NormalizedCut(3)(some()), NormalizedCut(3)(some() * lengths))
