"""Every patch is its own region; the image vector is their maximum, their mean, or the CLS token.

Taking the maximum is all of CLIPpy's grouping on the image side (arXiv 2210.09996, sec. 3): the
gradient of a channel reaches one patch only, so patches specialise.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from whatwhere.records import ImageFeatures, Pooled, Sizes


@dataclass(frozen=True)
class PatchPool:
    """`with_cls` lets the CLS token take part in the maximum or the mean.

    The paper pools patches only; the released CLIPpy checkpoint was trained with CLS included.
    """

    how: Literal["max", "mean", "cls"] = "max"
    with_cls: bool = False

    def dim(self, width: int) -> int:
        """Numbers a joint vector has, given the head's."""
        return width

    def build(self, sizes: Sizes) -> "PatchPool":
        return self

    def __call__(self, features: ImageFeatures) -> Pooled:
        regions = rearrange(features.patches, "b rows cols d -> b (rows cols) d")
        return Pooled(image=self._image(regions, features.cls), regions=regions)

    def _image(
        self,
        patches: Float[Tensor, "batch patches dim"],
        cls: Float[Tensor, "batch dim"] | None,
    ) -> Float[Tensor, "batch dim"]:
        if cls is None and (self.how == "cls" or self.with_cls):
            raise ValueError(
                "this image encoder has no CLS token; use pool.how=max or pool.how=mean with "
                "pool.with_cls=False"
            )
        if self.how == "cls":
            assert cls is not None
            return cls
        tokens = (
            patches if cls is None or not self.with_cls else torch.cat((cls[:, None], patches), 1)
        )
        return tokens.amax(dim=1) if self.how == "max" else tokens.mean(dim=1)
