"""What a training step costs at twice the side with 80 % of the patches dropped, against once.

python benchmarks/token_subsampling.py [--repeats 5] [--threads 1] [--batch 4] [--device cpu]

CLIPpy's image tower at real size (ViT-B/16) with random weights: pixels, maximum over patches,
contrastive loss against fixed captions, gradients of all weights. 224 px whole, 448 px with
p = 0.8, 448 px whole. Time: the fastest step, taking turns; on a CPU, of the processor. Memory:
what the forward pass keeps for the backward pass beside the weights, counted tensor by tensor. The
optimizer's step and the cutting of pictures are not counted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from whatwhere.model import Model
from whatwhere.objectives.contrastive import info_nce
from whatwhere.recipes import clippy
from whatwhere.records import EncodedTexts, Sizes

CASES = {"224 whole": (224, 0.0), "448, p = 0.8": (448, 0.8), "448 whole": (448, 0.0)}


def step_of(case: str, batch: int, device: str) -> tuple[Model, Callable[[], None]]:
    side, drop = CASES[case]
    torch.manual_seed(0)
    recipe = clippy.scratch
    image = replace(recipe.image, patch_drop=drop).build(Sizes(pretrained=False))
    sizes = Sizes(dim=image.width)
    similarity = recipe.similarity.build(sizes)
    model = Model(
        image, recipe.head.build(sizes), recipe.pool.build(sizes), torch.nn.Identity(), similarity
    )
    model.train().to(device)
    pixels = torch.rand(batch, 3, side, side, device=device)
    captions = torch.nn.functional.normalize(torch.randn(batch, image.width, device=device))
    texts = EncodedTexts(captions[:, None], captions)

    def step() -> None:
        info_nce(similarity.pairs(model.encode_images(pixels), texts), scale=10.0).backward()

    return model, step


def seconds(steps: dict[str, Callable[[], None]], repeats: int, device: str) -> dict[str, float]:
    now = time.perf_counter if device == "cuda" else time.process_time
    taken: dict[str, list[float]] = {case: [] for case in steps}
    for i in range(repeats + 1):
        for case, step in steps.items():
            start = now()
            step()
            if device == "cuda":
                torch.cuda.synchronize()
            if i:  # the first warms up
                taken[case].append(now() - start)
    return {case: min(values) for case, values in taken.items()}


def mebibytes(model: Model, step: Callable[[], None]) -> float:
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    held: dict[int, int] = {}

    def hold(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(hold, lambda tensor: tensor):
        step()
    return sum(size for place, size in held.items() if place not in weights) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    built = {case: step_of(case, args.batch, args.device) for case in CASES}
    memory = {case: mebibytes(*pair) for case, pair in built.items()}
    taken = seconds({case: step for case, (_, step) in built.items()}, args.repeats, args.device)
    once, *others = CASES
    print(f"{once:<14} {taken[once]:.3f} s, {memory[once]:.0f} MiB")
    for case in others:
        print(
            f"{case:<14} {taken[case] / taken[once]:.2f}x the time, "
            f"{memory[case] / memory[once]:.2f}x the memory "
            f"({taken[case]:.3f} s, {memory[case]:.0f} MiB)"
        )
    print(
        f"ViT-B/16, {args.batch} pictures, {args.device}, {args.threads} threads, fastest of "
        f"{args.repeats}"
    )


if __name__ == "__main__":
    main()
