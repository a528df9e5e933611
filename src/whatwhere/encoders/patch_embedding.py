"""Pixels cut into patches and nothing more: for poolings that hold a transformer themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.encoders.patch_drop import check_drop, kept
from whatwhere.encoders.tower import STATISTICS, ImageTower, refuse_injection
from whatwhere.records import ImageFeatures, Sizes
from whatwhere.weights import read, under


@dataclass(frozen=True)
class PatchEmbedding:
    """The embedding of GroupViT (arXiv 2202.11094): patches, a layer norm, their places added.

    The table of places is learned for squares of `size` pixels and resampled (bicubic) to other
    grids; the released code does so outside training only, ours always. "waves" is a fixed table
    of sines and cosines instead, an option of the released code. No class token. `patch_drop` is
    the share of patches that each picture loses in training, which the released code does not do.
    `weights` is a file of `whatwhere pretrain`, or one with GroupViT's names.
    """

    width: int = 384
    patch: int = 16
    size: int = 224
    norm: bool = True
    places: Literal["learned", "waves"] = "learned"
    weights: str | None = None
    frozen: bool = False
    patch_drop: float = 0.0

    def __post_init__(self) -> None:
        if self.size % self.patch:
            raise ValueError(
                f"image.size={self.size} does not divide into patches of {self.patch}; use "
                f"{max(round(self.size / self.patch), 1) * self.patch}"
            )
        if self.places == "waves" and self.width % 4:
            raise ValueError(f"image.width={self.width}; waves need a multiple of 4")

    def build(self, sizes: Sizes) -> ImageTower:
        check_drop(self.patch_drop, frozen=self.frozen)
        trunk = _Embedding(self)
        if self.weights is not None and sizes.pretrained:
            own = trunk.state_dict()
            found = under(read(self.weights), landmark="patch_embed.proj.weight", wanted=own)
            for key, value in found.items():
                if value.shape != own[key].shape:
                    raise ValueError(
                        f"{key} of {self.weights} is {tuple(value.shape)}, not "
                        f"{tuple(own[key].shape)}; set image.width, image.patch and image.size as "
                        "in the file"
                    )
            trunk.load_state_dict(found)
        mean, std = STATISTICS["imagenet"]
        return ImageTower(
            trunk,
            mean=mean,
            std=std,
            patch=self.patch,
            size=self.size,
            width=self.width,
            frozen=self.frozen,
        )


class _Embedding(nn.Module):
    """Parameter names are those of the released GroupViT."""

    def __init__(self, settings: PatchEmbedding):
        super().__init__()
        width, side = settings.width, settings.size // settings.patch
        self.patch_embed = _Patches(width, settings.patch, norm=settings.norm)
        if settings.places == "waves":
            self.register_buffer("pos_embed", waves(side, width=width)[None])
        else:
            self.pos_embed = nn.Parameter(torch.empty(1, side * side, width))
            nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.side, self.drop = side, settings.patch_drop

    def forward(
        self,
        pixels: Float[Tensor, "batch 3 height width"],
        inject: dict[int, Tensor] | None = None,
    ) -> ImageFeatures:
        refuse_injection(inject, because="a patch embedding has no layers")
        patches = self.patch_embed(pixels)
        patches = patches + self._places(patches.shape[1], patches.shape[2])
        if not (self.training and self.drop):
            return ImageFeatures(patches)
        return ImageFeatures(kept(patches.flatten(1, 2), drop=self.drop)[:, None], sampled=True)

    def _places(self, rows: int, cols: int) -> Float[Tensor, "1 rows cols width"]:
        table = rearrange(
            self.pos_embed, "1 (rows cols) width -> 1 width rows cols", rows=self.side
        )
        if (rows, cols) != (self.side, self.side):
            table = F.interpolate(table, (rows, cols), mode="bicubic", align_corners=False)
        return rearrange(table, "1 width rows cols -> 1 rows cols width")


class _Patches(nn.Module):
    def __init__(self, width: int, patch: int, *, norm: bool):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()

    def forward(
        self, pixels: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch rows cols dim"]:
        maps = self.proj(pixels)
        return self.norm(rearrange(maps, "batch dim rows cols -> batch rows cols dim"))


def waves(side: int, *, width: int, base: float = 10_000.0) -> Float[Tensor, "places width"]:
    """Sines and cosines of the row, then of the column, at `width` / 4 frequencies from 1 down.

    The table of MoCo v3 (arXiv 2104.02057), rows and columns in the order of the released GroupViT.
    """
    frequency = base ** -(torch.arange(width // 4) / (width // 4))
    row, col = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = [place.flatten()[:, None] * frequency for place in (row, col)]
    return torch.cat([wave(a) for a in angles for wave in (torch.sin, torch.cos)], dim=1)
