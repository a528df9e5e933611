"""DINO's way of stretching a ViT's table of positions to another grid, for released weights."""

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

Positions = Literal["antialiased", "dino", "dino_transposed"]
OFFSET = 0.1  # patches; kept DINO's sizes from being rounded down


def dino_positions(
    table: Float[Tensor, "1 entries width"], *, grid: tuple[int, int], transposed: bool = False
) -> Float[Tensor, "1 tokens width"]:
    """The entry of the class token as it is, those of a square of patches stretched to `grid`.

    Bicubic, not antialiased, by the factors (rows + 0.1) / side and (cols + 0.1) / side, which also
    place the samples (arXiv 2104.14294). `transposed` is what the released CLIPpy reads pictures
    with: rows and columns swapped, so that the places of all but squares are wrong.
    """
    side = round((table.shape[1] - 1) ** 0.5)
    if grid == (side, side):
        return table
    rows, cols = reversed(grid) if transposed else grid
    maps = rearrange(table[:, 1:], "1 (rows cols) width -> 1 width rows cols", rows=side)
    factors = ((rows + OFFSET) / side, (cols + OFFSET) / side)
    maps = F.interpolate(maps, scale_factor=factors, mode="bicubic", align_corners=False)
    patches = rearrange(maps, "1 width rows cols -> 1 (rows cols) width")
    return torch.cat([table[:, :1], patches], dim=1)
