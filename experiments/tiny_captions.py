"""Captions for recipe `tiny`: what people wrote, classes, and what a teacher calls photos.

    python experiments/tiny_captions.py --shared ../shared --out runs/captions.jsonl

Photos of flickr8k keep their five captions. Photos of imagenet_samples and caltech101 get their
class's name and, for ImageNet's classes, what people call it (everyday_words.txt): "a photo of a
sorrel, a horse". With `--teacher WEIGHTS`, photos of coco_unlabelled, which have no captions, get
the names of the classes that MobileNetV2 gives the whole photo a share of `--sure` or more.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from whatwhere.concepts.prompts import with_article
from whatwhere.encoders.mobilenet_v2 import MobileNetV2
from whatwhere.records import Sizes
from whatwhere.transforms import centre_square, to_tensor
from whatwhere.weights import read

WORDS = Path(__file__).with_name("everyday_words.txt")
MOST = 3  # names that the teacher may give a photo


def everyday_words() -> dict[int, list[str]]:
    """What people call each class of ImageNet, by its number."""
    found: dict[int, list[str]] = {}
    for line in WORDS.read_text().splitlines():
        if line.startswith("#"):
            continue
        classes, _, words = line.partition(":")
        first, _, last = classes.partition("-")
        for number in range(int(first), int(last or first) + 1):
            said = found.setdefault(number, [])
            said += [word.strip() for word in words.split(",") if word.strip() not in said]
    return found


def caption(names: list[str]) -> str:
    """
    >>> caption(["sorrel", "horse"])
    'a photo of a sorrel, a horse'
    """
    return "a photo of " + ", ".join(map(with_article, dict.fromkeys(names)))


def rows(home: Path, index: str) -> list[dict]:
    return [json.loads(line) for line in (home / index).read_text().splitlines()]


def written(data: Path) -> Iterator[tuple[Path, list[str]]]:
    home = data / "flickr8k"
    for row in rows(home, "captions.jsonl"):
        yield home / row["image"], row["captions"]


def classed(data: Path, classes: list[str], words: dict[int, list[str]]) -> Iterator:
    home = data / "imagenet_samples"
    for number, row in enumerate(by_class(home)):
        yield home / row["image"], [caption([classes[number], *words.get(number, [])])]
    home = data / "caltech101"
    for row in rows(home, "index.jsonl"):
        yield home / row["image"], [caption([row["name"].replace("_", " ")])]


def by_class(home: Path) -> list[dict]:
    """One photo of each of ImageNet's classes, in their order, which is that of their ids."""
    return sorted(rows(home, "index.jsonl"), key=lambda row: row["wnid"])


@torch.no_grad()
def called(
    data: Path, weights: str, classes: list[str], words: dict[int, list[str]], *, sure: float
) -> Iterator[tuple[Path, list[str]]]:
    """The teacher's names of whole photos; class 0 of its classifier is none of ImageNet's."""
    teacher = MobileNetV2(weights=weights, stride=32).build(Sizes())
    state = read(weights)
    kernel, bias = state["classifier.1.weight"], state["classifier.1.bias"]
    photos = sorted((data / "coco_unlabelled/images").iterdir())
    for start in tqdm(range(0, len(photos), 32), "names of the teacher", unit=" x 32 photos"):
        some = photos[start : start + 32]
        squares = [to_tensor(centre_square(Image.open(p).convert("RGB"), side=224)) for p in some]
        seen = teacher(torch.stack(squares)).patches.mean(dim=(1, 2))
        shares, best = (seen @ kernel.mT + bias).softmax(dim=-1).topk(MOST, dim=-1)
        for photo, share, number in zip(some, shares, best - 1, strict=True):
            known = number[(share >= sure) & (number >= 0)].tolist()
            if known:
                names = [name for n in known for name in (classes[n], *words.get(n, []))]
                yield photo, [caption(names)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--out", type=Path, required=True, help="a .jsonl file")
    parser.add_argument("--teacher", metavar="WEIGHTS", help="MobileNetV2 with its classifier")
    parser.add_argument("--sure", type=float, default=0.25)
    args = parser.parse_args()
    data = (args.shared / "data").resolve()
    classes = [row["name"] for row in by_class(data / "imagenet_samples")]
    words = everyday_words()
    found = [*written(data), *classed(data, classes, words)]
    if args.teacher:
        found += called(data, args.teacher, classes, words, sure=args.sure)
    lines = [json.dumps({"image": str(photo), "captions": said}) for photo, said in found]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} photos with captions in {args.out}")


if __name__ == "__main__":
    main()
