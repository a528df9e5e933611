"""No head: the image encoder's own space is the joint space (CLIPpy and SimZSS as published)."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from whatwhere.records import ImageFeatures, Sizes


@dataclass(frozen=True)
class Identity:
    def dim(self, width: int) -> int:
        """Numbers a joint vector has, given the encoder's."""
        return width

    def build(self, sizes: Sizes) -> "IdentityHead":
        return IdentityHead()


class IdentityHead(nn.Module):
    pictures = 0  # that `fit` wants to see before training
    fixed = True  # captions teach it nothing: its output may be cached

    def fit(self, features: Iterator[ImageFeatures]) -> None:
        """Nothing to learn from pictures alone."""

    def forward(self, features: ImageFeatures) -> ImageFeatures:
        return features
