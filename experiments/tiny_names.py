"""VOC's 20 names asked of held-out photos whose captions mention exactly one of them. No mask.

    python experiments/tiny_names.py runs/a runs/b --captions runs/captions.jsonl \\
        --reading image.stride=8 image.shrink=2

Prints the share of pixels that get the mentioned name, as a mean over names with 4 photos or more
(of a name at most 25). Nearer to the benchmark than random concepts are, but of few photos: two
runs that differ by their seed differ by three points.
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np

from whatwhere.benchmarks import voc
from whatwhere.benchmarks.photos import names_in
from whatwhere.captions.sources import open_pairs, split
from whatwhere.runs.loading import load, read_recipe
from whatwhere.segmenter.reading import Background

LEAST, MOST = 4, 25
PLURALS = {"person": "men|women|children"}
ALSO_A_VERB = {"train": r"\b(?:a|the) trains?\b"}


def patterns() -> dict[str, re.Pattern]:
    """Of each name, what a caption that mentions it holds."""
    file = Path(voc.__file__).with_name("voc_names.txt")
    found = {}
    for name, said in list(names_in(file).items())[1:]:
        words = [re.escape(word) + "(?:s|es)?" for word in said]
        words += [PLURALS[name]] if name in PLURALS else []
        found["|".join(said)] = re.compile(ALSO_A_VERB.get(name, rf"\b(?:{'|'.join(words)})\b"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--captions", required=True)
    parser.add_argument("--reading", nargs="+", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    asked = patterns()
    names = list(asked)
    of: dict[int, list] = {}
    held_out = read_recipe(args.runs[0])[0].held_out
    for photo in split(open_pairs(args.captions), held_out=held_out, seed=0).held_out:
        text = " ".join(photo.captions).lower()
        told = [i for i, name in enumerate(names) if asked[name].search(text)]
        if len(told) == 1:
            of.setdefault(told[0], []).append(photo)
    draw = np.random.default_rng(0)
    photos = {
        i: [some[j] for j in draw.permutation(len(some))[:MOST]]
        for i, some in sorted(of.items())
        if len(some) >= LEAST
    }
    for run in args.runs:
        segment = load(run, overrides=args.reading)
        shares = {
            names[i]: float(
                np.mean(
                    [
                        (segment(photo.open(), names, background=Background()).labels == i).mean()
                        for photo in some
                    ]
                )
            )
            for i, some in photos.items()
        }
        each = {name.split("|")[0]: round(100 * share, 1) for name, share in shares.items()}
        print(
            json.dumps({"run": run, "mean": round(100 * np.mean(list(shares.values())), 1)} | each)
        )


if __name__ == "__main__":
    main()
