"""What naming every pixel costs by scores that are upsampled, against features that are.

python benchmarks/dense_readout.py [--repeats 7] [--threads 2] [--names 60 1000]

One picture of 448x448 that a ViT-B/16 has seen: 28x28 patches of 768 numbers, random here. As
CLIPpy's released code does it (arXiv 2210.09996), features are upsampled to pixels and compared
with all names; bilinear upsampling and comparing are both linear, so the segmenter (`best`, name by
name in chunks) compares first. Both start from features and end with a name for each pixel, and the
names must agree. Time: medians, taking turns. Memory: the most that the resident size of a fresh
process grows (Linux: VmHWM, reset before the call).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from PIL import Image
from torch import Tensor, nn

from segmenter import resident
from whatwhere.heads.identity import Identity
from whatwhere.model import Model
from whatwhere.pooling.patches import PatchPool
from whatwhere.records import ImageFeatures, Sizes
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Reading
from whatwhere.similarity.cosine import Cosine

SIDE, PATCH, DIM = 448, 16, 768


class Seen(nn.Module):
    """The same random patches in every picture."""

    patch, size, width, frozen = PATCH, SIDE, DIM, True

    def __init__(self):
        super().__init__()
        side = SIDE // PATCH
        self.patches = nn.Parameter(torch.randn(1, side, side, DIM), requires_grad=False)

    def forward(self, images: Tensor, inject: None = None) -> ImageFeatures:
        return ImageFeatures(self.patches)


def by_features(patches: Tensor, vectors: Tensor) -> Tensor:
    """Names of pixels, the features of patches [1, rows, cols, dim] being upsampled."""
    features = rearrange(F.normalize(patches, dim=-1), "1 rows cols dim -> 1 dim rows cols")
    features = F.interpolate(
        features.contiguous(), (SIDE, SIDE), mode="bilinear", align_corners=False
    )
    scores = vectors @ rearrange(features, "1 dim height width -> dim (height width)")
    return rearrange(scores.argmax(dim=0), "(height width) -> height width", height=SIDE)


def ways(names: int) -> dict[str, Callable[[], Tensor]]:
    torch.manual_seed(0)
    encoder, vectors = Seen(), F.normalize(torch.randn(names, DIM), dim=-1)
    similarity = Cosine().build(Sizes(dim=DIM))
    model = Model(encoder, Identity().build(Sizes()), PatchPool(), nn.Identity(), similarity)
    segment = Segmenter(model, Reading(side=SIDE, window=SIDE))
    looked, owner = segment.look(Image.new("RGB", (SIDE, SIDE))), torch.arange(names)
    return {
        "features": lambda: by_features(encoder.patches, vectors),
        "scores": lambda: segment.best(looked, vectors, owner)[1],
    }


@torch.no_grad()
def seconds(names: int, repeats: int) -> dict[str, float]:
    both = ways(names)
    taken = {way: [] for way in both}
    one, other = (run() for run in both.values())  # the first calls warm up
    agree = (one == other).float().mean().item()
    assert agree > 0.999, f"only {agree:.2%} of the pixels get the same name in both ways"
    for _ in range(repeats):
        for way, run in both.items():
            start = time.perf_counter()
            run()
            taken[way].append(time.perf_counter() - start)
    return {way: statistics.median(times) for way, times in taken.items()}


@torch.no_grad()
def grows(way: str, names: int) -> float:
    """MiB that a call needs; in a fresh process."""
    run, before = ways(names)[way], resident("VmRSS")
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")
    run()
    return resident("VmHWM") - before


def memory(way: str, names: int, threads: int) -> float:
    command = [sys.executable, __file__, "--memory", way, "--names", str(names)]
    command += ["--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--names", type=int, nargs="+", default=[60, 1000])
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory:
        print(grows(args.memory, *args.names))
        return
    print(f"{'names':<8}{'memory':>8}{'time':>8}   features upsampled      scores upsampled")
    for names in args.names:
        took = seconds(names, args.repeats)
        needs = {way: memory(way, names, args.threads) for way in took}
        ratios = [values["features"] / values["scores"] for values in (needs, took)]
        costs = [f"{needs[way]:6.0f} MiB {took[way]:6.3f} s" for way in ("features", "scores")]
        print(f"{names:<8}{ratios[0]:>7.1f}x{ratios[1]:>7.1f}x   {costs[0]}    {costs[1]}")
    print(f"{SIDE}x{SIDE}, {args.threads} threads, medians of {args.repeats}")


if __name__ == "__main__":
    main()
