"""Below which score a pixel is none of the names: learned from captions, without a mask.

Captions tell which concepts a photo shows and, all of them together, which it hardly shows. So
under names that none of a photo's captions mentions, every pixel should be background; under one
that is mentioned, its best pixels should not. The threshold is where as many of the one kind as of
the other are wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from whatwhere.captions.samples import BrokenImage, Sample
from whatwhere.captions.sources import Pairs
from whatwhere.concepts.bank import Bank
from whatwhere.segmenter import Segmenter

TOGETHER = 20  # names that compete, about as many as a benchmark or a person asks for
SHARE = 0.03  # of a photo's pixels that a mentioned concept surely covers
PIXELS = 256  # drawn of each photo that shows none of its names


@dataclass(frozen=True)
class Learned:
    threshold: float  # a cosine
    error: float  # share of either kind that it gets wrong, 0 to 1
    pictures: int


def learn_threshold(segment: Segmenter, pairs: Pairs, bank: Bank, *, seed: int = 0) -> Learned:
    """The threshold of the background rule "score", from pictures not trained on.

    Each picture is asked twice: under one concept that its captions mention, whose score is taken
    where it is higher than in all but the best 3 % of pixels, and under 20 (or as many as there
    are) that they do not mention, where each of 256 pixels gives its best score.
    """
    shown, absent = [], []
    pictures = 0
    rows = torch.arange(len(bank), device=segment.device)
    lacking = set(segment.unknown(bank.concepts))
    known = np.array([names[0] not in lacking for names in bank.concepts])
    vectors = segment.model.similarity.readout.names(segment.embed(bank.names))
    for number, (sample, mentioned) in enumerate(_told(pairs, bank, segment)):
        draw = np.random.default_rng((seed, number))
        own = [row for row in mentioned if known[row]]
        others = np.setdiff1d(np.flatnonzero(known), mentioned)
        if not own or not len(others):
            continue
        try:
            looked = segment.look(sample.open())
        except BrokenImage:
            continue
        one = [int(draw.choice(own))]
        best, _, _ = segment.best(looked, vectors[one], rows[:1])
        shown.append(float(torch.quantile(_few(best, draw), 1 - SHARE)))
        some = draw.choice(others, min(TOGETHER, len(others)), replace=False)
        best, _, _ = segment.best(looked, vectors[some], rows[: len(some)])
        absent.append(_few(best, draw).cpu().numpy())
        pictures += 1
    if pictures == 0:
        raise ValueError(
            "no picture has captions that mention a concept of the model's; give --captions that "
            "speak of what it learned"
        )
    threshold, error = equal_error(np.array(shown), np.concatenate(absent))
    return Learned(threshold, error, pictures)


def equal_error(
    above: Float[np.ndarray, " above"], below: Float[np.ndarray, " below"]
) -> tuple[float, float]:
    """The threshold with as large a share of `above` under it as of `below` over it; that share.

    >>> threshold, error = equal_error(np.array([0.4, 0.5, 0.6, 0.7]), np.array([0.1, 0.2, 0.3]))
    >>> 0.3 < threshold <= 0.4, error
    (True, 0.0)
    """
    tries = np.unique(np.concatenate([above, below]))
    tries = np.append((tries[:-1] + tries[1:]) / 2, tries[-1])
    missed = np.searchsorted(np.sort(above), tries, side="left") / len(above)
    taken = 1 - np.searchsorted(np.sort(below), tries, side="left") / len(below)
    at = int(np.abs(missed - taken).argmin())
    return float(tries[at]), float((missed[at] + taken[at]) / 2)


def _told(pairs: Pairs, bank: Bank, segment: Segmenter) -> Iterator[tuple[Sample, list[int]]]:
    """Pictures with the rows of the concepts that any of their captions mentions."""
    clean, find = segment.model.text_encoder.tokenizer.clean, bank.matcher()
    for sample in tqdm(pairs, "learning the background", unit=" photos"):
        spans = [span for text in sample.captions for span in find(clean(text))]
        yield sample, sorted({span.concept for span in spans})


def _few(scores: torch.Tensor, draw: np.random.Generator) -> torch.Tensor:
    flat = scores.flatten()
    return flat[torch.from_numpy(draw.integers(len(flat), size=PIXELS)).to(flat.device)]
