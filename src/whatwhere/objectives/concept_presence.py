"""What a caption mentions is somewhere in its picture, and most of what is there was mentioned.

Multiple-instance learning over regions (From image-level to pixel-level labeling, arXiv 1411.6228),
with the concepts that captions mention in place of labels. Every region shares itself out among the
concepts of the batch, as it will when a segmenter lets names compete; a caption tells nothing about
where, so its concept is held against the regions that fit it best. That a caption does not mention
something tells more of a dog than of a sky: people report selectively (Seeing through the human
reporting bias, arXiv 1512.06974). There a network learns how; here `unsaid` reads it off how often
the captions of one picture repeat what they mention.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from whatwhere.objectives.concept_consistency import mentioned, phrase_vectors, prototypes
from whatwhere.objectives.contrastive import clamped_exp
from whatwhere.parallel import total, world
from whatwhere.records import Batch, Encoded, Losses, Phrases, Sizes

SEVERAL = 1.5  # mean mentions of a concept, where mentioned, if pictures have several captions


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


def unsaid(
    mentions: Float[Tensor, " concepts"], pictures: Float[Tensor, " concepts"]
) -> Float[Tensor, " concepts"]:
    """The chance that no caption of a picture mentions a concept that the picture shows.

    Told by how many mentions there are of it, in how many pictures whose captions mention it. They
    are taken to come independently, so that their number in a picture follows a Poisson
    distribution of which the zeros are hidden: its mean is r / (1 - exp(-r)) for a rate of r, and
    exp(-r) of the pictures that show the concept have none. A concept that was hardly met is taken
    for one that captions repeat.
    """
    rate = repeated = (mentions + 1) / (pictures + 0.25)
    for _ in range(20):  # Newton's steps, from above
        none = (-rate).exp()
        rate = rate - (rate - repeated * (1 - none)) / (1 - repeated * none)
        rate = rate.clamp(min=1e-3)  # never quite certain, whatever rounding does
    return (-rate).exp()


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
                leave much out, so it is best kept below 1. A mean over all pictures with mentions,
                to which those that owe nothing add 0
    tells       mentions of concepts that a picture's captions must hold for its regions to owe
                anything and for its mentions to count for `unsaid`. "A photo of a cat" says what a
                photo is of; that all of it is cat, it does not say
    unsaid      a concept that goes without saying (a sky, a wall) counts the less against pictures
                whose captions do not mention it, the less the captions of a picture repeat it
                elsewhere. For pictures with several captions each (`batching.captions=joined`);
                where captions repeat nothing, it changes nothing
    balance     a concept counts by its frequency in the batch to the power of -balance: 0 lets
                people drown what is rare, 1 lets what is rare drown people
    """

    weight: float = 1.0
    best: int = 6
    account: float = 0.3
    tells: int = 1
    unsaid: bool = False
    balance: float = 0.5
    temperature: float = 0.05  # at the start; learned
    max_scale: float = 100.0  # 1 / temperature never exceeds it, nor falls below 1

    def __post_init__(self) -> None:
        least = min(self.best, self.tells, self.max_scale)
        if least < 1 or not 0 < self.temperature <= 1:
            raise ValueError(
                f"concept_presence.best={self.best}, tells={self.tells}, "
                f"temperature={self.temperature:g}, max_scale={self.max_scale:g}; take 1 region or "
                "more, 1 mention or more, a temperature above 0 and up to 1, and a scale of 1 or "
                "more"
            )

    def build(self, sizes: Sizes) -> "ConceptPresenceObjective":
        if sizes.concepts == 0:
            raise ValueError(
                "concept_presence needs a concept bank; mine one from the captions with "
                "concepts=whatwhere.concepts.bank:Concepts"
            )
        return ConceptPresenceObjective(self, sizes.concepts)


class ConceptPresenceObjective(nn.Module):
    mentions: Float[Tensor, " concepts"]  # by captions that tell enough, since the run began
    pictures: Float[Tensor, " concepts"]

    def __init__(self, settings: ConceptPresence, concepts: int):
        super().__init__()
        self.settings, self.num_concepts = settings, concepts
        self.logit_scale = nn.Parameter(torch.tensor([math.log(1 / settings.temperature)]))
        if settings.unsaid:
            self.register_buffer("mentions", torch.zeros(concepts))
            self.register_buffer("pictures", torch.zeros(concepts))

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
        said = torch.bincount(phrases.caption, minlength=len(regions))
        telling = said >= self.settings.tells
        logits = scale * regions @ vectors.mT
        if self.settings.unsaid:
            if self.training:
                self._watch(phrases, classes, present, telling)
            logits = logits + torch.where(present, 0.0, self._heard()[classes])[:, None]
        shares = logits.log_softmax(dim=-1)
        weight, every = self._weights(present)
        somewhere = found_somewhere(shares, present, best=self.settings.best)
        account = accounted_for(shares[telling], present[telling])
        pictures = total((said > 0).sum().float()).clamp(min=1)
        most = shares.amax(dim=1)[present] == shares.amax(dim=(1, 2))[present.nonzero()[:, 0]]
        return self._losses(
            -(weight * somewhere).sum() / every * world(),
            -account.sum() / pictures * world(),
            most.float().mean() if len(most) else shares.new_zeros(()),
            scale,
        )

    @torch.no_grad()
    def _watch(
        self,
        phrases: Phrases,
        classes: Int[Tensor, " classes"],
        present: Bool[Tensor, "batch classes"],
        telling: Bool[Tensor, " batch"],
    ) -> None:
        """Count each concept's mentions and the pictures that they are of."""
        said = phrases.concept[telling[phrases.caption]]
        self.mentions += total(torch.bincount(said, minlength=self.num_concepts).float())
        self.pictures[classes] += total(present[telling].sum(dim=0).float())

    def _heard(self) -> Float[Tensor, " concepts"]:
        """Log of the chance that a concept would have been mentioned if it were there.

        Where captions repeat nothing, for there is one a picture, that cannot be told: it is 1.
        """
        if self.mentions.sum() <= SEVERAL * self.pictures.sum():
            return torch.zeros_like(self.mentions)
        return torch.log1p(-unsaid(self.mentions, self.pictures))

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
