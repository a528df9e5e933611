"""What encoders of token sequences share: where to inject, how far to compute, averaging words."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def check_layers(inject: dict[int, Tensor], *, count: int) -> None:
    """ValueError for a layer that no block would ever read."""
    wrong = [i for i in inject if not 0 <= i < count]
    if wrong:
        raise ValueError(f"no layers {wrong} to inject at; there are 0 to {count - 1}")


def longest(mask: Bool[Tensor, "batch words"]) -> int:
    """Words of the longest text; what comes after it need not be computed.

    In a graph that is being exported no size may depend on values, so there it is all of them.
    """
    return mask.shape[1] if torch.compiler.is_exporting() else int(mask.sum(dim=1).max())


def masked_mean(
    words: Float[Tensor, "batch words dim"], *, mask: Bool[Tensor, "batch words"]
) -> Float[Tensor, "batch dim"]:
    """The average of the real tokens; zero where there is none."""
    real = mask.unsqueeze(-1).to(words.dtype)
    return (words * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)
