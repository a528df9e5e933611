"""A learned linear map of every patch and of CLS into the joint space, as in CLIP."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from whatwhere.class_attention import ClassAttention
from whatwhere.records import ImageFeatures, Sizes


@dataclass(frozen=True)
class Linear:
    """`cls` learns a class token that looks at the mapped patches, for towers that have none."""

    size: int = 256  # numbers a joint vector has
    cls: bool = False

    def dim(self, width: int) -> int:
        return self.size

    def build(self, sizes: Sizes) -> "LinearHead":
        return LinearHead(sizes.width, sizes.dim, cls=self.cls)


class LinearHead(nn.Module):
    pictures = 0
    fixed = False

    def __init__(self, width: int, dim: int, *, cls: bool):
        super().__init__()
        self.project = nn.Linear(width, dim, bias=False)
        self.cls = ClassAttention(dim) if cls else None

    def fit(self, features: Iterator[ImageFeatures]) -> None:
        """Learned with the captions, not before."""

    def forward(self, features: ImageFeatures) -> ImageFeatures:
        patches, cls = self.project(features.patches), features.cls
        if self.cls is None:
            return ImageFeatures(patches, None if cls is None else self.project(cls))
        if cls is not None:
            raise ValueError("this image encoder has a class token of its own; set head.cls=False")
        return ImageFeatures(patches, self.cls(patches))
