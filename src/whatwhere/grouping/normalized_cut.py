"""Groups that normalised cut finds: alike within, unlike between, of no negligible size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from whatwhere.grouping.kmeans import farthest, lloyd
from whatwhere.grouping.principal import components


@dataclass(frozen=True)
class NormalizedCut:
    """The k-way cut of Shi and Malik (2000), relaxed and rounded as Ng, Jordan and Weiss (2002).

    Patches are joined by (1 + cosine) / 2, which is never negative and has low rank, so that its
    eigenvectors are found exactly from a matrix as wide as the encoder, and the affinities
    themselves are never written down. (TokenCut, arXiv 2202.11539, cuts cosines at 0.2 instead,
    whose matrix grows with the square of the patches.)
    """

    num_groups: int = 8

    def __post_init__(self):
        if self.num_groups < 1:
            raise ValueError(f"how.num_groups={self.num_groups}; take a whole number from 1 on")

    def __call__(self, patches: Float[Tensor, "patches width"]) -> Int[Tensor, " patches"]:
        places = spectral(patches, count=self.num_groups)
        return lloyd(places, places[farthest(places, count=self.num_groups)])


def spectral(
    patches: Float[Tensor, "patches width"], *, count: int
) -> Float[Tensor, "patches components"]:
    """Each patch's row of the leading eigenvectors of D^-1/2 W D^-1/2, brought to unit length.

    W holds the affinities and D their sums by row. With W = F F' the eigenvectors are the left
    singular vectors of D^-1/2 F.
    """
    unit = F.normalize(patches, dim=-1)
    factor = torch.cat([unit, torch.ones_like(unit[:, :1])], dim=1) / 2**0.5
    degrees = factor @ factor.sum(dim=0)
    scaled = factor * degrees.rsqrt()[:, None]  # no less than a half: a patch is like itself
    axes, squares = components(scaled, count=count)
    left = scaled @ axes.T / squares.clamp(min=1e-12).sqrt()
    return F.normalize(left, dim=-1)
