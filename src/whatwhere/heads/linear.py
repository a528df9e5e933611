"""A learned linear map of every patch and of CLS into the joint space, as in CLIP."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from whatwhere.records import ImageFeatures, Sizes


@dataclass(frozen=True)
class Linear:
    size: int = 256  # numbers a joint vector has

    def dim(self, width: int) -> int:
        return self.size

    def build(self, sizes: Sizes) -> "LinearHead":
        return LinearHead(sizes.width, sizes.dim)


class LinearHead(nn.Module):
    pictures = 0
    fixed = False

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.project = nn.Linear(width, dim, bias=False)

    def fit(self, features: Iterator[ImageFeatures]) -> None:
        """Learned with the captions, not before."""

    def forward(self, features: ImageFeatures) -> ImageFeatures:
        cls = None if features.cls is None else self.project(features.cls)
        return ImageFeatures(self.project(features.patches), cls)
