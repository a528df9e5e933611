"""Captions for recipe `tiny`: what people wrote, classes, and what a teacher calls photos.

    python experiments/tiny_captions.py --shared ../shared --out runs/captions.jsonl

Photos of flickr8k keep their five captions. Photos of imagenet_samples and caltech101 get their
class's name and, for ImageNet's classes, what people call it (everyday_words.txt): "a photo of a
sorrel, a horse". With `--teacher WEIGHTS`, photos of coco_unlabelled, which have no captions, and
of flickr8k, whose captions leave much out, get a caption of what MobileNetV2 calls them or one of
their parts (four quarters and the middle): everyday words to whose classes together it gives a
share of `--sure` or more, and such classes themselves.
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


class Teacher:
    """MobileNetV2's classes and everyday words; class 0 of its classifier is none of ImageNet's."""

    def __init__(
        self, weights: str, classes: list[str], words: dict[int, list[str]], *, sure: float
    ):
        self.network = MobileNetV2(weights=weights, stride=32).build(Sizes())
        state = read(weights)
        self.kernel, self.bias = state["classifier.1.weight"], state["classifier.1.bias"]
        every = dict.fromkeys(word for said in words.values() for word in said)
        self.names = [*every, *classes]
        self.members = torch.zeros(len(classes), len(self.names))  # classes that a name covers
        for number in range(len(classes)):
            for word in words.get(number, []):
                self.members[number, self.names.index(word)] = 1
            self.members[number, len(every) + number] = 1
        self.sure = sure

    @torch.no_grad()
    def __call__(self, photos: list[Path]) -> list[list[str]]:
        """What some photos are called, the surest name first."""
        opened = [Image.open(photo).convert("RGB") for photo in photos]
        shares = self._shares([centre_square(one, side=224) for one in opened])
        for part in zip(*(parts(one) for one in opened), strict=True):
            shares = torch.maximum(shares, self._shares(list(part)))
        order = shares.argsort(dim=1, descending=True).tolist()
        return [
            [self.names[n] for n in row if shares[i, n] >= self.sure] for i, row in enumerate(order)
        ]

    def _shares(self, squares: list[Image.Image]) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            seen = self.network(torch.stack([to_tensor(one) for one in squares])).patches
        logits = seen.float().mean(dim=(1, 2)) @ self.kernel.mT + self.bias
        return logits.softmax(dim=1)[:, 1:] @ self.members


def parts(photo: Image.Image) -> list[Image.Image]:
    """The four quarters and the middle, as squares of 160 pixels."""
    width, height = photo.width // 2, photo.height // 2
    corners = [(0, 0), (width, 0), (0, height), (width, height), (width // 2, height // 2)]
    boxes = [(left, top, left + width, top + height) for left, top in corners]
    return [centre_square(photo.crop(box), side=160) for box in boxes]


def named(
    photos: list[tuple[Path, list[str]]], teacher: Teacher
) -> Iterator[tuple[Path, list[str]]]:
    """Photos and their captions, with one more of the teacher's names where it has any."""
    for start in tqdm(range(0, len(photos), 32), "names of the teacher", unit=" x 32 photos"):
        some = photos[start : start + 32]
        for (photo, said), names in zip(some, teacher([p for p, _ in some]), strict=True):
            if names or said:
                yield photo, [*said, *([caption(names)] if names else [])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--out", type=Path, required=True, help="a .jsonl file")
    parser.add_argument("--teacher", metavar="WEIGHTS", help="MobileNetV2 with its classifier")
    parser.add_argument("--sure", type=float, default=0.8)
    args = parser.parse_args()
    data = (args.shared / "data").resolve()
    classes = [row["name"] for row in by_class(data / "imagenet_samples")]
    words = everyday_words()
    found = list(written(data))
    if args.teacher:
        found += [(photo, []) for photo in sorted((data / "coco_unlabelled/images").iterdir())]
        found = list(named(found, Teacher(args.teacher, classes, words, sure=args.sure)))
    found += classed(data, classes, words)
    lines = [json.dumps({"image": str(photo), "captions": said}) for photo, said in found]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} photos with captions in {args.out}")


if __name__ == "__main__":
    main()
