"""Patch vectors that tell what a larger network's would be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.pretexts import refuse_sampled
from whatwhere.pretexts.teachers import teacher_of
from whatwhere.records import Look, Losses, Sizes, Views


@dataclass(frozen=True)
class Distillation:
    """A linear map of each patch predicts the teacher's features at the same place.

    The teacher's channels are first brought to mean 0 and variance 1 over the batch, or those that
    vary most would be all that is learned (AM-RADIO, arXiv 2312.06709, standardises its teachers
    too). Lost is the mean square, whose value without learning is 1.

    teacher   settings of a frozen image encoder; it sees the same views, at the same size
    """

    teacher: Any = None
    weight: float = 1.0

    def build(self, sizes: Sizes) -> DistillationPretext:
        teacher = teacher_of(self, "distillation")
        return DistillationPretext(self, teacher, sizes.width)


class DistillationPretext(nn.Module):
    def __init__(self, settings: Distillation, teacher: Any, width: int):
        super().__init__()
        self.settings = settings
        self.predict = nn.Linear(width, teacher.width)
        self.standard = nn.BatchNorm1d(teacher.width, affine=False, momentum=0.01)
        self._teacher = (teacher,)  # in a tuple, so that no checkpoint holds its weights

    def forward(self, views: Views, look: Look) -> Losses:
        features = look.features
        refuse_sampled(features)
        own = self.predict(features.patches).float()
        with torch.no_grad():
            (teacher,) = self._teacher
            # torch has no antialiased resize of bfloat16 on CPU
            seen = teacher.to(look.pictures.device)(look.pictures).patches.float()
            target = _resized(seen, rows=own.shape[1], cols=own.shape[2])
            target = self.standard(target.flatten(0, 2)).view(own.shape)
        agree = F.cosine_similarity(own.detach(), target, dim=-1).mean()
        return Losses(
            {"distillation": self.settings.weight * F.mse_loss(own, target)},
            {"teacher_cosine": agree},
        )


def _resized(
    maps: Float[Tensor, "batch rows cols width"], *, rows: int, cols: int
) -> Float[Tensor, "batch more_rows more_cols width"]:
    if maps.shape[1:3] == (rows, cols):
        return maps
    found = F.interpolate(maps.movedim(-1, 1), (rows, cols), mode="bilinear", antialias=True)
    return found.movedim(1, -1)
