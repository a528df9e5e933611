"""MobileNetV2 from a local weights file: a supervised image encoder that two CPU cores can run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.encoders.tower import STATISTICS, ImageTower, refuse_injection
from whatwhere.records import ImageFeatures, Sizes
from whatwhere.weights import read, under

# expansion, channels, blocks, stride of the first: arXiv 1801.04381, table 2
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
LAST = 1280
EPS = 1e-3  # of the batch norms, as in the TensorFlow original


@dataclass(frozen=True)
class MobileNetV2:
    """Features of chosen layers of MobileNetV2 (arXiv 1801.04381), one beside the other.

    Layers are numbered as in torchvision: 0 the first convolution, 1 to 17 the blocks, 18 the last
    convolution. Strides beyond `stride` become dilation, as DeepLab does (arXiv 1706.05587), so
    that the grid stays fine and the weights still fit.
    """

    weights: str | None = None
    layers: tuple[int, ...] = (18,)
    stride: int = 16
    frozen: bool = True

    def build(self, sizes: Sizes) -> ImageTower:
        if self.stride not in (8, 16, 32):
            raise ValueError(f"stride {self.stride} is not one of 8, 16, 32")
        if self.frozen and self.weights is None and sizes.pretrained:
            raise ValueError(
                "a frozen MobileNetV2 without weights shows noise; set image.weights=FILE "
                "(torchvision's key names), or image.frozen=False to train it"
            )
        trunk = _Layers(_Network(self.stride), self.layers)
        if self.weights is not None and sizes.pretrained:
            network = trunk.network
            found = under(
                read(self.weights), landmark="features.0.0.weight", wanted=network.state_dict()
            )
            network.load_state_dict(found)
        mean, std = STATISTICS["half"]
        return ImageTower(
            trunk,
            mean=mean,
            std=std,
            patch=self.stride,
            size=224,
            width=trunk.width,
            frozen=self.frozen,
        )


class SameConv(nn.Conv2d):
    """A convolution that gives ceil(size / stride) outputs, padded as TensorFlow does ("SAME").

    Where the padding is odd the extra zero goes right and below. The weights were trained so; with
    torch's symmetric zeros every stride looks one pixel further up and left than it learned to.
    """

    def forward(self, input: Float[Tensor, "batch channels rows cols"]) -> Tensor:
        (top, bottom), (left, right) = (
            same_padding(n, kernel=k, stride=s, dilation=d)
            for n, k, s, d in zip(
                input.shape[2:], self.kernel_size, self.stride, self.dilation, strict=True
            )
        )
        return super().forward(F.pad(input, (left, right, top, bottom)))


def same_padding(size: int, *, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros before and after one axis.

    >>> same_padding(224, kernel=3, stride=2, dilation=1)
    (0, 1)
    >>> same_padding(225, kernel=3, stride=2, dilation=1)
    (1, 1)
    """
    rest = size % stride or stride  # pixels that the last output moves on by
    zeros = max(dilation * (kernel - 1) + 1 - rest, 0)
    return zeros // 2, zeros - zeros // 2


class _Network(nn.Module):
    """Parameter names are torchvision's. `widths` and `strides` are of each layer's output."""

    def __init__(self, stride: int):
        super().__init__()
        layers: list[nn.Module] = [_conv(3, 32, kernel=3, stride=2)]
        self.widths, self.strides = [32], [2]
        learned = 2  # stride of the grid on which a layer's weights were trained
        for expand, width, blocks, first in STAGES:
            for step in [first] + [1] * (blocks - 1):
                here = self.strides[-1]
                taken = step if here * step <= stride else 1
                layers.append(
                    _Block(
                        self.widths[-1],
                        width,
                        expand=expand,
                        stride=taken,
                        dilation=learned // here,
                    )
                )
                learned *= step
                self.widths.append(width)
                self.strides.append(here * taken)
        layers.append(_conv(self.widths[-1], LAST, kernel=1))
        self.widths.append(LAST)
        self.strides.append(self.strides[-1])
        self.features = nn.ModuleList(layers)

    def forward(
        self, pixels: Float[Tensor, "batch 3 height width"], *, layers: tuple[int, ...]
    ) -> list[Tensor]:
        found = {}
        for i, layer in enumerate(self.features[: max(layers) + 1]):
            pixels = layer(pixels)
            if i in layers:
                found[i] = pixels
        return [found[i] for i in layers]


class _Layers(nn.Module):
    def __init__(self, network: _Network, layers: tuple[int, ...]):
        super().__init__()
        good = [i for i, stride in enumerate(network.strides) if stride == network.strides[-1]]
        if not layers or not set(layers) <= set(good):
            raise ValueError(
                f"layers {layers} of MobileNetV2 are not all on the grid of stride "
                f"{network.strides[-1]}; choose from {good[0]} to {good[-1]}"
            )
        # Channels last halves the time of its 1x1 convolutions on a CPU.
        self.network = network.to(memory_format=torch.channels_last)
        self.layers = layers
        self.width = sum(network.widths[i] for i in layers)

    def stage_maps(
        self, pixels: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch channels rows cols"]]:
        """What leaves the last layer of each width, from the first grid of stride 4 on."""
        widths = self.network.widths
        ends = [i for i, width in enumerate(widths) if [width] != widths[i + 1 : i + 2]]
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        return self.network(pixels, layers=tuple(i for i in ends if i > 1))

    def forward(
        self,
        pixels: Float[Tensor, "batch 3 height width"],
        inject: dict[int, Tensor] | None = None,
    ) -> ImageFeatures:
        refuse_injection(inject, because="MobileNetV2 is convolutional and has no token sequence")
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        maps = torch.cat(self.network(pixels, layers=self.layers), dim=1)
        return ImageFeatures(rearrange(maps, "batch width rows cols -> batch rows cols width"))


class _Block(nn.Module):
    """Widen, look around channel by channel, narrow; without a last activation (section 3.2)."""

    def __init__(self, width: int, out: int, *, expand: int, stride: int, dilation: int):
        super().__init__()
        inner = width * expand
        widen = [_conv(width, inner, kernel=1)] if expand > 1 else []
        self.conv = nn.Sequential(
            *widen,
            _conv(inner, inner, kernel=3, stride=stride, dilation=dilation, groups=inner),
            SameConv(inner, out, 1, bias=False),
            nn.BatchNorm2d(out, eps=EPS),
        )
        self.residual = stride == 1 and width == out

    def forward(self, maps: Float[Tensor, "batch channels rows cols"]) -> Tensor:
        return maps + self.conv(maps) if self.residual else self.conv(maps)


def _conv(
    width: int, out: int, *, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        SameConv(width, out, kernel, stride=stride, dilation=dilation, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=EPS),
        nn.ReLU6(inplace=True),
    )
