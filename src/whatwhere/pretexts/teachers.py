"""What pretexts with a teacher share: the teacher, its features' scale, its classes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.records import Sizes
from whatwhere.weights import read, tensor_of

SEEN = 64  # batches by which a teacher's features are standardised


def teacher_of(settings: Any, pretext: str) -> Any:
    """The teacher of these settings; ValueError where there is none or it would learn."""
    if settings.teacher is None:
        raise ValueError(
            f"{pretext} needs a teacher: an image encoder with weights, such as "
            f"{pretext}.teacher=whatwhere.encoders.mobilenet_v2:MobileNetV2"
        )
    teacher = settings.teacher.build(Sizes())
    if not teacher.frozen:
        raise ValueError(f"a teacher does not learn; set {pretext}.teacher.frozen=True")
    return teacher


def classifier(settings: Any, pretext: str) -> tuple[Tensor, Tensor] | None:
    """Kernel and bias of the file that `settings.classifier` names, if classes count."""
    if (settings.classes > 0) != (settings.classifier is not None):
        raise ValueError(
            f"{pretext}.classes and {pretext}.classifier go together; give a weight above 0 and a "
            "file with the teacher's classifier, or neither"
        )
    if settings.classifier is None:
        return None
    state = read(settings.classifier)
    return tensor_of(state, "classifier.1.weight"), tensor_of(state, "classifier.1.bias")


def divergence(
    own: Float[Tensor, "batch looks channels"],
    teachers: Float[Tensor, "batch looks channels"],
    *,
    kernel: Float[Tensor, "classes channels"],
    bias: Float[Tensor, " classes"],
) -> Float[Tensor, "batch looks"]:
    """How far a classifier's shares are from those it gives the teacher's features, in nats."""
    found, wanted = (F.linear(x, kernel, bias).log_softmax(dim=-1) for x in (own, teachers))
    return F.kl_div(found, wanted, log_target=True, reduction="none").sum(dim=-1)


class Standard(nn.Module):
    """Channels with mean 0 and variance 1 over the first batches; as fixed afterwards."""

    seen: Float[Tensor, ""]
    mean: Float[Tensor, " channels"]
    square: Float[Tensor, " channels"]

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("square", torch.zeros(channels))

    def forward(
        self, maps: Float[Tensor, "batch channels rows cols"]
    ) -> Float[Tensor, "batch channels rows cols"]:
        if self.training and self.seen < SEEN:
            self.seen += 1
            self.mean.lerp_(maps.mean(dim=(0, 2, 3)), 1 / self.seen.item())
            self.square.lerp_(maps.square().mean(dim=(0, 2, 3)), 1 / self.seen.item())
        return self.scaled(maps)

    def scaled(
        self, maps: Float[Tensor, "batch channels rows cols"]
    ) -> Float[Tensor, "batch channels rows cols"]:
        """Brought to the scale of what was seen, and not itself counted in."""
        return (maps - self.mean[:, None, None]) / self.spread()[:, None, None]

    def spread(self) -> Float[Tensor, " channels"]:
        """At least a tenth of the usual one: some channels of trained networks never change."""
        spread = (self.square - self.mean.square()).clamp(min=0).sqrt()
        return spread.clamp(min=spread.median().item() / 10) + 1e-3
