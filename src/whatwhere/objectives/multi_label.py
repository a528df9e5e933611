"""Pictures must find the prompts made of their own words among those of all pictures (GroupViT)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.objectives.contrastive import clamped_exp
from whatwhere.parallel import everyone, rank
from whatwhere.records import Batch, Encoded, Losses, Sizes


def multi_label_nce(
    images: Float[Tensor, "images dim"],
    prompts: Float[Tensor, "prompts dim"],
    *,
    scale: Float[Tensor, ""] | float,
) -> Float[Tensor, ""]:
    """Multi-label contrastive loss (arXiv 2202.11094, sec. 3.3), of unit vectors.

    A picture's target is shared equally among its own prompts, which stand in a row; a prompt's
    target is its picture. The mean of the two directions, each averaged over its rows (the paper
    words it as their sum, the released code halves it). The same prompt of another picture counts
    as wrong, as published. Over several processes, the mean of their losses is the loss of one big
    batch.
    """
    here, count = len(images), len(prompts) // len(images)
    own = rank() * here + torch.arange(here, device=images.device)
    to_prompts = (images @ everyone(prompts).mT).float() * scale
    to_images = (prompts @ everyone(images).mT).float() * scale
    picture_of = torch.arange(to_prompts.shape[1], device=own.device) // count
    target = (picture_of == own[:, None]) / count
    of_images = F.cross_entropy(to_prompts, target)
    of_prompts = F.cross_entropy(to_images, own.repeat_interleave(count))
    return (of_images + of_prompts) / 2


@dataclass(frozen=True)
class MultiLabel:
    """Needs prompts: --set extra_prompts=whatwhere.concepts.word_prompts:WordPrompts."""

    weight: float = 1.0
    temperature: float = 0.07  # at the start; its own, not that of captions
    max_scale: float = 100.0  # 1 / temperature never exceeds it, nor falls below 1

    def __post_init__(self) -> None:
        if not 0 < self.temperature <= 1 or self.max_scale < 1:
            raise ValueError(
                f"multi_label.temperature={self.temperature}, max_scale={self.max_scale}; take a "
                "temperature above 0 and up to 1, and a scale of 1 or more"
            )

    def build(self, sizes: Sizes) -> "MultiLabelObjective":
        return MultiLabelObjective(self)


class MultiLabelObjective(nn.Module):
    def __init__(self, settings: MultiLabel):
        super().__init__()
        self.settings = settings
        self.logit_scale = nn.Parameter(torch.tensor([math.log(1 / settings.temperature)]))

    def forward(self, batch: Batch, encoded: Encoded) -> Losses:
        if encoded.prompts is None:
            raise ValueError(
                "multi_label needs prompts; give the recipe "
                "extra_prompts=whatwhere.concepts.word_prompts:WordPrompts"
            )
        scale = clamped_exp(self.logit_scale, most=self.settings.max_scale)
        loss = multi_label_nce(encoded.images.image, encoded.prompts, scale=scale)
        return Losses(
            {"multi_label": self.settings.weight * loss}, {"multi_label_scale": scale.detach()}
        )
