"""A phrase must recognise, among the concepts of the batch, the one that it sees in its picture.

The concept-level loss of SimZSS (arXiv 2406.16085). Words name concepts: the word vectors of all
phrases of a concept add up to its prototype. The prototype looks at each picture that mentions it
and gathers the patches it attends to; what was gathered must be closest to that same prototype.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from whatwhere.parallel import total, world
from whatwhere.records import Batch, Encoded, Losses, Phrases, Sizes

SLOTS = 32  # phrases that the released code makes room for in every picture


def phrase_vectors(
    words: Float[Tensor, "batch words dim"], phrases: Phrases
) -> Float[Tensor, "phrases dim"]:
    """Sums of the unit vectors of the tokens that each phrase covers; not normalised."""
    covered = words[phrases.caption[phrases.covered_phrase], phrases.covered_word]
    empty = words.new_zeros(len(phrases.caption), words.shape[-1])
    return empty.index_add(0, phrases.covered_phrase, covered)


def look(
    regions: Float[Tensor, "batch regions dim"],
    *,
    query: Float[Tensor, "phrases dim"],
    picture: Int[Tensor, " phrases"],
    temperature: float,
    over: Literal["regions", "phrases"] = "regions",
    slots: int = 0,
) -> Float[Tensor, "phrases dim"]:
    """Unit vectors of what each query attends to among its picture's regions.

    Queries are laid out in a table with as many columns as the busiest picture has phrases (or
    `slots`), so no picture's regions are copied; `picture` must be ascending. The shares of all
    regions sum to 1, or `over` the phrases: then those of one region do, empty columns included.
    """
    counts = torch.bincount(picture, minlength=len(regions))
    column = torch.arange(len(picture), device=picture.device)
    column = column - (counts.cumsum(0) - counts)[picture]
    width = max(slots, int(counts.max()) if len(picture) else 0)
    table = query.new_zeros(len(regions), width, query.shape[-1])
    table = table.index_put((picture, column), query)
    attention = torch.bmm(table, regions.mT).div(temperature)
    attention = attention.softmax(dim=-1 if over == "regions" else 1)
    return F.normalize(torch.bmm(attention, regions)[picture, column], dim=-1)


def mentioned(concept: Int[Tensor, " phrases"], *, count: int) -> Int[Tensor, " present"]:
    """Concepts, of so many, that any process mentions in this step; ascending."""
    if world() == 1:
        return concept.unique()
    found: Bool[Tensor, " concepts"] = torch.zeros(count, dtype=torch.uint8, device=concept.device)
    found[concept] = 1
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return found.nonzero()[:, 0]


def prototypes(
    vectors: Float[Tensor, "phrases dim"],
    concept: Int[Tensor, " phrases"],
    present: Int[Tensor, " present"],
    *,
    shared: bool,
) -> Float[Tensor, "present dim"]:
    """Unit sums of each present concept's phrase vectors, of all processes if they are shared."""
    rows = torch.searchsorted(present, concept)
    sums = vectors.new_zeros(len(present), vectors.shape[-1]).index_add(0, rows, vectors)
    return F.normalize(total(sums) if shared else sums, dim=-1)


@dataclass(frozen=True)
class ConceptConsistency:
    """Settings of SimZSS's local term.

    target      "concept": the phrase's own concept (the paper's wording). "argmax": the class that
                already scores best, a self-label, which is what the released code trains on.
    prototypes  "local": each process builds prototypes from its own captions, and concepts that
                only other processes mention enter as zero vectors (as released). "global":
                prototypes from the captions of all processes, so that two processes equal one
                big batch.
    attention   what the shares of a phrase's attention sum to 1 over: its picture's "regions", or
                the "phrases" that a region is shared among, with 32 places of which empty ones
                take part as zero vectors (an option of the released code, in no published setting).
    momentum    weight of a concept's prototype of earlier steps (0 in all published settings).
    """

    weight: float = 0.05
    temperature: float = 0.1  # of the attention over regions
    scale: float = 1 / 0.07  # of the classification; fixed, as published
    momentum: float = 0.0
    target: Literal["concept", "argmax"] = "concept"
    prototypes: Literal["local", "global"] = "global"
    attention: Literal["regions", "phrases"] = "regions"

    def build(self, sizes: Sizes) -> "ConceptConsistencyObjective":
        if sizes.concepts == 0:
            raise ValueError(
                "concept_consistency needs a concept bank; mine one from the captions with "
                "concepts=whatwhere.concepts.bank:Concepts, or add concepts.path=FILE after it"
            )
        return ConceptConsistencyObjective(self, sizes)


class ConceptConsistencyObjective(nn.Module):
    bank: Float[Tensor, "concepts dim"]  # zero rows: concepts not met yet

    def __init__(self, settings: ConceptConsistency, sizes: Sizes):
        super().__init__()
        self.settings = settings
        self.num_concepts = sizes.concepts
        rows = sizes.concepts if settings.momentum else 0
        self.register_buffer("bank", torch.zeros(rows, sizes.dim))

    def forward(self, batch: Batch, encoded: Encoded) -> Losses:
        phrases = batch.phrases
        if phrases is None:
            raise ValueError("concept_consistency needs phrases; give the recipe a concept bank")
        if encoded.texts.words.shape[1] == 0:
            raise ValueError("concept_consistency looks at words; set text.projects=words")
        words, regions = encoded.texts.words.float(), encoded.images.regions.float()
        present = mentioned(phrases.concept, count=self.num_concepts)
        if len(present) == 0 or (len(phrases.concept) == 0 and not self._shared()):
            nothing = (
                words.sum() + regions.sum()
            ) * 0  # every weight gets a gradient: DDP waits for it
            return self._losses(nothing, words.new_zeros(()), phrases)
        with torch.autocast(words.device.type, enabled=False):
            classes = self._classes(phrase_vectors(words, phrases), phrases.concept, present)
            own = torch.searchsorted(present, phrases.concept)
            seen = look(
                regions,
                query=classes[own],
                picture=phrases.caption,
                temperature=self.settings.temperature,
                over=self.settings.attention,
                slots=SLOTS if self.settings.attention == "phrases" else 0,
            )
            logits = self.settings.scale * seen @ classes.mT
        hits = (logits.argmax(dim=1) == own).float()
        target = own if self.settings.target == "concept" else logits.argmax(dim=1)
        loss = F.cross_entropy(logits, target, reduction="sum") / self._instances(len(own))
        return self._losses(loss, hits.sum() / max(len(own), 1), phrases)

    def _losses(
        self, loss: Float[Tensor, ""], accuracy: Float[Tensor, ""], phrases: Phrases
    ) -> Losses:
        count = torch.tensor(float(len(phrases.concept)), device=loss.device)
        return Losses(
            {"concept": self.settings.weight * loss},
            {"concept_accuracy": accuracy.detach(), "phrases": count},
        )

    def _shared(self) -> bool:
        return self.settings.prototypes == "global" and world() > 1

    def _instances(self, here: int) -> float:
        """What this process's summed loss is divided by.

        Averaging over processes must weigh every phrase alike for one big batch; as released,
        every process weighs alike, however few phrases it has.
        """
        if not self._shared():
            return float(max(here, 1))
        count = torch.tensor(float(here), device=self.bank.device)
        return max(total(count).item() / world(), 1e-6)

    def _classes(
        self,
        vectors: Float[Tensor, "phrases dim"],
        concept: Int[Tensor, " phrases"],
        present: Int[Tensor, " present"],
    ) -> Float[Tensor, "present dim"]:
        """Unit prototypes of the present concepts, and the bank moved towards them."""
        new = prototypes(vectors, concept, present, shared=self._shared())
        if not self.settings.momentum:
            return new
        keep = self.settings.momentum
        moved = F.normalize(keep * self.bank[present] + (1 - keep) * new, dim=-1)
        if self.training:
            self.bank[present] = moved.detach()
        return moved
