"""What cutting a picture into groups costs beside the image encoder that looks at it.

python benchmarks/grouping.py [--repeats 5] [--threads 2] [--side 448]

One square picture, random weights: MobileNetV2 (1280 wide) and timm's ViT-B/16 (768 wide), each at
28 x 28 patches and, with a stride or a patch of 8 pixels, at 56 x 56. Time: encoder and grouping
together against the encoder's forward pass, medians, taking turns. Patch vectors are noise around
12 directions in as many compact regions, so that k-means has something to find and does not stop at
once (how long it takes depends on that alone).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import timm
import torch
from torch import Tensor, nn

from whatwhere.encoders.mobilenet_v2 import MobileNetV2
from whatwhere.grouping.kmeans import Kmeans
from whatwhere.grouping.normalized_cut import NormalizedCut
from whatwhere.grouping.principal import Principal
from whatwhere.records import Sizes

KINDS = 12


def mobilenet(stride: int) -> tuple[nn.Module, int]:
    tower = MobileNetV2(stride=stride).build(Sizes(pretrained=False)).eval()
    return tower, tower.width


def vit(patch: int, side: int) -> tuple[nn.Module, int]:
    name = f"vit_base_patch{patch}_224"
    tower = timm.create_model(name, img_size=side, num_classes=0).eval()
    return tower, 768


def patches(rows: int, width: int) -> Tensor:
    """Vectors of rows * rows patches that lie around one of KINDS directions each."""
    torch.manual_seed(0)
    places = torch.rand(KINDS, 2) * rows
    at = torch.cartesian_prod(torch.arange(rows), torch.arange(rows)).float()
    kinds = torch.cdist(at, places).argmin(dim=1)
    return torch.randn(KINDS, width)[kinds] + 0.7 * torch.randn(rows * rows, width) + 1


@torch.no_grad()
def times(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if i:  # the first warms up
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(some) for name, some in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=448)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    picture = torch.rand(1, 3, args.side, args.side)
    print(f"{'encoder':<18}{'patches':<10}{'grouping':<15}{'total / encoder':>16}{'grouping':>12}")
    for patch in (16, 8):
        rows = args.side // patch
        for name, (look, width) in (
            ("MobileNetV2", mobilenet(patch)),
            (f"ViT-B/{patch}", vit(patch, args.side)),
        ):
            some = patches(rows, width)
            hows = {type(how).__name__: how for how in (Principal(), Kmeans(), NormalizedCut())}
            runs: dict[str, Callable[[], object]] = {"encoder": partial(look, picture)}
            runs |= {key: partial(how, some) for key, how in hows.items()}
            taken = times(runs, args.repeats)
            for how in hows:
                ratio = 1 + taken[how] / taken["encoder"]
                said = f"{name:<18}{f'{rows}x{rows}':<10}{how:<15}"
                print(f"{said}{ratio:>15.2f}x{taken[how]:>10.3f} s", flush=True)
    print(f"one {args.side} px picture, {args.threads} threads, medians of {args.repeats}")


if __name__ == "__main__":
    main()
