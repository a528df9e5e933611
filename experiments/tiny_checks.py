"""How well a model knows what is where, told by held-out captions alone: what `tiny` was chosen by.

    python experiments/tiny_checks.py runs/tiny --captions runs/captions.jsonl \\
        --reading similarity.calibration=none --reading side=320 window=320 stride=160

Photos that the run held out are asked, each reading in turn, for
  named   one concept that a photo's captions mention beside 19 that none of them does: the share
          of pixels that get the one. Captions name what is there, so the others are wrong.
  pairs   two photos side by side under a concept of each that the other's captions lack: the share
          of pixels that get the concept of their own photo (half of it by chance).
  among   the same two photos under the same two concepts and 18 that neither photo's captions
          mention: the share of pixels that get the concept of their own photo (a twentieth by
          chance). Nearest to what benchmarks ask, where most names are in no part of a photo.
  told    all concepts (3 or more) that a photo's captions mention beside as many that they do not:
          the share of the mentioned that get 2 % of the pixels or more, less that of the others.
          A reading that gives a photo to one name finds few of its concepts.
Concepts must be mentioned for at least 10 photos and for less than a fifth of them: what is in
every photo tells none from another. Those that a photo is said not to show must be such that would
have been mentioned, with a chance of 0.85 or more: captions seldom mention a sky or a floor that is
there (`objectives.concept_presence.unsaid`). Of photos with captions by people, only those count,
not what tiny_captions.py let a teacher add. No mask is used anywhere.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from whatwhere.captions.sources import open_pairs, split
from whatwhere.concepts.bank import Bank
from whatwhere.objectives.concept_presence import unsaid
from whatwhere.runs.loading import load, read_recipe
from whatwhere.segmenter.reading import Background

OTHERS = 19
COMMON, RARE = 0.2, 10
UNSAID = 0.15
SEEN = 0.02
TEACHERS = "a photo of "
NONE = Background()  # whatever rule the model came with: every pixel gets a name


def mentions(pairs, bank: Bank, clean) -> list[Counter[int]]:
    """How often the captions of each picture mention each concept."""
    find = bank.matcher()
    return [
        Counter(span.concept for text in written(sample.captions) for span in find(clean(text)))
        for sample in pairs
    ]


def written(captions: Sequence[str]) -> Sequence[str]:
    """Those by people, if any are."""
    return [text for text in captions if not text.startswith(TEACHERS)] or captions


def would_be_mentioned(told: Sequence[Counter[int]], count: int) -> np.ndarray:
    """Which concepts captions mention if they are there."""
    mentions, pictures = torch.zeros(count), torch.zeros(count)
    for some in told:
        for concept, times in some.items():
            mentions[concept] += times
            pictures[concept] += 1
    return (unsaid(mentions, pictures) <= UNSAID).numpy()


def own_halves(labels: np.ndarray) -> float:
    """The share of a map's left half that is name 0 and of its right half that is name 1."""
    half = labels.shape[1] // 2
    return float(((labels[:, :half] == 0).mean() + (labels[:, half:] == 1).mean()) / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--captions", required=True)
    parser.add_argument("--only", default="flickr8k", help="photos whose path holds this")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--reading", action="append", nargs="+", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    recipe, said = read_recipe(args.run)
    bank = Bank.parse(said["concepts"])
    halves = split(open_pairs(args.captions), held_out=recipe.held_out, seed=0)
    clean = load(args.run).model.text_encoder.tokenizer.clean
    everywhere = np.zeros(len(bank))
    learned = mentions(halves.train, bank, clean)
    for told in learned:
        everywhere[list(told)] += 1
    fit = (everywhere >= RARE) & (everywhere < COMMON * len(halves.train))
    useful = set(np.flatnonzero(fit).tolist())
    by_people = [
        some for some, sample in zip(learned, halves.train, strict=True) if len(sample.captions) > 1
    ]
    absent = set(np.flatnonzero(fit & would_be_mentioned(by_people, len(bank))).tolist())
    photos = [sample for sample in halves.held_out if args.only in sample.key]
    told = [set(some) for some in mentions(photos, bank, clean)]
    chosen = [i for i, own in enumerate(told) if own & useful][: args.count]
    for overrides in args.reading or [[]]:
        segment = load(args.run, overrides=overrides)
        draw, late = np.random.default_rng(0), np.random.default_rng(1)
        named, pairs, among, several = [], [], [], []
        for i, j in tqdm(list(zip(chosen, np.roll(chosen, 1), strict=True)), unit=" photos"):
            own = sorted(told[i] & useful)
            one = int(draw.choice(own))
            others = draw.choice(sorted(absent - told[i]), OTHERS, replace=False)
            names = [bank.names[k] for k in (one, *others)]
            here = photos[i].open()
            named.append((segment(here, names, background=NONE).labels == 0).mean())
            if len(own) >= 3:
                others = draw.choice(sorted(absent - told[i]), len(own), replace=False)
                names = [bank.names[k] for k in (*own, *others)]
                labels = segment(here, names, background=NONE).labels
                seen = np.bincount(labels.ravel(), minlength=len(names)) >= SEEN * labels.size
                several.append(seen[: len(own)].mean() - seen[len(own) :].mean())
            left, right = sorted((told[i] - told[j]) & useful), sorted((told[j] - told[i]) & useful)
            if not left or not right:
                continue
            both = Image.new("RGB", (2 * here.width, here.height))
            both.paste(here, (0, 0))
            both.paste(photos[j].open().resize(here.size), (here.width, 0))
            names = [bank.names[int(draw.choice(some))] for some in (left, right)]
            neither = late.choice(sorted(absent - told[i] - told[j]), OTHERS - 1, replace=False)
            looked = segment.look(both)
            pairs.append(own_halves(segment(looked, names, background=NONE).labels))
            names += [bank.names[k] for k in neither]
            among.append(own_halves(segment(looked, names, background=NONE).labels))
        found = {"named": named, "pairs": pairs, "among": among, "told": several}
        means = {k: round(100 * float(np.mean(v)), 1) for k, v in found.items()}
        errors = {k: round(100 * float(np.std(v) / len(v) ** 0.5), 1) for k, v in found.items()}
        print(json.dumps({"reading": overrides, **means, "standard_errors": errors}))


if __name__ == "__main__":
    main()
