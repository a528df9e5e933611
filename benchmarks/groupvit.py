"""GroupViT against transformers' own at equal weights, and one pass per window against two.

python benchmarks/groupvit.py [--repeats 7] [--threads 1] [--batch 4] [--device cpu]

Forward: the released size with random weights, loaded by ours from a folder that transformers
wrote; pixels of 224x224 to projected vectors of image and regions with their maps, and 64 captions
of 5 to 20 tokens to projected vectors, fastest runs, taking turns. transformers maps only the image
vector through its projection and keeps the maps of both stages apart.

Windows: one 640x480 photo (short side 448, windows of 448 every 224), 20 names and the background.
Ours names regions after one pass; the rule as released passes every window through the encoder
once for its maps and once for its image vector and regions.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import GroupViTConfig, GroupViTModel
from transformers import logging as transformers_logging

from whatwhere.encoders.tower import STATISTICS
from whatwhere.model import Model
from whatwhere.runs.loading import restore
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Background, Reading

NAMES = [f"thing{i}" for i in range(20)]


def fastest(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Seconds, taking turns: of the processor, which other work on the machine adds little to.

    With a GPU, seconds on the clock.
    """
    gpu = torch.cuda.is_available()
    now = time.perf_counter if gpu else time.process_time
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(repeats + 1):
        for name, run in runs.items():
            start = now()
            run()
            if gpu:
                torch.cuda.synchronize()
            if i:  # the first warms up
                taken[name].append(now() - start)
    return {name: min(values) for name, values in taken.items()}


class Twice(torch.nn.Module):
    """An image encoder and pooling as the released rule uses them: everything is done twice."""

    def __init__(self, pool: torch.nn.Module, encoder: torch.nn.Module):
        super().__init__()
        self.pool, self.encoder = pool, encoder
        self.images: Tensor | None = None

    def forward(self, features: Any) -> Any:
        assert self.images is not None
        self.pool(self.encoder(self.images))
        return self.pool(features)


def compare_forward(theirs: Any, model: Any, batch: int, repeats: int, device: str) -> None:
    mean, std = (torch.tensor(x, device=device).view(3, 1, 1) for x in STATISTICS["imagenet"])
    images = torch.rand(batch, 3, 224, 224, device=device)
    length = torch.randint(5, 21, (64, 1), device=device)
    place = torch.arange(20, device=device)
    mask = place < length
    ids = torch.randint(1, 49_000, (64, 20), device=device) * mask
    ids[:, 0] = 49406
    ids[place == length - 1] = 49407

    def their_images() -> Tensor:
        pixels = (images - mean) / std
        found = theirs.vision_model(pixels, output_attentions=True)
        return theirs.visual_projection(found.pooler_output)

    def our_images() -> Tensor:
        return model.pool(model.image_encoder(images)).image

    def their_texts() -> Tensor:
        return theirs.text_projection(theirs.text_model(ids, mask.long()).pooler_output)

    def our_texts() -> Tensor:
        encoder = model.text_encoder
        return encoder.encode(encoder.embed(ids), mask).caption

    for what, ours, other in (
        (f"{batch} images", our_images, their_images),
        ("64 captions", our_texts, their_texts),
    ):
        off = (ours() - other()).abs().max() / other().abs().max()
        assert off < 1e-4, f"the two differ: {off:.1e}"
        taken = fastest({"ours": ours, "transformers": other}, repeats)
        ratio = taken["ours"] / taken["transformers"]
        print(
            f"forward, {what:<12} {ratio:5.2f}x of transformers' time "
            f"({taken['ours']:.3f} s, {taken['transformers']:.3f} s; differ by {off:.0e})"
        )


def compare_windows(model: Model, reading: Reading, repeats: int) -> None:
    torch.manual_seed(0)
    photo = Image.fromarray(torch.randint(256, (480, 640, 3), dtype=torch.uint8).numpy())
    segment = Segmenter(model, reading)
    once, encoder = model.pool, model.image_encoder
    twice = Twice(once, encoder)
    encoder.register_forward_pre_hook(lambda module, inputs: keep(twice, inputs[0]))

    def with_pool(pool: torch.nn.Module) -> Callable[[], Any]:
        def run() -> Any:
            model.pool = pool
            return segment(photo, NAMES, background=Background("region", 0.95))

        return run

    runs = {"once": with_pool(once), "twice": with_pool(twice)}
    one, two = (run().labels for run in runs.values())
    assert (one == two).all()
    taken = fastest(runs, repeats)
    count = len(segment.look(photo).seen.places)
    print(
        f"windows of a photo     {taken['twice'] / taken['once']:5.2f}x faster than the rule in "
        f"two passes ({taken['once']:.3f} s, {taken['twice']:.3f} s; {count} windows)"
    )


def keep(twice: Twice, images: Tensor) -> None:
    twice.images = images


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers_logging.set_verbosity_error()
    torch.manual_seed(0)
    theirs = GroupViTModel(GroupViTConfig()).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        restored = restore(folder)
    model = restored.step.model.eval().to(args.device)
    compare_forward(theirs.to(args.device), model, args.batch, args.repeats, args.device)
    compare_windows(model, restored.recipe.reading, args.repeats)
    print(f"{args.device}, {args.threads} threads, fastest of {args.repeats}")


if __name__ == "__main__":
    main()
