"""A caption's score is that of the regions it fits best: a soft maximum over region cosines.

Where one pooled vector lets every channel come from another place, this compares the caption with
whole regions, so the map that training shapes is the map that is read out.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.parallel import everyone, rank
from whatwhere.records import EncodedImages, EncodedTexts, Pairs, Sizes
from whatwhere.similarity.readout import Calibration, Readout


def soft_maximum(
    regions: Float[Tensor, "images regions dim"],
    captions: Float[Tensor, "texts dim"],
    *,
    temperature: float,
) -> Float[Tensor, "images texts"]:
    """temperature * log mean exp(cosine / temperature) over regions: mean (hot) to max (cold)."""
    cosines = torch.einsum("ird,td->itr", regions, captions).float()
    soft = torch.logsumexp(cosines / temperature, dim=-1) - math.log(regions.shape[1])
    return temperature * soft


@dataclass(frozen=True)
class LogSumExp:
    temperature: float = 0.1
    calibration: Calibration = "none"
    momentum: float = 0.99
    context: float = 0.0
    smooth: int = 1

    def build(self, sizes: Sizes) -> "LogSumExpSimilarity":
        readout = Readout(
            sizes.dim,
            calibration=self.calibration,
            momentum=self.momentum,
            context=self.context,
            smooth=self.smooth,
        )
        return LogSumExpSimilarity(self.temperature, readout)


class LogSumExpSimilarity(nn.Module):
    def __init__(self, temperature: float, readout: Readout):
        super().__init__()
        self.temperature, self.readout = temperature, readout

    def pairs(self, images: EncodedImages, texts: EncodedTexts) -> Pairs:
        regions, caption, heat = images.regions, texts.caption, self.temperature
        return Pairs(
            image_to_text=soft_maximum(regions, everyone(caption), temperature=heat),
            text_to_image=soft_maximum(everyone(regions), caption, temperature=heat).mT,
            first=rank() * len(caption),
        )
