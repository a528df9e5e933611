"""Lloyd's iteration against a slow loop; seeds by hand; what distances see."""

import pytest
import torch
import torch.nn.functional as F

from whatwhere.grouping.kmeans import Kmeans, farthest, lloyd


def slowly(patches, means, *, on_sphere):
    means, groups = list(means), None
    while True:
        now = [
            min(range(len(means)), key=lambda k: float((row - means[k]).square().sum()))
            for row in patches
        ]
        if now == groups:
            return groups
        groups = now
        for k in range(len(means)):
            own = [row for row, group in zip(patches, groups, strict=True) if group == k]
            if own:
                mean = sum(own) / len(own)
                means[k] = mean / mean.norm() if on_sphere else mean


@pytest.mark.parametrize("distance", ["cosine", "euclid"])
def test_agrees_with_a_slow_loop(distance):
    torch.manual_seed(0)
    patches = torch.randn(61, 3, dtype=torch.float64)
    seen = F.normalize(patches, dim=-1) if distance == "cosine" else patches
    means = seen[farthest(seen, count=5)]
    expected = slowly(seen, means, on_sphere=distance == "cosine")
    assert Kmeans(5, distance)(patches).tolist() == expected
    assert expected != lloyd_once(seen, means)


def lloyd_once(patches, means):
    return torch.cdist(patches, means).argmin(dim=1).tolist()


def test_seeds_are_the_farthest_from_the_mean_and_then_from_one_another():
    patches = torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0], [0.0, 4.0], [5.0, 0.0]])
    assert farthest(patches, count=4).tolist() == [2, 3, 1, 4]


def test_a_mean_without_patches_stays_where_it_is():
    patches = torch.tensor([[0.0], [1.0], [10.0]])
    means = torch.tensor([[0.0], [90.0], [10.0]])
    assert lloyd(patches, means).tolist() == [0, 0, 2]


def test_only_euclidean_distance_sees_lengths():
    patches = torch.tensor([[1.0, 0.0, 0.1], [9.0, 0.0, 0.9], [0.0, 1.0, 0.0], [0.0, 9.0, 0.0]])
    one, *others = Kmeans(2)(patches).tolist()
    assert others == [one, 1 - one, 1 - one]
    scaled = patches * torch.tensor([[3.0], [0.2], [7.0], [1.0]])
    assert Kmeans(2)(scaled).tolist() == [one, *others]
    assert Kmeans(3, "euclid")(patches)[[0, 2]].unique().numel() == 1
