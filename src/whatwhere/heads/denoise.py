"""A frozen block that takes the position artefacts out of a ViT's patches (DVT, used by SimZSS)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.records import ImageFeatures, Sizes
from whatwhere.weights import read, under

HEAD = 64  # numbers of a vector that each attention head sees


@dataclass(frozen=True)
class Denoise:
    """The denoiser of "Denoising Vision Transformers" (arXiv 2401.02957), as SimZSS uses it.

    One pre-norm transformer block on the patches plus its own position table of `grid` x `grid`,
    resampled to the grid of the picture; its output replaces the patches and the class token stays
    as it is. `weights` is a local file of DVT (or of a whole released SimZSS); "random" starts it
    at random, which is of use only to try things out. The released code takes any file in silence
    and knows one width, 768; here everything must fit, and the width is the encoder's.
    """

    weights: str | None = None
    grid: int = 37

    def dim(self, width: int) -> int:
        return width

    def build(self, sizes: Sizes) -> DenoiseHead:
        if sizes.width % HEAD:
            raise ValueError(
                f"the denoiser's attention heads are {HEAD} wide, which does not divide the image "
                f"encoder's {sizes.width}; leave it out: head=whatwhere.heads.identity:Identity"
            )
        head = DenoiseHead(sizes.width, self.grid)
        if self.weights == "random" or not sizes.pretrained:
            return head
        if self.weights is None:
            raise ValueError(
                "the denoiser has no weights; get DVT's file for your image encoder (Hugging Face "
                "jjiaweiyang/DVT, voc_denoised/vit_base_patch14_reg4_dinov2.lvd142m.pth for ViT-B) "
                "and set head.weights=FILE, or head.weights=random to try things out, or go "
                "without it: head=whatwhere.heads.identity:Identity"
            )
        own = head.state_dict()
        state = read(self.weights, inside=("denoiser", "state_dict", "model"))
        found = under(state, landmark="denoiser.norm1.weight", wanted=own)
        for key, value in found.items():
            if value.shape != own[key].shape:
                raise ValueError(
                    f"{key} of {self.weights} is {tuple(value.shape)}, not {tuple(own[key].shape)};"
                    " take the file that DVT made for this image encoder, and head.grid as in it"
                )
        head.load_state_dict(found)
        return head


class DenoiseHead(nn.Module):
    """Parameter names are DVT's."""

    pictures = 0
    fixed = True

    def __init__(self, width: int, grid: int):
        super().__init__()
        from timm.layers import LayerNorm  # eps 1e-6, where torch has 1e-5
        from timm.models.vision_transformer import Block

        self.denoiser = Block(width, width // HEAD, qkv_bias=True, norm_layer=LayerNorm)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, grid * grid, width))
        self.requires_grad_(False)

    def fit(self, features: Iterator[ImageFeatures]) -> None:
        """Learned by DVT on other pictures, not here."""

    def forward(self, features: ImageFeatures) -> ImageFeatures:
        if features.sampled:
            raise ValueError(
                "the denoiser knows patches by their places; set image.patch_drop=0, or go without "
                "it: head=whatwhere.heads.identity:Identity"
            )
        return ImageFeatures(self.clean(features.patches), features.cls)

    def clean(
        self, patches: Float[Tensor, "batch rows cols width"]
    ) -> Float[Tensor, "batch rows cols width"]:
        from timm.layers import resample_abs_pos_embed

        grid = list(patches.shape[1:3])
        place = resample_abs_pos_embed(self.pos_embed, grid, num_prefix_tokens=0)
        return self.denoiser(patches.flatten(1, 2) + place).unflatten(1, grid)
