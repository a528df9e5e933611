"""What a caption mentions is somewhere in its picture, and all that is there was mentioned.

Multiple-instance learning over regions (From image-level to pixel-level labeling, arXiv 1411.6228),
with the concepts that captions mention in place of labels. Every region shares itself out among the
concepts of the batch, as it will when a segmenter lets names compete; a caption tells nothing about
where, so its concept is held against the regions that fit it best.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from whatwhere.objectives.concept_consistency import mentioned, phrase_vectors, prototypes
from whatwhere.objectives.contrastive import clamped_exp
from whatwhere.parallel import total, world
from whatwhere.records import Batch, Encoded, Losses, Phrases, Sizes


def found_somewhere(
    shares: Float[Tensor, "batch regions classes"],
    present: Bool[Tensor, "batch classes"],
    *,
    best: int,
) -> Float[Tensor, " pairs"]:
    """Log of the mean share that a present class has of the `best` regions it fits best.

    `shares` are logs; pairs of picture and class are in the order of `present.nonzero()`.
    """
    picture, column = present.nonzero(as_tuple=True)
    own = shares[picture, :, column]
    best = min(best, own.shape[1])
    return own.topk(best, dim=1).values.logsumexp(dim=1) - math.log(best)


def accounted_for(
    shares: Float[Tensor, "batch regions classes"], present: Bool[Tensor, "batch classes"]
) -> Float[Tensor, " batch"]:
    """Mean log of a region's share that goes to any of its picture's classes."""
    hidden = shares.masked_fill(~present[:, None], -torch.inf)
    return hidden.logsumexp(dim=-1).mean(dim=-1)


@dataclass(frozen=True)
class ConceptPresence:
    """
    best        regions a mentioned concept is held against; captions name small things too
    account     weight of what regions owe: to be something that their caption mentions. Captions
                leave much out, so it is best kept below 1
    balance     a concept counts by its frequency in the batch to the power of -balance: 0 lets
                people drown what is rare, 1 lets what is rare drown people
    """

    weight: float = 1.0
    best: int = 6
    account: float = 0.3
    balance: float = 0.5
    temperature: float = 0.05  # at the start; learned
    max_scale: float = 100.0  # 1 / temperature never exceeds it, nor falls below 1

    def __post_init__(self) -> None:
        if self.best < 1 or not 0 < self.temperature <= 1 or self.max_scale < 1:
            raise ValueError(
                f"concept_presence.best={self.best}, temperature={self.temperature:g}, "
                f"max_scale={self.max_scale:g}; take 1 region or more, a temperature above 0 and "
                "up to 1, and a scale of 1 or more"
            )

    def build(self, sizes: Sizes) -> "ConceptPresenceObjective":
        if sizes.concepts == 0:
            raise ValueError(
                "concept_presence needs a concept bank; mine one from the captions with "
                "concepts=whatwhere.concepts.bank:Concepts"
            )
        return ConceptPresenceObjective(self, sizes.concepts)


class ConceptPresenceObjective(nn.Module):
    def __init__(self, settings: ConceptPresence, concepts: int):
        super().__init__()
        self.settings, self.num_concepts = settings, concepts
        self.logit_scale = nn.Parameter(torch.tensor([math.log(1 / settings.temperature)]))

    def forward(self, batch: Batch, encoded: Encoded) -> Losses:
        phrases = batch.phrases
        if phrases is None:
            raise ValueError("concept_presence needs phrases; give the recipe a concept bank")
        if encoded.texts.words.shape[1] == 0:
            raise ValueError("concept_presence looks at words; set text.projects=words")
        words, regions = encoded.texts.words.float(), encoded.images.regions.float()
        scale = clamped_exp(self.logit_scale, most=self.settings.max_scale)
        classes = mentioned(phrases.concept, count=self.num_concepts)
        if len(classes) == 0:
            nothing = (words.sum() + regions.sum() + scale) * 0  # every weight gets a gradient
            return self._losses(nothing, nothing, nothing.detach(), scale)
        vectors = prototypes(phrase_vectors(words, phrases), phrases.concept, classes, shared=True)
        present = _present(phrases, classes, pictures=len(regions))
        shares = (scale * regions @ vectors.mT).log_softmax(dim=-1)
        weight, every = self._weights(present)
        somewhere = found_somewhere(shares, present, best=self.settings.best)
        told = present.any(dim=1)
        account = accounted_for(shares[told], present[told])
        pictures = total(told.sum().float()).clamp(min=1)
        most = shares.amax(dim=1)[present] == shares.amax(dim=(1, 2))[present.nonzero()[:, 0]]
        return self._losses(
            -(weight * somewhere).sum() / every * world(),
            -account.sum() / pictures * world(),
            most.float().mean() if len(most) else shares.new_zeros(()),
            scale,
        )

    def _weights(
        self, present: Bool[Tensor, "batch classes"]
    ) -> tuple[Float[Tensor, " pairs"], Float[Tensor, ""]]:
        """Of each pair of picture and class, and their sum over all processes."""
        counts = total(present.sum(dim=0).float()).clamp(min=1)
        weight = (counts**-self.settings.balance)[present.nonzero()[:, 1]]
        return weight, total(weight.sum()).clamp(min=1e-6)

    def _losses(
        self,
        somewhere: Float[Tensor, ""],
        account: Float[Tensor, ""],
        first: Float[Tensor, ""],
        scale: Float[Tensor, ""],
    ) -> Losses:
        weight = self.settings.weight
        return Losses(
            {
                "presence": weight * somewhere,
                "account": weight * self.settings.account * account,
            },
            {"presence_first": first, "presence_scale": scale.detach()},
        )


def _present(phrases: Phrases, classes: Tensor, *, pictures: int) -> Bool[Tensor, "batch classes"]:
    """Which of the classes each picture's caption mentions."""
    found = torch.zeros(pictures, len(classes), dtype=torch.bool, device=classes.device)
    found[phrases.caption, torch.searchsorted(classes, phrases.concept)] = True
    return found
