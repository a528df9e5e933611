"""Groups around principal components: CLIPpy's bottom-up grouping (arXiv 2210.09996)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

NOTHING = 1e-5  # of the largest eigenvalue; below it float32 holds only rounding


@dataclass(frozen=True)
class Principal:
    """Each patch joins the principal component of its picture with the highest cosine.

    The paper says no more than that and "top 8". The other settings are what it leaves open:

    vectors   the patch vectors as they come, or of unit length
    centred   from what the picture's mean vector is taken away: before the components are found
              (which makes them principal components in the textbook's sense), from the patches that
              are assigned, both or neither
    cosine    a component has no direction of its own. signed: its largest coordinate is made
              positive, and patches on its other side go elsewhere. absolute: both sides are one
              group
    """

    num_groups: int = 8
    vectors: Literal["raw", "unit"] = "raw"
    centred: Literal["both", "components", "patches", "neither"] = "both"
    cosine: Literal["signed", "absolute"] = "signed"

    def __post_init__(self):
        if self.num_groups < 1:
            raise ValueError(f"how.num_groups={self.num_groups}; take a whole number from 1 on")

    def __call__(self, patches: Float[Tensor, "patches width"]) -> Int[Tensor, " patches"]:
        if self.vectors == "unit":
            patches = F.normalize(patches, dim=-1)
        around = centre(patches)
        found, _ = components(
            around if self.centred in ("both", "components") else patches, count=self.num_groups
        )
        # Components have unit length, and a patch's own length does not change which is best.
        cosines = (around if self.centred in ("both", "patches") else patches) @ found.T
        return (cosines.abs() if self.cosine == "absolute" else cosines).argmax(dim=1)


def centre(patches: Float[Tensor, "patches width"]) -> Float[Tensor, "patches width"]:
    """Vectors without their mean, which is summed exactly: equal patches become exactly zero."""
    exact = patches.double()
    return (exact - exact.mean(dim=0)).to(patches.dtype)


def components(
    patches: Float[Tensor, "patches width"], *, count: int
) -> tuple[Float[Tensor, "components width"], Float[Tensor, " components"]]:
    """The strongest axes, as unit vectors, and the sum of squares along each; largest first.

    Right singular vectors of the patches as they are given. Their largest coordinate is positive.
    An axis along which there is nothing is zero. At most as many axes as patches, or as `width`.
    """
    wide = patches.shape[0] < patches.shape[1]  # the time grows with the cube of the smaller side
    values, vectors = torch.linalg.eigh(patches @ patches.T if wide else patches.T @ patches)
    values, axes = values[-count:].flip(0), vectors[:, -count:].flip(1).T  # eigh ascends
    if wide:
        axes = F.normalize(axes @ patches, dim=-1)
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    there = values > NOTHING * values[0]
    return axes * largest.sign() * there[:, None], values * there
