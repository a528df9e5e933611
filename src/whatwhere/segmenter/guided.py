"""Scores that follow the edges of the picture: the guided filter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

COARSE = 4  # pixels a side for which one function is found
FINE = 2  # pixels a side that get one score: a third of the time of one for each
LEAST = 1e-3  # variance of a colour, in [0, 1]: below it a square is flat and only averaged


def guided(
    scores: Float[Tensor, "scores height width"],
    picture: Float[Tensor, "3 height width"],
    *,
    radius: int,
) -> Float[Tensor, "scores half_height half_width"]:
    """Each score map as a linear function of the colours in every square of 2 `radius` + 1 pixels.

    Where colours do not change, scores are averaged; where they do, scores change with them (He,
    Sun and Tang, TPAMI 2013, section 3.4). The functions are found on a grid of every fourth pixel
    and applied on one of every other (Fast Guided Filter, arXiv 1505.00996), so `radius` hardly
    costs time. Linear in the scores: names do not influence one another. `picture` is in [0, 1].
    """
    colours, coarse = (_shrunk(maps, COARSE) for maps in (picture, scores))
    slope, level = fitted(coarse, colours, reach=max(round(radius / COARSE), 1))
    fine = _shrunk(picture, FINE)
    found = _upsampled(level, fine.shape[1:])
    for colour, values in enumerate(fine):
        found.addcmul_(_upsampled(slope[:, colour], fine.shape[1:]), values)
    return found


def _shrunk(maps: Float[Tensor, "maps height width"], by: int) -> Float[Tensor, "maps rows cols"]:
    size = [max(n // by, 1) for n in maps.shape[1:]]
    return F.interpolate(maps[None], size, mode="area")[0]


def _upsampled(
    maps: Float[Tensor, "scores rows cols"], size: Sequence[int]
) -> Float[Tensor, "scores height width"]:
    return F.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]


def fitted(
    scores: Float[Tensor, "scores rows cols"],
    colours: Float[Tensor, "3 rows cols"],
    *,
    reach: int,
) -> tuple[Float[Tensor, "scores 3 rows cols"], Float[Tensor, "scores rows cols"]]:
    """Slopes and levels by least squares in every square, averaged over the squares of a pixel."""
    mean, level = _box(colours, reach), _box(scores, reach)
    spread = _box((colours[:, None] * colours[None]).flatten(0, 1), reach).unflatten(0, (3, 3))
    spread = spread - mean[:, None] * mean[None]
    spread = spread + LEAST * torch.eye(3).to(spread)[:, :, None, None]
    shared = _box((scores[:, None] * colours).flatten(0, 1), reach).unflatten(0, (-1, 3))
    shared = shared - level[:, None] * mean
    inverse = torch.linalg.inv(spread.permute(2, 3, 0, 1))
    slope = torch.einsum("hwcd,sdhw->schw", inverse, shared)
    level = level - torch.einsum("schw,chw->shw", slope, mean)
    return _box(slope.flatten(0, 1), reach).unflatten(0, (-1, 3)), _box(level, reach)


def _box(maps: Float[Tensor, "maps rows cols"], reach: int) -> Float[Tensor, "maps rows cols"]:
    """Means over squares of 2 `reach` + 1 a side, of what lies inside the picture."""
    down, along = (_means(n, reach).to(maps) for n in maps.shape[1:])
    return down @ maps @ along.mT  # a third of the time of average pooling


def _means(length: int, reach: int) -> Float[Tensor, "length length"]:
    place = torch.arange(length)
    near = ((place[:, None] - place).abs() <= reach).double()
    return near / near.sum(dim=1, keepdim=True)
