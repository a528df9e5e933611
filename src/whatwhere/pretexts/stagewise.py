"""Each stage of an image encoder learns what the same stage of a larger network does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.pretexts.teachers import Standard, classifier, divergence, teacher_of
from whatwhere.records import Look, Losses, ShowsStages, Sizes, Views

PLACES = 3  # of each picture that are classified


@dataclass(frozen=True)
class Stagewise:
    """Every stage is shallow, so it learns within minutes what the whole would take days for.

    Fed by the "teacher", each stage gets the teacher's features of the stage before, however badly
    its own predecessor does, and is asked for the teacher's next (learned intermediate
    representations, LIT, arXiv 1810.01937). That teaches every stage at once, but nothing about the
    errors that will come in later; fed its "own" features, the whole is trained from end to end
    with the teacher's features as hints on the way (FitNets, arXiv 1412.6550). First the one, then
    the other.

    A student learns the teacher's features as they are, so that what the teacher adds to its input
    the student can add too. Each stage's loss is the mean square of what is missing, channel by
    channel against the spread over the first batches: 1 for who knows only the channels' means.

    teacher   settings of a frozen image encoder with stages of the student's widths and grids
    hints     weight of every stage but the last, which alone is read in the end
    classes   weight of the teacher's classes: its classifier must give the student's features the
              shares that it gives its own, for the whole picture and for a few of its places
              (knowledge distillation, arXiv 1503.02531). That tells which differences between
              features matter. `classifier` is a file with the tensors classifier.1.weight and
              classifier.1.bias
    """

    teacher: Any = None
    feed: Literal["teacher", "own"] = "teacher"
    hints: float = 1.0
    classes: float = 0.0
    classifier: str | None = None
    weight: float = 1.0

    def build(self, sizes: Sizes) -> StagewisePretext:
        teacher = teacher_of(self, "stagewise")
        if not isinstance(getattr(teacher, "network", None), ShowsStages):
            raise ValueError(
                f"{type(self.teacher).__name__} does not show its stages; stagewise.teacher takes "
                "whatwhere.encoders.mobilenet_v2:MobileNetV2"
            )
        return StagewisePretext(self, teacher, classifier(self, "stagewise"))


class StagewisePretext(nn.Module):
    def __init__(self, settings: Stagewise, teacher: Any, classifier: tuple[Tensor, Tensor] | None):
        super().__init__()
        self.settings = settings
        with torch.no_grad():
            maps = teacher.network.stage_maps(torch.zeros(1, 3, teacher.size, teacher.size))
        self.widths = [some.shape[1] for some in maps]
        self.standards = nn.ModuleList(Standard(width) for width in self.widths)
        # In tuples, so that no checkpoint holds the teacher's weights.
        self._teacher, self._classifier = (teacher,), classifier

    def forward(self, views: Views, look: Look) -> Losses:
        encoder: Any = look.encoder
        stages = self._stages(encoder)
        targets = self._targets(look.pictures)
        fed = encoder.normalized(look.pictures)
        losses = []
        standards: Any = self.standards
        for stage, target, standard in zip(stages, targets, standards, strict=True):
            found = stage(fed)
            if found.shape != target.shape:
                raise ValueError(
                    f"a stage gives {tuple(found.shape[1:])} (channels, rows, columns) and the "
                    f"teacher's {tuple(target.shape[1:])}; set the same stride for both"
                )
            wanted = standard(target)
            losses.append(F.mse_loss(standard.scaled(found.float()), wanted))
            fed = target if self.settings.feed == "teacher" else found
        report = {f"stage_{i}": loss.detach() for i, loss in enumerate(losses)}
        loss = losses[-1] + self.settings.hints * torch.stack(losses[:-1]).sum()
        terms = {"stagewise": self.settings.weight * loss}
        if self._classifier is not None:
            kernel, bias = (tensor.to(found.device) for tensor in self._classifier)
            apart = class_divergence(found.float(), targets[-1], kernel=kernel, bias=bias)
            terms["classes"] = self.settings.classes * apart
        return Losses(terms, report)

    def _stages(self, encoder: Any) -> nn.ModuleList:
        stages = getattr(getattr(encoder, "network", None), "stages", None)
        if not isinstance(stages, nn.ModuleList) or len(stages) != len(self.widths):
            count = len(stages) if isinstance(stages, nn.ModuleList) else "no"
            raise ValueError(
                f"the image encoder has {count} stages to teach and the teacher "
                f"{len(self.widths)}; set image=whatwhere.encoders.mobilenet_v2:MobileNetV2 with "
                "image.expand=(2,8), whose stages are as wide as the teacher's"
            )
        return stages

    @torch.no_grad()
    def _targets(
        self, pictures: Float[Tensor, "batch_views 3 height width"]
    ) -> list[Float[Tensor, "batch_views channels rows cols"]]:
        teacher: Any = self._teacher[0].to(pictures.device)
        maps = teacher.network.stage_maps(teacher.normalized(pictures))
        return [some.float() for some in maps]


def class_divergence(
    own: Float[Tensor, "batch channels rows cols"],
    teachers: Float[Tensor, "batch channels rows cols"],
    *,
    kernel: Float[Tensor, "classes channels"],
    bias: Float[Tensor, " classes"],
) -> Float[Tensor, ""]:
    """Divergence of a classifier's shares, in nats: of the whole picture and of a few places."""
    places = torch.randperm(own.shape[2] * own.shape[3], device=own.device)[:PLACES]

    def looked(maps: Tensor) -> Tensor:
        flat = maps.flatten(2)
        return torch.cat([flat.mean(dim=2, keepdim=True), flat[..., places]], dim=2).mT

    apart = divergence(looked(own), looked(teachers), kernel=kernel, bias=bias)
    return apart[:, 0].mean() + apart[:, 1:].mean()
