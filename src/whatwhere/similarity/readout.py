"""The dense face of a comparison: scores of names at every patch, with their own calibration."""

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.parallel import total, world
from whatwhere.records import EncodedImages, EncodedTexts

Calibration = Literal["none", "centred"]


class Readout(nn.Module):
    """Cosine of region and name, spread over patches by the regions' shares.

    `centred` first takes away what all regions have in common and what all captions have in
    common, both as running means over training. A shared direction favours the same names in
    every patch; without it the map shows differences between patches. No label is used.

    `context` adds so much of the whole picture's vector (the window's, where photos are read in
    windows) to each region's: where a region says little, what the picture is of decides. `smooth`
    averages each patch with those around it in a square of so many patches, which a grid needs that
    dilation made finer than the one that the tower learned on: its patches come in turns from grids
    that knew nothing of one another.
    """

    region_mean: Float[Tensor, " dim"]
    caption_mean: Float[Tensor, " dim"]
    seen: Float[Tensor, ""]

    def __init__(
        self,
        dim: int,
        *,
        calibration: Calibration,
        momentum: float,
        context: float = 0.0,
        smooth: int = 1,
    ):
        super().__init__()
        if smooth < 1 or smooth % 2 == 0:
            raise ValueError(f"similarity.smooth={smooth}; take an odd number of patches from 1 on")
        self.calibration, self.momentum = calibration, momentum
        self.context, self.smooth = context, smooth
        self.register_buffer("region_mean", torch.zeros(dim))
        self.register_buffer("caption_mean", torch.zeros(dim))
        self.register_buffer("seen", torch.zeros(()))  # batches so far

    @torch.no_grad()
    def watch(self, images: EncodedImages, texts: EncodedTexts) -> None:
        """Move the running means; the first batches count in full."""
        self.seen += 1
        pace = max(1 - self.momentum, 1 / self.seen.item())
        for mean, vectors in (
            (self.region_mean, images.regions.mean(dim=(0, 1))),
            (self.caption_mean, texts.caption.mean(dim=0)),
        ):
            mean.lerp_(total(vectors.float()) / world(), pace)

    def names(self, vectors: Float[Tensor, "vectors dim"]) -> Float[Tensor, "vectors dim"]:
        """Unit vectors of names, calibrated once for all pictures."""
        if self.calibration == "none":
            return vectors
        return F.normalize(vectors - self.caption_mean, dim=-1)

    def regions(self, images: EncodedImages) -> Float[Tensor, "batch regions dim"]:
        """Unit vectors of regions with their picture's share, calibrated."""
        vectors = images.regions
        if self.smooth > 1:
            vectors = self._smoothed(images)
        if self.context:
            vectors = F.normalize(vectors + self.context * images.image[:, None], dim=-1)
        if self.calibration == "none":
            return vectors
        return F.normalize(vectors - self.region_mean, dim=-1)

    def _smoothed(self, images: EncodedImages) -> Float[Tensor, "batch regions dim"]:
        if images.where is not None:
            raise ValueError(
                "groups of patches have no neighbours to be averaged with; set similarity.smooth=1"
            )
        rows, _ = images.grid
        maps = rearrange(images.regions, "b (rows cols) dim -> b dim rows cols", rows=rows)
        around = F.avg_pool2d(
            maps, self.smooth, stride=1, padding=self.smooth // 2, count_include_pad=False
        )
        return F.normalize(rearrange(around, "b dim rows cols -> b (rows cols) dim"), dim=-1)

    def dense(
        self, images: EncodedImages, names: Float[Tensor, "vectors dim"]
    ) -> Float[Tensor, "batch vectors rows cols"]:
        """Scores in [-1, 1] of names that went through `names`."""
        scores = names @ self.regions(images).mT
        if images.where is not None:
            scores = scores @ images.where
        rows, _ = images.grid
        return rearrange(scores, "b vectors (rows cols) -> b vectors rows cols", rows=rows)
