"""An image encoder and what it learns from photos without captions, and their views by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torchvision.transforms.v2.functional as colours
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from whatwhere.captions.batches import Pairs, in_order
from whatwhere.captions.samples import BrokenImage
from whatwhere.records import Look, Losses, Views
from whatwhere.transforms import View, random_crop, to_tensor


@dataclass(frozen=True)
class Viewing:
    """How photos become views.

    batch    photos in a step, counting all processes
    views    of each photo: 2 for contrast, 1 is enough for distillation
    crop     share of the photo's area that a view shows
    colour   largest change of brightness, contrast and saturation, as a share; hue by a quarter
             of it. 0 leaves colours alone
    """

    batch: int = 64
    views: int = 2
    size: tuple[int, int] = (224, 224)  # height, width in pixels
    crop: tuple[float, float] = (0.2, 1.0)
    mirror: bool = True
    colour: float = 0.4
    workers: int = 0  # processes that prepare views beside the training

    def __post_init__(self) -> None:
        if self.batch < 1 or self.views < 1 or min(self.size) < 1 or self.workers < 0:
            raise ValueError(
                f"viewing.batch={self.batch}, views={self.views}, size={self.size}, "
                f"workers={self.workers}; take workers of 0 or more and all else of 1 or more"
            )
        if not 0 < self.crop[0] <= self.crop[1] <= 1 or not 0 <= self.colour < 1:
            raise ValueError(
                f"viewing.crop={self.crop}, colour={self.colour:g}; take two shares, as in "
                "(0.2,1.0), and a colour of 0 or more and below 1"
            )


class Learner(nn.Module):
    """An image encoder and what it must lose, as the one module that is trained and saved."""

    def __init__(self, image_encoder: Any, pretexts: nn.Module):
        super().__init__()
        self.image_encoder = image_encoder
        self.pretexts = pretexts

    def forward(self, views: Views) -> Losses:
        return self.pretexts(views, Look(self.image_encoder, views))


class Prepared(NamedTuple):
    """A batch, and what had to be left out of it: (key, reason)."""

    views: Views
    broken: tuple[tuple[str, str], ...]


class ViewBatches(Dataset):
    """Item k is what this process sees in step k; it follows from (seed, step, process) alone."""

    def __init__(
        self,
        photos: Pairs,
        settings: Viewing,
        *,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ):
        if settings.batch % world or len(photos) < settings.batch:
            raise ValueError(
                f"a batch of {settings.batch} does not divide {len(photos)} photos among {world} "
                f"processes; use viewing.batch={min(settings.batch, len(photos)) // world * world}"
            )
        self.photos, self.settings, self.seed = photos, settings, seed
        self.rank, self.world = rank, world
        self._order: tuple[int, np.ndarray] | None = None  # of the epoch asked for last

    def from_step(self, first: int, *, last: int) -> Iterator[Prepared]:
        """Steps first, ..., last - 1."""
        return in_order(self, range(first, last), workers=self.settings.workers)

    def __getitem__(self, index: int) -> Prepared:
        share = self.settings.batch // self.world
        epoch, place = divmod(index, len(self.photos) // self.settings.batch)
        start = place * self.settings.batch + self.rank * share
        pictures, boxes, mirrored, broken = [], [], [], []
        for row in self._epoch(epoch)[start : start + share]:
            photo, faults = self._open(int(row))
            broken += faults
            draw = np.random.default_rng((self.seed, epoch, int(row)))
            for _ in range(self.settings.views):
                view, picture = _look(photo, self.settings, draw)
                pictures.append(picture)
                boxes.append(view.box)
                mirrored.append(view.mirrored)
        by_photo = (share, self.settings.views)
        views = Views(
            pictures=torch.stack(pictures).unflatten(0, by_photo),
            boxes=torch.tensor(boxes).unflatten(0, by_photo),
            mirrored=torch.tensor(mirrored).unflatten(0, by_photo),
        )
        return Prepared(views, tuple(broken))

    def _epoch(self, epoch: int) -> np.ndarray:
        if self._order is None or self._order[0] != epoch:
            draw = np.random.default_rng((self.seed, epoch))
            self._order = epoch, draw.permutation(len(self.photos))
        return self._order[1]

    def _open(self, row: int) -> tuple[Image.Image, list[tuple[str, str]]]:
        """The photo of `row`, or of the next row whose photo is not broken."""
        faults: list[tuple[str, str]] = []
        for step in range(len(self.photos)):
            photo = self.photos[(row + step) % len(self.photos)]
            try:
                return photo.open(), faults
            except BrokenImage as error:
                faults.append((photo.key, error.reason))
        raise ValueError(f"none of the {len(self.photos)} photos can be opened: {faults[0][1]}")


def _look(
    photo: Image.Image, settings: Viewing, draw: np.random.Generator
) -> tuple[View, Float[Tensor, "3 height width"]]:
    view = random_crop(
        photo.height,
        photo.width,
        size=settings.size,
        scale=settings.crop,
        mirror=settings.mirror,
        draw=draw,
    )
    picture: Any = to_tensor(view.picture(photo))
    if settings.colour:
        light, contrast, saturation = draw.uniform(1 - settings.colour, 1 + settings.colour, size=3)
        picture = colours.adjust_brightness(picture, light)
        picture = colours.adjust_contrast(picture, contrast)
        picture = colours.adjust_saturation(picture, saturation)
        picture = colours.adjust_hue(picture, draw.uniform(-1, 1) * settings.colour / 4)
    return view, picture
