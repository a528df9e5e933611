"""Where `tiny` fails in the demo's photos, as maps without the photos, for its model card.

    python experiments/tiny_failures.py --out src/whatwhere/models/tiny/failures.png

The photos are others' and no part of this project; `whatwhere demo` shows them beside the maps.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageOps

from whatwhere.commands.demo.samples import SAMPLES, Sample, find
from whatwhere.runs.loading import load
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.photos import read_photo

WIDTH, HEIGHT, EDGE, COLUMNS = 380, 330, 10, 3


def drawn(segment: Segmenter, sample: Sample) -> Image.Image:
    found = segment(read_photo(find(sample)), (*sample.shows, *sample.others))
    plain = Image.new("RGB", found.photo.size, "white")
    return ImageOps.contain(replace(found, photo=plain).overlay(strength=0.9), (WIDTH, HEIGHT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    keys = [sample.key for sample in SAMPLES]
    parser.add_argument("--photos", nargs="+", default=keys, choices=keys)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    segment = load(args.model)
    maps = [drawn(segment, sample) for sample in SAMPLES if sample.key in args.photos]
    rows = -(-len(maps) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (WIDTH + EDGE), rows * (HEIGHT + EDGE)), "white")
    for place, one in enumerate(maps):
        row, column = divmod(place, COLUMNS)
        page.paste(one, (column * (WIDTH + EDGE), row * (HEIGHT + EDGE)))
    page.quantize(64).save(args.out, optimize=True)


if __name__ == "__main__":
    main()
