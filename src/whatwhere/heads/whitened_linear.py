"""A learned linear map behind a whitening that is fitted before it."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from whatwhere.heads.linear import LinearHead
from whatwhere.heads.whiten import Whiten, WhitenHead
from whatwhere.records import ImageFeatures, Sizes


@dataclass(frozen=True)
class WhitenedLinear:
    """`Linear`, shown what differs between patches instead of what they share.

    Features that are never negative share a mean, and where a tower sees nothing that it knows, as
    in the sky, they are close to zero: a linear map without a bias gives such patches a direction
    that noise decides. Centred, they lie in one direction, which words can learn.

    size     numbers a joint vector has
    whiten   settings of the whitening
    """

    size: int = 256
    whiten: Whiten = Whiten(size=512)

    def dim(self, width: int) -> int:
        return self.size

    def build(self, sizes: Sizes) -> "WhitenedLinearHead":
        between = self.whiten.dim(sizes.width)
        return WhitenedLinearHead(
            WhitenHead(self.whiten, sizes.width, between), LinearHead(between, sizes.dim, cls=False)
        )


class WhitenedLinearHead(nn.Module):
    fixed = False

    def __init__(self, whiten: WhitenHead, linear: LinearHead):
        super().__init__()
        self.whiten, self.linear = whiten, linear
        self.pictures = whiten.pictures

    def fit(self, features: Iterator[ImageFeatures]) -> None:
        self.whiten.fit(features)

    def forward(self, features: ImageFeatures) -> ImageFeatures:
        return self.linear(self.whiten(features))
