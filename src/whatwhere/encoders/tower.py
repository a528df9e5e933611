"""What every image encoder does around its network: check the size, normalise pixels, declare."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.encoders.frozen import Frozen
from whatwhere.records import ImageEncoder, ImageFeatures

STATISTICS = {  # mean and spread of the pixels, in [0, 1], that a network was trained with
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


class ImageTower(nn.Module):
    """An image encoder: a network and the facts that its users need.

    The network is called with normalised pixels and the tokens to inject, and returns
    `ImageFeatures` on the grid of the picture's size divided by `patch`. Without `any_size` it
    takes only squares of `size`.
    """

    _mean: Float[Tensor, "3 1 1"]
    _std: Float[Tensor, "3 1 1"]

    def __init__(
        self,
        trunk: nn.Module,
        *,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        patch: int,
        size: int,
        width: int,
        frozen: bool,
        any_size: bool = True,
        shrink: int = 1,
    ):
        super().__init__()
        self.trunk = Frozen(trunk) if frozen else trunk
        self.mean, self.std = mean, std
        self.patch, self.size, self.width, self.frozen = patch, size, width, frozen
        self.any_size, self.shrink = any_size, shrink
        self.register_buffer("_mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches of a picture of this many pixels."""
        if not self.any_size and (height, width) != (self.size, self.size):
            raise ValueError(
                f"images of {height}x{width} do not fit, for this network has one size; "
                f"use {self.size}x{self.size}"
            )
        rows, cols = height // self.patch, width // self.patch
        if rows * self.patch != height or cols * self.patch != width or not rows * cols:
            good = "x".join(
                str(max(1, round(s / self.patch)) * self.patch) for s in (height, width)
            )
            raise ValueError(
                f"images of {height}x{width} do not divide into patches of {self.patch}; use {good}"
            )
        return rows, cols

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        inject: dict[int, Float[Tensor, "batch extra dim"]] | None = None,
    ) -> ImageFeatures:
        """Patch vectors of pictures in [0, 1].

        `inject` puts tokens after the picture's own before the block of that number (VPT, arXiv
        2203.12119; MaPLe, arXiv 2210.03117). They live on through later blocks until another
        entry replaces them, and are left out of the result.
        """
        self.grid(*images.shape[2:])
        return self.trunk(self.normalized(images), inject)

    @property
    def network(self) -> Any:
        """What runs between pixels and features, frozen or not."""
        return self.trunk.trunk if isinstance(self.trunk, Frozen) else self.trunk

    def normalized(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 3 seen_height seen_width"]:
        """Pixels as the network was made for them."""
        if self.shrink > 1:
            images = F.avg_pool2d(images, self.shrink)
        return (images - self._mean) / self._std


def takes_any_size(encoder: ImageEncoder) -> bool:
    """Whether pictures may have other sizes than the one it was made for."""
    try:
        encoder.grid(2 * encoder.patch, 3 * encoder.patch)
    except ValueError:
        return False
    return True


def refuse_injection(inject: dict[int, Tensor] | None, *, because: str) -> None:
    """ValueError if there is something to inject where nothing can be."""
    if inject:
        raise ValueError(
            f"cannot inject tokens at layers {sorted(inject)}: {because}; use a plain ViT"
        )
