"""Two views of a photo agree, as wholes and where they show the same place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from whatwhere.pretexts import refuse_sampled
from whatwhere.records import Look, Losses, Sizes, Views


@dataclass(frozen=True)
class DenseContrast:
    """Contrast of pictures (SimCLR, arXiv 2002.05709) and of places (VADeR, arXiv 2011.05499).

    A place of the first view and the patch of the second that shows it are a pair; all other
    drawn places of the batch are told apart from it, those of its own photo too unless they
    are neighbours. So vectors differ within a picture as well as between pictures.

    Unlike SimCLR, a view is compared with the other views of the batch only, not with the first
    views among each other, and every process contrasts its own pictures.

    weight, whole   of the loss over places, and of the loss over pictures (means of patches)
    places          pairs of places drawn from a photo in each step
    temperature     of both
    dim             of the vectors compared, behind two layers that are dropped afterwards
    """

    weight: float = 1.0
    whole: float = 1.0
    places: int = 16
    temperature: float = 0.1
    dim: int = 128

    def build(self, sizes: Sizes) -> DenseContrastPretext:
        if self.places < 1 or self.temperature <= 0:
            raise ValueError(
                f"dense_contrast.places={self.places}, temperature={self.temperature:g}; take 1 "
                "place or more and a temperature above 0"
            )
        return DenseContrastPretext(self, sizes.width)


class DenseContrastPretext(nn.Module):
    def __init__(self, settings: DenseContrast, width: int):
        super().__init__()
        self.settings = settings
        self.place_head, self.whole_head = (
            nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, settings.dim))
            for _ in range(2)
        )

    def forward(self, views: Views, look: Look) -> Losses:
        if views.pictures.shape[1] != 2:
            raise ValueError(
                f"dense_contrast compares 2 views and got {views.pictures.shape[1]}; set "
                "viewing.views=2"
            )
        features = look.features
        refuse_sampled(features)
        first, second = rearrange(
            features.patches,
            "(batch views) rows cols width -> views batch rows cols width",
            views=2,
        )
        wholes = [
            F.normalize(self.whole_head(view.mean(dim=(1, 2))).float(), dim=-1)
            for view in (first, second)
        ]
        everyone = torch.arange(len(first), device=first.device)
        whole, _ = self._contrast(*wholes, other=everyone[:, None] != everyone)
        photo, here, there = self._draw(views, rows=first.shape[1], cols=first.shape[2])
        places = [
            F.normalize(self.place_head(view.flatten(1, 2)[photo, place]).float(), dim=-1)
            for view, place in ((first, here), (second, there))
        ]
        rows, cols = there // first.shape[2], there % first.shape[2]
        near = (rows[:, None] - rows).abs().maximum((cols[:, None] - cols).abs()) <= 1
        dense, hits = self._contrast(*places, other=~(near & (photo[:, None] == photo)))
        return Losses(
            {"places": self.settings.weight * dense, "wholes": self.settings.whole * whole},
            {"place_accuracy": hits},
        )

    def _draw(
        self, views: Views, *, rows: int, cols: int
    ) -> tuple[Int[Tensor, " places"], Int[Tensor, " places"], Int[Tensor, " places"]]:
        """Photo, patch of the first view and patch of the second that shows its centre."""
        there, shown = same_place(views, rows=rows, cols=cols)
        draw = torch.rand(shown.shape, device=shown.device).masked_fill(~shown, -1.0)
        value, here = draw.topk(min(self.settings.places, rows * cols), dim=1)
        photo = torch.arange(len(here), device=here.device)[:, None].expand_as(here)
        kept = value >= 0
        return photo[kept], here[kept], there.gather(1, here)[kept]

    def _contrast(
        self,
        first: Float[Tensor, "pairs dim"],
        second: Float[Tensor, "pairs dim"],
        *,
        other: Bool[Tensor, "pairs pairs"],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Loss of both directions, and the share that finds its partner; zero without pairs."""
        if len(first) == 0:  # no photo's views overlap, and every weight still gets a gradient
            return (first.sum() + second.sum()) * 0, first.new_zeros(())
        own = torch.eye(len(first), dtype=torch.bool, device=first.device)
        with torch.autocast(first.device.type, enabled=False):
            logits = first @ second.mT / self.settings.temperature
        logits = logits.masked_fill(~(other | own), -torch.inf)
        target = torch.arange(len(first), device=first.device)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.mT, target)) / 2
        return loss, (logits.detach().argmax(dim=1) == target).float().mean()


def same_place(
    views: Views, *, rows: int, cols: int
) -> tuple[Int[Tensor, "batch patches"], Bool[Tensor, "batch patches"]]:
    """The patch of the second view in which the centre of each patch of the first lies.

    Also whether it lies in the second view at all; where it does not, the patch means nothing.
    """
    top, left, height, width = views.boxes.unbind(dim=-1)  # each batch x views
    device = views.boxes.device
    row, col = torch.meshgrid(
        (torch.arange(rows, device=device) + 0.5) / rows,
        (torch.arange(cols, device=device) + 0.5) / cols,
        indexing="ij",
    )
    across = torch.where(views.mirrored[:, :1], 1 - col.flatten(), col.flatten())
    down = row.flatten()[None]
    y = top[:, :1] + down * height[:, :1]
    x = left[:, :1] + across * width[:, :1]
    down = (y - top[:, 1:]) / height[:, 1:]
    across = (x - left[:, 1:]) / width[:, 1:]
    across = torch.where(views.mirrored[:, 1:], 1 - across, across)
    inside = (down >= 0) & (down < 1) & (across >= 0) & (across < 1)
    there = (down * rows).long().clamp(0, rows - 1) * cols
    return there + (across * cols).long().clamp(0, cols - 1), inside
