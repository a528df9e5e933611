"""Places of a picture tell what a larger network would make of that part alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.pretexts import refuse_sampled
from whatwhere.pretexts.teachers import Standard, classifier, divergence, teacher_of
from whatwhere.records import Look, Losses, Sizes, Views


@dataclass(frozen=True)
class Tiles:
    """A classifier's last features say what is in the picture, hardly where.

    Each of its places sees most of the picture, so a dog colours the grass around it. Shown a part
    alone the teacher cannot know what is beside it: the student, who sees the whole, must give each
    part the features that the teacher gives it alone (CLIPSelf, arXiv 2310.01403). All pictures of
    a step are cut into 1 to `most` rows of 1 to `most` tiles, drawn anew in each step; a
    tile's features are the mean over its places, for student and teacher. They are standardised
    channel by channel, so the mean square is about 1 before anything is learned (the paper takes
    the cosine of CLIP's vectors).

    teacher   settings of a frozen image encoder as wide as the student
    side      pixels a side at which it is shown a tile
    classes   weight of the teacher's classes: its `classifier`, a file with the tensors
              classifier.1.weight and classifier.1.bias, must give the student's features of a tile
              the shares that it gives the teacher's
    """

    teacher: Any = None
    most: int = 3
    side: int = 128
    classes: float = 0.0
    classifier: str | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.most < 1 or self.side < 1:
            raise ValueError(
                f"tiles.most={self.most}, side={self.side}; take whole numbers from 1 on"
            )

    def build(self, sizes: Sizes) -> TilesPretext:
        teacher = teacher_of(self, "tiles")
        if teacher.width != sizes.width:
            raise ValueError(
                f"the teacher's features are {teacher.width} numbers and the student's "
                f"{sizes.width}; tiles are for a student that has learned the teacher's features "
                "already"
            )
        return TilesPretext(self, teacher, classifier(self, "tiles"))


class TilesPretext(nn.Module):
    def __init__(self, settings: Tiles, teacher: Any, classifier: tuple[Tensor, Tensor] | None):
        super().__init__()
        self.settings = settings
        self.standard = Standard(teacher.width)
        # In tuples, so that no checkpoint holds the teacher's weights.
        self._teacher, self._classifier = (teacher,), classifier

    def forward(self, views: Views, look: Look) -> Losses:
        features = look.features
        refuse_sampled(features)
        maps = features.patches.float().movedim(-1, 1)
        grid = (maps.shape[2], maps.shape[3])
        drawn = torch.randint(1, self.settings.most + 1, (2,)).tolist()
        rows, cols = (min(n, places) for n, places in zip(drawn, grid, strict=True))
        own = F.adaptive_avg_pool2d(maps, (rows, cols)).flatten(2).mT
        target = self._alone(look.pictures, grid, rows=rows, cols=cols)
        wanted = self.standard(target.mT[..., None])
        found = self.standard.scaled(own.mT[..., None])
        loss = F.mse_loss(found, wanted)
        terms = {"tiles": self.settings.weight * loss}
        if self._classifier is not None:
            kernel, bias = (tensor.to(own.device) for tensor in self._classifier)
            apart = divergence(own, target, kernel=kernel, bias=bias)
            terms["classes"] = self.settings.classes * apart.mean()
        agree = F.cosine_similarity(found.detach(), wanted, dim=1).mean()
        return Losses(terms, {"tile_cosine": agree})

    @torch.no_grad()
    def _alone(
        self,
        pictures: Float[Tensor, "batch 3 height width"],
        grid: tuple[int, int],
        *,
        rows: int,
        cols: int,
    ) -> Float[Tensor, "batch tiles channels"]:
        """The teacher's features of each tile, seen without the others."""
        teacher: Any = self._teacher[0].to(pictures.device)
        side = (self.settings.side, self.settings.side)
        tiles = [
            F.interpolate(pictures[:, :, up, along], side, mode="bilinear", antialias=True)
            for up in _spans(rows, grid[0], pictures.shape[2])
            for along in _spans(cols, grid[1], pictures.shape[3])
        ]
        seen = teacher(torch.cat(tiles)).patches.float().mean(dim=(1, 2))
        return rearrange(seen, "(tiles batch) channels -> batch tiles channels", tiles=len(tiles))


def _spans(parts: int, places: int, pixels: int) -> Iterator[slice]:
    """The pixels under each part of so many places, cut as `adaptive_avg_pool2d` cuts.

    >>> list(_spans(3, 8, 256))
    [slice(0, 96, None), slice(64, 192, None), slice(160, 256, None)]
    """
    for part in range(parts):
        first, last = part * places // parts, -(-(part + 1) * places // parts)
        yield slice(first * pixels // places, last * pixels // places)
