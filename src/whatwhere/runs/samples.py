"""A few held-out photos under names from their own captions, drawn while a run trains."""

from __future__ import annotations

import sys
from pathlib import Path

from whatwhere.captions.samples import BrokenImage
from whatwhere.captions.sources import Pairs
from whatwhere.concepts.bank import Bank
from whatwhere.segmenter import Segmenter


def draw_samples(
    segment: Segmenter, pairs: Pairs, bank: Bank, folder: Path, *, count: int = 4
) -> None:
    """The first `count` photos of `pairs`, each under all concepts that any of them mentions."""
    few = pairs.samples[:count]
    clean, find = segment.model.text_encoder.tokenizer.clean, bank.matcher()
    spans = [span for sample in few for text in sample.captions for span in find(clean(text))]
    names = [bank.lines[row] for row in sorted({span.concept for span in spans})]
    if len(names) < 2:  # one name would cover everything
        return
    folder.mkdir(parents=True, exist_ok=True)
    for number, sample in enumerate(few):
        try:
            photo = sample.open()
        except BrokenImage:  # told of when it is measured
            continue
        try:
            found = segment(photo, names)
        except ValueError as error:  # a training does not stop for its pictures
            print(f"no sample pictures: {error}", file=sys.stderr)
            return
        found.overlay().save(folder / f"{number}.jpg", quality=90)
