"""What a segmenter costs beside its encoder, and what a large vocabulary costs in memory.

python benchmarks/segmenter.py [--repeats 7] [--threads 2] [--many 10000]

One 640x480 photo, short side 448, windows of 448 every 224, MobileNetV2 with random weights and a
learned head of 256. Time: a whole call (resizing, windows, encoder, scores, labels) against the
encoder's forward passes on the very same windows, medians, taking turns. Names are encoded once
for all photos and not counted. Memory: the most that the resident size of a fresh process grows
in one call (Linux: VmHWM, reset before the call).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from whatwhere.encoders.mobilenet_v2 import MobileNetV2
from whatwhere.heads.linear import Linear
from whatwhere.model import Model
from whatwhere.pooling.patches import PatchPool
from whatwhere.records import Sizes, TextFeatures, Tokens
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Reading
from whatwhere.segmenter.windows import windows
from whatwhere.similarity.cosine import Cosine
from whatwhere.transforms import short_side, to_tensor, whole

DIM = 256


class NumberedNames:
    """Names "n0", "n1", ... as token ids."""

    context = 1

    def clean(self, text: str) -> str:
        return text

    def __call__(self, texts: list[str]) -> Tokens:
        ids = torch.tensor([[int(text.removeprefix("n"))] for text in texts])
        return Tokens(
            ids, torch.ones_like(ids, dtype=torch.bool), torch.zeros(*ids.shape, 2).long()
        )


class RandomNames(nn.Module):
    """A random vector for each name: what names mean takes no part in how long they take."""

    frozen = True

    def __init__(self, names: int):
        super().__init__()
        self.tokenizer = NumberedNames()
        self.table = nn.Embedding(names, DIM)

    def unknown(self, texts: list[str]) -> list[tuple[str, ...]]:
        return [() for _ in texts]

    def embed(self, ids: Tensor) -> Tensor:
        return self.table(ids)

    def encode(self, embeddings: Tensor, mask: Tensor, inject: None = None) -> TextFeatures:
        return TextFeatures(embeddings, embeddings[:, 0])


def segmenter(names: int) -> Segmenter:
    torch.manual_seed(0)
    encoder = MobileNetV2().build(Sizes(pretrained=False))
    sizes = Sizes(dim=DIM, width=encoder.width)
    head, similarity = Linear(DIM).build(sizes), Cosine().build(sizes)
    model = Model(encoder, head, PatchPool(), RandomNames(names), similarity)
    return Segmenter(model, Reading(prompts="name"))


def a_photo() -> Image.Image:
    torch.manual_seed(0)
    return Image.fromarray(torch.randint(256, (480, 640, 3), dtype=torch.uint8).numpy())


def crops_of(photo: Image.Image, reading: Reading, patch: int) -> Tensor:
    """The windows that the segmenter shows its encoder."""
    size = short_side(photo.height, photo.width, side=reading.side, long=reading.long)
    pixels = to_tensor(whole(photo.height, photo.width, size).picture(photo))
    places = windows(size, window=reading.window, stride=reading.stride)
    return torch.stack([place.cut(pixels, multiple=patch) for place in places])


@torch.no_grad()
def times(names: int, repeats: int) -> tuple[float, float, int]:
    """Seconds of a whole call, of the encoder alone, and the number of windows."""
    segment, photo = segmenter(names), a_photo()
    words = [f"n{i}" for i in range(names)]
    crops = crops_of(photo, segment.reading, segment.model.image_encoder.patch)
    runs = {
        "whole": lambda: segment(photo, words),
        "encoder": lambda: segment.model.image_encoder(crops),
    }
    taken = {name: [] for name in runs}
    for i in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if i:  # the first warms up, and encodes the names
                taken[name].append(time.perf_counter() - start)
    return statistics.median(taken["whole"]), statistics.median(taken["encoder"]), len(crops)


def resident(key: str) -> float:
    """MiB of this process: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def grows(names: int) -> float:
    """MiB that a call needs, names already encoded; call in a fresh process."""
    segment, words = segmenter(names), [f"n{i}" for i in range(names)]
    segment.name_vectors([(word,) for word in words])
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    segment(a_photo(), words)
    return resident("VmHWM") - before


def memory(names: int, threads: int) -> float:
    command = [sys.executable, __file__, "--memory", str(names), "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--many", type=int, default=10_000, help="names of the large vocabulary")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory:
        print(grows(args.memory))
        return
    print(f"{'names':<8}{'whole / encoder':>16}{'whole':>12}{'encoder':>12}")
    for names in (21, 150):
        all_of_it, encoder, count = times(names, args.repeats)
        ratio = all_of_it / encoder
        print(f"{names:<8}{ratio:>15.2f}x{all_of_it:>10.3f} s{encoder:>10.3f} s")
    few, many = (memory(names, args.threads) for names in (100, args.many))
    print(
        f"memory of a call: {many / few:.2f}x from 100 to {args.many} names "
        f"({few:.0f} to {many:.0f} MiB)"
    )
    print(f"640x480, {count} windows of 448, {args.threads} threads, medians of {args.repeats}")


if __name__ == "__main__":
    main()
