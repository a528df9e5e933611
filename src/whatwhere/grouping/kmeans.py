"""Groups around means, by Lloyd's iteration from seeds that leave nothing to chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

STEPS = 100  # at most; pictures settle in ten to thirty


@dataclass(frozen=True)
class Kmeans:
    """Each patch joins the nearest mean, and means move until nothing changes.

    distance   cosine: of directions, means on the sphere too (spherical k-means, Dhillon and Modha
               2001). euclid: lengths count as well
    """

    num_groups: int = 8
    distance: Literal["cosine", "euclid"] = "cosine"

    def __post_init__(self):
        if self.num_groups < 1:
            raise ValueError(f"how.num_groups={self.num_groups}; take a whole number from 1 on")

    def __call__(self, patches: Float[Tensor, "patches width"]) -> Int[Tensor, " patches"]:
        if self.distance == "cosine":
            patches = F.normalize(patches, dim=-1)
        means = patches[farthest(patches, count=self.num_groups)]
        return lloyd(patches, means, on_sphere=self.distance == "cosine")


def farthest(patches: Float[Tensor, "patches width"], *, count: int) -> Int[Tensor, " means"]:
    """Seeds: the patch farthest from the mean of all, then the one farthest from all seeds so far.

    The rule of Gonzalez (1985). Unlike k-means++ it draws no lots.
    """
    chosen = [(patches - patches.mean(dim=0)).square().sum(dim=1).argmax()]
    nearest = torch.full_like(patches[:, 0], torch.inf)
    while len(chosen) < count:
        away = (patches - patches[chosen[-1]]).square().sum(dim=1)
        nearest = torch.minimum(nearest, away)
        chosen.append(nearest.argmax())
    return torch.stack(chosen)


def lloyd(
    patches: Float[Tensor, "patches width"],
    means: Float[Tensor, "means width"],
    *,
    on_sphere: bool = False,
) -> Int[Tensor, " patches"]:
    """The nearest mean of each patch, once means have stopped moving. One without patches stays."""
    groups = _nearest(patches, means)
    for _ in range(STEPS):
        before = groups
        sizes = torch.bincount(groups, minlength=len(means))[:, None]
        sums = torch.zeros_like(means).index_add_(0, groups, patches)
        moved = F.normalize(sums, dim=-1) if on_sphere else sums / sizes.clamp(min=1)
        means = torch.where(sizes > 0, moved, means)
        groups = _nearest(patches, means)
        if torch.equal(groups, before):
            break
    return groups


def _nearest(
    patches: Float[Tensor, "patches width"], means: Float[Tensor, "means width"]
) -> Int[Tensor, " patches"]:
    return (means.square().sum(dim=1) / 2 - patches @ means.T).argmin(dim=1)
