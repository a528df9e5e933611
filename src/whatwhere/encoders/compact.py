"""A small convolutional image encoder whose stages can each learn from a stage of a larger one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.encoders.mobilenet_v2 import SameConv
from whatwhere.encoders.tower import STATISTICS, ImageTower, refuse_injection
from whatwhere.records import ImageFeatures, Sizes
from whatwhere.weights import read, under

# Of each stage: channels that leave it, and its blocks as (expansion, window before the expansion,
# window after it), where a window of 0 is left out. The first block of a stage with a stride takes
# it; before the blocks, "fused" stages have a full 3x3 convolution of so many channels.
# Channels and strides are those of MobileNetV2 after its layers 3, 6, 10, 13, 16, 17, 18, so that
# a stage can be asked for what these give; what is inside the stages is not MobileNetV2's.
FUSED = (96, 96)
BLOCKS = (
    (24, 1, ((4, 3, 3),)),
    (32, 1, ((4, 3, 5),)),
    (64, 2, ((6, 0, 5), (4, 3, 5), (4, 0, 3))),
    (96, 1, ((6, 3, 5), (4, 0, 3))),
    (160, 2, ((6, 0, 5), (4, 3, 5), (4, 0, 3))),
    (320, 1, ((6, 3, 3),)),
)
LAST = 1280
STEM = 32


@dataclass(frozen=True)
class Compact:
    """Universal inverted bottlenecks (MobileNetV4, arXiv 2404.10518) in seven stages.

    Its first two stages are full convolutions, which two CPU cores compute faster than channelwise
    ones of the same size. Strides beyond `stride` become dilation, as in `MobileNetV2`. `weights`
    is a file of `whatwhere pretrain`.

    `shrink` averages so many pixels each way into one before the first layer. A photo that is read
    at twice the size of the pictures that were learned from shows things twice as large; halved,
    with half the stride, they are as they were, on the same grid of patches.
    """

    weights: str | None = None
    stride: int = 16
    shrink: int = 1
    frozen: bool = True

    def build(self, sizes: Sizes) -> ImageTower:
        if self.stride not in (8, 16, 32):
            raise ValueError(f"stride {self.stride} is not one of 8, 16, 32")
        if self.shrink < 1:
            raise ValueError(f"image.shrink={self.shrink}; take 1 (as it is) or more")
        if self.frozen and self.weights is None and sizes.pretrained:
            raise ValueError(
                "a frozen compact tower without weights shows noise; set image.weights=FILE (of "
                "`whatwhere pretrain`), or image.frozen=False to train it"
            )
        trunk = _Network(self.stride)
        if self.weights is not None and sizes.pretrained:
            found = under(
                read(self.weights), landmark="stages.0.0.0.weight", wanted=trunk.state_dict()
            )
            trunk.load_state_dict(found)
        mean, std = STATISTICS["half"]
        return ImageTower(
            trunk,
            mean=mean,
            std=std,
            patch=self.stride * self.shrink,
            size=224 * self.shrink,
            width=LAST,
            frozen=self.frozen,
            shrink=self.shrink,
        )


class _Network(nn.Module):
    def __init__(self, stride: int):
        super().__init__()
        grid = _Grid(stride)
        stages = [nn.Sequential(_conv(3, STEM, window=3, **grid.step(2)))]
        width = STEM
        for number, (out, step, blocks) in enumerate(BLOCKS):
            if number:
                stages.append(nn.Sequential())
            if number < len(FUSED):
                inner = FUSED[number]
                stages[-1].append(_conv(width, inner, window=3, **grid.step(2)))
                stages[-1].append(_conv(inner, out, activate=False))
                width = out
            for expand, before, after in blocks:
                stages[-1].append(
                    _Block(
                        width,
                        out,
                        expand=expand,
                        before=before,
                        after=after,
                        **grid.step(step if width != out else 1),
                    )
                )
                width = out
        stages.append(nn.Sequential(_conv(width, LAST)))
        # Channels last halves the time of 1x1 convolutions on a CPU.
        self.stages = nn.ModuleList(stages).to(memory_format=torch.channels_last)

    def forward(
        self,
        pixels: Float[Tensor, "batch 3 height width"],
        inject: dict[int, Tensor] | None = None,
    ) -> ImageFeatures:
        refuse_injection(inject, because="this tower is convolutional and has no token sequence")
        maps = self.stage_maps(pixels)[-1]
        return ImageFeatures(rearrange(maps, "batch width rows cols -> batch rows cols width"))

    def stage_maps(
        self, pixels: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch channels rows cols"]]:
        maps = [pixels.contiguous(memory_format=torch.channels_last)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


class _Step(TypedDict):
    stride: int
    dilation: int


class _Grid:
    """Turns strides beyond `most` into dilation, layer after layer."""

    def __init__(self, most: int):
        self.most, self.here, self.learned = most, 1, 1

    def step(self, stride: int) -> _Step:
        """Stride and dilation of a layer that has this stride in a network without dilation."""
        taken = stride if self.here * stride <= self.most else 1
        dilation = self.learned // self.here
        self.here *= taken
        self.learned *= stride
        return {"stride": taken, "dilation": dilation}


class _Block(nn.Module):
    """Look around, widen, look around, narrow; either look may be left out."""

    def __init__(
        self,
        width: int,
        out: int,
        *,
        expand: int,
        before: int,
        after: int,
        stride: int,
        dilation: int,
    ):
        super().__init__()
        inner = width * expand
        layers: list[nn.Module] = []
        if before:
            layers.append(
                _conv(width, width, window=before, dilation=dilation, groups=width, activate=False)
            )
        layers.append(_conv(width, inner))
        if after:
            layers.append(
                _conv(inner, inner, window=after, stride=stride, dilation=dilation, groups=inner)
            )
        layers.append(_conv(inner, out, activate=False))
        self.conv = nn.Sequential(*layers)
        self.residual = width == out

    def forward(self, maps: Float[Tensor, "batch channels rows cols"]) -> Tensor:
        return maps + self.conv(maps) if self.residual else self.conv(maps)


def _conv(
    width: int,
    out: int,
    *,
    window: int = 1,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    activate: bool = True,
) -> nn.Sequential:
    layers: Iterable[nn.Module] = (
        SameConv(width, out, window, stride=stride, dilation=dilation, groups=groups, bias=False),
        nn.BatchNorm2d(out),
        *([nn.ReLU(inplace=True)] if activate else []),
    )
    return nn.Sequential(*layers)
