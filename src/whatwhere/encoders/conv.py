"""A small convolutional image encoder that two CPU cores can train from nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.class_attention import ClassAttention
from whatwhere.encoders.tower import STATISTICS, ImageTower, refuse_injection
from whatwhere.records import ImageFeatures, Sizes
from whatwhere.weights import read, under


@dataclass(frozen=True)
class Conv:
    """An overlapping stem and residual blocks in the manner of ConvNeXt (arXiv 2201.03545).

    Every operation is local, the normalisation too, so that a patch vector depends on its
    neighbourhood of about `stride * (2 * blocks + 2)` pixels a side and on nothing else. Global
    attention trained from nothing on few pictures loses the place of things. No batch statistics:
    processes need not agree and evaluation is the function that was trained.

    `weights` is a file of `whatwhere pretrain`, of all but the CLS token. `cls` adds one that looks
    at all patches once, after the last block, and that no patch sees (`ClassAttention`).
    """

    width: int = 128
    stride: int = 8
    blocks: int = 3
    cls: bool = False
    weights: str | None = None
    frozen: bool = False

    def build(self, sizes: Sizes) -> ImageTower:
        if self.stride not in (4, 8):
            raise ValueError(f"stride {self.stride} is neither 4 nor 8")
        trunk = _Network(self)
        if self.weights is not None and sizes.pretrained:
            wanted = [name for name in trunk.state_dict() if not name.startswith("cls.")]
            found = under(read(self.weights), landmark="stem.weight", wanted=wanted)
            own = trunk.state_dict()
            for key, value in found.items():
                if value.shape != own[key].shape:
                    raise ValueError(
                        f"{key} of {self.weights} is {tuple(value.shape)}, not "
                        f"{tuple(own[key].shape)}; set image.width and image.stride as in the file"
                    )
            trunk.load_state_dict(found, strict=False)
        mean, std = STATISTICS["half"]
        return ImageTower(
            trunk,
            mean=mean,
            std=std,
            patch=self.stride,
            size=96,
            width=self.width,
            frozen=self.frozen,
        )


class _Network(nn.Module):
    def __init__(self, settings: Conv):
        super().__init__()
        width, stride, blocks = settings.width, settings.stride, settings.blocks
        self.stem = nn.Conv2d(3, width // 2, 6, stride=4, padding=1)
        self.stem_norm = _Norm(width // 2)
        self.widen = nn.Conv2d(width // 2, width, 3, stride=stride // 4, padding=1)
        self.blocks = nn.Sequential(*[_Block(width) for _ in range(blocks)])
        self.norm = nn.LayerNorm(width)
        self.cls = ClassAttention(width) if settings.cls else None

    def forward(
        self,
        pixels: Float[Tensor, "batch 3 height width"],
        inject: dict[int, Tensor] | None = None,
    ) -> ImageFeatures:
        refuse_injection(inject, because="this tower is convolutional and has no token sequence")
        maps = self.blocks(self.widen(F.gelu(self.stem_norm(self.stem(pixels)))))
        patches = self.norm(rearrange(maps, "batch width rows cols -> batch rows cols width"))
        return ImageFeatures(patches, None if self.cls is None else self.cls(patches))


class _Norm(nn.Module):
    """Layer norm of the channels at each place."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, maps: Float[Tensor, "batch channels rows cols"]) -> Tensor:
        return self.norm(maps.movedim(1, -1)).movedim(-1, 1)


class _Block(nn.Module):
    """Look around channel by channel, then mix the channels at each place."""

    def __init__(self, width: int):
        super().__init__()
        self.around = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, maps: Float[Tensor, "batch channels rows cols"]) -> Tensor:
        places = self.norm(self.around(maps).movedim(1, -1))
        return maps + self.down(F.gelu(self.up(places))).movedim(-1, 1)
