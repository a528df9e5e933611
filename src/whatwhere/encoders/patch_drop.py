"""Training on some of a picture's patches: cheaper, and no patch may be relied upon."""

import torch
from jaxtyping import Float
from torch import Tensor


def check_drop(drop: float, *, frozen: bool) -> None:
    """ValueError for a share of dropped patches that cannot be."""
    if not 0 <= drop < 1:
        raise ValueError(f"image.patch_drop={drop:g}; take a share from 0 up to, not with, 1")
    if drop and frozen:
        raise ValueError(
            f"image.patch_drop={drop:g} does nothing to a frozen encoder; set image.frozen=False"
        )


def kept(
    patches: Float[Tensor, "batch patches width"],
    *,
    drop: float,
    draw: Float[Tensor, "batch patches"] | None = None,
) -> Float[Tensor, "batch _ width"]:
    """The patches that drew the largest numbers, max(1, int(n (1 - drop))) of each picture.

    CLIPpy's visual token sub-sampling (arXiv 2210.09996), which drops 80 % at up to twice the side;
    PatchDropout (arXiv 2208.07220). To be done after positions are added. `draw` is uniform noise
    if not given, from torch's own generator, which training seeds anew for every step.
    """
    count = max(1, int(patches.shape[1] * (1 - drop)))
    if draw is None:
        draw = torch.rand(patches.shape[:2], device=patches.device)
    return patches.gather(1, draw.topk(count).indices[..., None].expand(-1, -1, patches.shape[2]))
