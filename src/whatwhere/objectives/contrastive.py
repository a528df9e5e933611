"""Captions must find their own picture among the batch, and pictures their caption (CLIP)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.records import Batch, Encoded, Losses, Pairs, Sizes


def info_nce(pairs: Pairs, *, scale: Float[Tensor, ""] | float) -> Float[Tensor, ""]:
    """Symmetric cross-entropy of matching rows: the pseudo-code of CLIP (arXiv 2103.00020, fig. 3).

    The mean of the two directions; CLIPpy's paper words it as their sum, its code as the mean.
    Over several processes, the mean of their losses is the loss of one big batch.
    """
    here = len(pairs.image_to_text)
    own = pairs.first + torch.arange(here, device=pairs.image_to_text.device)
    to_text = F.cross_entropy(pairs.image_to_text.float() * scale, own)
    to_image = F.cross_entropy(pairs.text_to_image.float() * scale, own)
    return (to_text + to_image) / 2


def clamped_exp(logit_scale: nn.Parameter, *, most: float) -> Float[Tensor, ""]:
    """1 / temperature, clamped before use as if after every step (SimZSS, CLIPpy: [0, ln 100]).

    The parameter itself is clamped: a clamp inside the graph would leave it without gradient once
    it is outside.
    """
    with torch.no_grad():
        logit_scale.clamp_(0, math.log(most))
    return logit_scale[0].exp()


@dataclass(frozen=True)
class Contrastive:
    weight: float = 1.0
    temperature: float = 0.07  # at the start
    learn_temperature: bool = True
    max_scale: float = 100.0  # 1 / temperature never exceeds it, nor falls below 1

    def __post_init__(self) -> None:
        if not 0 < self.temperature <= 1 or self.max_scale < 1:
            raise ValueError(
                f"contrastive.temperature={self.temperature}, max_scale={self.max_scale}; take a "
                "temperature above 0 and up to 1, and a scale of 1 or more"
            )

    def build(self, sizes: Sizes) -> "ContrastiveObjective":
        return ContrastiveObjective(self)


class ContrastiveObjective(nn.Module):
    def __init__(self, settings: Contrastive):
        super().__init__()
        self.settings = settings
        start = torch.tensor([math.log(1 / settings.temperature)])  # [1]: FSDP refuses 0-dim
        self.logit_scale = nn.Parameter(start, requires_grad=settings.learn_temperature)

    def scale(self) -> Float[Tensor, ""]:
        return clamped_exp(self.logit_scale, most=self.settings.max_scale)

    def forward(self, batch: Batch, encoded: Encoded) -> Losses:
        scale = self.scale()
        loss = info_nce(encoded.pairs, scale=scale)
        return Losses({"contrastive": self.settings.weight * loss}, {"scale": scale.detach()})
