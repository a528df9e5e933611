"""MobileNetV2: from a file of supervised weights, or wider inside and taught by one that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

from whatwhere.encoders.tower import STATISTICS, ImageTower, refuse_injection
from whatwhere.records import ImageFeatures, Sizes
from whatwhere.weights import read, under

# channels, blocks, stride of the first: arXiv 1801.04381, table 2
STAGES = (
    (16, 1, 1),
    (24, 2, 2),
    (32, 3, 2),
    (64, 4, 2),
    (96, 3, 1),
    (160, 3, 2),
    (320, 1, 1),
)
LAST = 1280
EPS = 1e-3  # of the batch norms, as in the TensorFlow original


@dataclass(frozen=True)
class MobileNetV2:
    """Features of chosen layers of MobileNetV2 (arXiv 1801.04381), one beside the other.

    Layers are numbered as in torchvision: 0 the first convolution, 1 to 17 the blocks, 18 the last
    convolution. Strides beyond `stride` become dilation, as DeepLab does (arXiv 1706.05587), so
    that the grid stays fine and the weights still fit.

    weights  a file with torchvision's key names, or one of `whatwhere pretrain`
    expand   how many times wider than its input a block is inside: the first block, all others.
             A student that is wider inside than its teacher learns each of its layers within
             minutes (pretext `stagewise`)
    shrink   so many pixels each way are averaged into one before the first layer. A photo that is
             read at twice the size of the pictures that were learned from shows things twice as
             large; halved, with half the stride, they are as they were, on the same grid
    norms    "fixed" trains with the means and spreads that batch norms already have, as they are
             used afterwards; for going on from weights that fit, where those of single batches
             are noise
    """

    weights: str | None = None
    layers: tuple[int, ...] = (18,)
    stride: int = 16
    expand: tuple[int, int] = (1, 6)
    shrink: int = 1
    norms: Literal["learned", "fixed"] = "learned"
    frozen: bool = True

    def build(self, sizes: Sizes) -> ImageTower:
        if self.stride not in (8, 16, 32):
            raise ValueError(f"stride {self.stride} is not one of 8, 16, 32")
        if min(self.shrink, *self.expand) < 1:
            raise ValueError(
                f"image.shrink={self.shrink}, image.expand={self.expand}; take whole numbers of 1 "
                "or more, as in image.shrink=2 and image.expand=(1,6)"
            )
        if self.frozen and self.weights is None and sizes.pretrained:
            raise ValueError(
                "a frozen MobileNetV2 without weights shows noise; set image.weights=FILE "
                "(torchvision's key names, or of `whatwhere pretrain`), or image.frozen=False to "
                "train it"
            )
        trunk = _Layers(
            _Network(self.stride, self.expand), self.layers, fixed=self.norms == "fixed"
        )
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
            patch=self.stride * self.shrink,
            size=224 * self.shrink,
            width=trunk.width,
            frozen=self.frozen,
            shrink=self.shrink,
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
        padded = F.pad(input, (left, right, top, bottom))
        if self._halves_channels_alone and torch.is_autocast_enabled("cpu"):
            return _Halving.apply(padded, self.weight)
        return super().forward(padded)

    @property
    def _halves_channels_alone(self) -> bool:
        alone = self.groups == self.in_channels == self.out_channels > 1 and self.bias is None
        return alone and self.stride == (2, 2) and self.dilation == (1, 1)


class _Halving(torch.autograd.Function):
    """A channelwise convolution of stride 2, whose way back is a convolution of stride 1.

    The library's own way back for bfloat16 takes forty times as long as the way there, more than
    all else in MobileNetV2 together.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(maps, kernel)
        return F.conv2d(maps, kernel, stride=2, groups=len(kernel))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor]:
        maps, kernel = ctx.saved_tensors
        (grad,) = grads
        groups, size = len(kernel), kernel.shape[-1]
        rows, cols = (2 * n - 1 for n in grad.shape[2:])
        spaced = grad.new_zeros(*grad.shape[:2], rows, cols)
        spaced = spaced.contiguous(memory_format=torch.channels_last)
        spaced[:, :, ::2, ::2] = grad
        turned = kernel.to(grad.dtype).flip(2, 3)
        to_maps = F.conv2d(spaced, turned, padding=size - 1, groups=groups)
        unseen = [n - m for n, m in zip(maps.shape[2:], to_maps.shape[2:], strict=True)]
        to_maps = F.pad(to_maps, (0, unseen[1], 0, unseen[0]))
        to_kernel = conv2d_weight(maps.to(grad.dtype), kernel.shape, grad, stride=2, groups=groups)
        return to_maps.to(maps.dtype), to_kernel.to(kernel.dtype)


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

    def __init__(self, stride: int, expand: tuple[int, int]):
        super().__init__()
        layers: list[nn.Module] = [_conv(3, 32, kernel=3, stride=2)]
        self.widths, self.strides = [32], [2]
        learned = 2  # stride of the grid on which a layer's weights were trained
        for number, (width, blocks, first) in enumerate(STAGES):
            for step in [first] + [1] * (blocks - 1):
                here = self.strides[-1]
                taken = step if here * step <= stride else 1
                layers.append(
                    _Block(
                        self.widths[-1],
                        width,
                        expand=expand[min(number, 1)],
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
    def __init__(self, network: _Network, layers: tuple[int, ...], *, fixed: bool):
        super().__init__()
        good = [i for i, stride in enumerate(network.strides) if stride == network.strides[-1]]
        if not layers or not set(layers) <= set(good):
            raise ValueError(
                f"layers {layers} of MobileNetV2 are not all on the grid of stride "
                f"{network.strides[-1]}; choose from {good[0]} to {good[-1]}"
            )
        # Channels last halves the time of its 1x1 convolutions on a CPU.
        self.network = network.to(memory_format=torch.channels_last)
        self.layers, self.fixed = layers, fixed
        self.width = sum(network.widths[i] for i in layers)

    def stage_maps(
        self, pixels: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch channels rows cols"]]:
        """What leaves each layer."""
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        return self.network(pixels, layers=tuple(range(len(self.stages))))

    @property
    def stages(self) -> nn.ModuleList:
        return self.network.features

    def train(self, mode: bool = True) -> _Layers:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d) and self.fixed:
                module.eval()
        return self

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
