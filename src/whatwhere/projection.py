"""The head with which both towers of GroupViT enter the joint space: its batch norm sees all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.parallel import total, world


@dataclass(frozen=True)
class Projected:
    whole: Float[Tensor, "batch dim"]
    parts: Float[Tensor, "batch parts dim"]


class Projection(nn.Module):
    """Linear, batch norm, ReLU, linear, of whole vectors and of the parts they stand for.

    Statistics are those of the whole vectors of all processes (of a picture, not of its regions;
    of a caption, not of its words). The released GroupViT applies the head to parts only when
    reading, by the running statistics; ours goes through the same function as the whole in
    training too, so that objectives may use the parts. Written out because torch synchronises
    batch norms on GPUs only.
    """

    def __init__(self, width: int, hidden: int, dim: int):
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.norm = nn.BatchNorm1d(hidden)  # holds weights and statistics; is not called
        self.out = nn.Linear(hidden, dim)

    def forward(
        self, whole: Float[Tensor, "batch width"], parts: Float[Tensor, "batch parts width"]
    ) -> Projected:
        hidden = self.hidden(whole).float()
        scale, shift = self._normalisation(hidden)
        return Projected(
            self.out(F.relu(torch.addcmul(shift, hidden, scale))),
            self.out(F.relu(torch.addcmul(shift, self.hidden(parts), scale))),
        )

    def _normalisation(
        self, hidden: Float[Tensor, "batch hidden"]
    ) -> tuple[Float[Tensor, " hidden"], Float[Tensor, " hidden"]]:
        """What to multiply by and what to add. In training the running statistics move on."""
        norm = self.norm
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None and norm.momentum is not None
        if self.training:
            count = len(hidden) * world()
            running = mean, variance
            mean = total(hidden.sum(dim=0)) / count
            variance = total((hidden - mean).square().sum(dim=0)) / count
            with torch.no_grad():
                unbiased = variance * (count / max(count - 1, 1))
                for old, new in zip(running, (mean, unbiased), strict=True):
                    old.lerp_(new.to(old.dtype), norm.momentum)
        scale = norm.weight * (variance + norm.eps).rsqrt()
        return scale, norm.bias - mean * scale
