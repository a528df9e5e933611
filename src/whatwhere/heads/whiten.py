"""Patch vectors of a frozen tower, centred and with equal spread in every kept direction.

A tower that was trained for classes spends most of its numbers on little: a few directions carry
most of the spread, and all patches share a mean. Removing both makes cosines compare what differs
between patches, and makes the vectors few enough to cache. It is fitted on the training pictures
alone, without captions or labels; SimZSS and CLIPpy, whose towers are self-supervised, have none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.records import ImageFeatures, Sizes


@dataclass(frozen=True)
class Whiten:
    size: int = 256  # leading principal directions that are kept
    power: float = 0.5  # 0: centred and turned only, 0.5: whitened
    pictures: int = 500  # of the training set, to estimate mean and covariance from

    def dim(self, width: int) -> int:
        if self.size > width:
            raise ValueError(
                f"head.size={self.size} directions of {width} features; use <= {width}"
            )
        return self.size

    def build(self, sizes: Sizes) -> "WhitenHead":
        return WhitenHead(self, sizes.width, sizes.dim)


class WhitenHead(nn.Module):
    fixed = True
    mean: Float[Tensor, " width"]
    matrix: Float[Tensor, "width dim"]

    def __init__(self, settings: Whiten, width: int, dim: int):
        super().__init__()
        self.power, self.pictures = settings.power, settings.pictures
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("matrix", torch.eye(width, dim))

    def forward(self, features: ImageFeatures) -> ImageFeatures:
        cls = None if features.cls is None else self._map(features.cls)
        return ImageFeatures(self._map(features.patches), cls)

    def _map(self, vectors: Float[Tensor, "*place width"]) -> Float[Tensor, "*place dim"]:
        with torch.autocast(vectors.device.type, enabled=False):  # small spreads need the digits
            return (vectors.float() - self.mean) @ self.matrix

    @torch.no_grad()
    def fit(self, features: Iterator[ImageFeatures]) -> None:
        """Mean and principal directions of all patches in `features`.

        Counted from the mean of the first pictures: squares of vectors that lie far from zero
        would round small spreads away.
        """
        width = len(self.mean)
        count, origin, total = 0, torch.zeros(width), torch.zeros(width, dtype=torch.float64)
        products = torch.zeros(width, width, dtype=torch.float64)
        for some in features:
            patches = some.patches.reshape(-1, width).float().cpu()
            if count == 0:
                origin = patches.mean(dim=0)
            patches = patches - origin
            count += len(patches)
            total += patches.sum(dim=0).double()
            products += (patches.mT @ patches).double()
        if count == 0:
            raise ValueError("no pictures to fit the whitening head on")
        mean = total / count
        spread, directions = torch.linalg.eigh(products / count - torch.outer(mean, mean))
        keep = self.matrix.shape[1]
        spread, directions = spread.flip(0)[:keep], directions.flip(1)[:, :keep]
        if spread[0] <= 0:
            raise ValueError("all patches are the same; whiten features of pictures that differ")
        floor = spread[0] * 1e-6  # directions without spread would only amplify noise
        self.mean.copy_(origin + mean)
        self.matrix.copy_(directions * spread.clamp(min=floor) ** -self.power)
