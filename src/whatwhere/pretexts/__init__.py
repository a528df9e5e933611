"""What an image encoder can learn from photos without captions. One file each.

Settings have `build(sizes)`, where `sizes.width` is the encoder's; what is built takes
`(Views, Look)` and returns `Losses`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from whatwhere.records import ImageFeatures, Views


@dataclass(frozen=True)
class Look:
    """An image encoder and the views it is to look at, once, when a pretext first asks."""

    encoder: Callable[[Tensor], ImageFeatures]
    views: Views

    @property
    def pictures(self) -> Float[Tensor, "batch_views 3 height width"]:
        """All views of a photo in a row."""
        return rearrange(self.views.pictures, "batch views ... -> (batch views) ...")

    @cached_property
    def features(self) -> ImageFeatures:
        return self.encoder(self.pictures)


def refuse_sampled(features: ImageFeatures) -> None:
    """ValueError if patches were dropped: those left have lost their places."""
    if features.sampled:
        raise ValueError(
            "this pretext knows patches by their places; set image.patch_drop=0 while pretraining"
        )
