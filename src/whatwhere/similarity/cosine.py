"""Pictures and captions meet as one vector each; their score is the cosine (CLIP)."""

from dataclasses import dataclass

from torch import nn

from whatwhere.parallel import everyone, rank
from whatwhere.records import EncodedImages, EncodedTexts, Pairs, Sizes
from whatwhere.similarity.readout import Calibration, Readout


@dataclass(frozen=True)
class Cosine:
    calibration: Calibration = "none"
    momentum: float = 0.99
    context: float = 0.0
    smooth: int = 1

    def build(self, sizes: Sizes) -> "CosineSimilarity":
        readout = Readout(
            sizes.dim,
            calibration=self.calibration,
            momentum=self.momentum,
            context=self.context,
            smooth=self.smooth,
        )
        return CosineSimilarity(readout)


class CosineSimilarity(nn.Module):
    def __init__(self, readout: Readout):
        super().__init__()
        self.readout = readout

    def pairs(self, images: EncodedImages, texts: EncodedTexts) -> Pairs:
        return Pairs(
            image_to_text=images.image @ everyone(texts.caption).mT,
            text_to_image=texts.caption @ everyone(images.image).mT,
            first=rank() * len(images.image),
        )
