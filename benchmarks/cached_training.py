"""What training on cached features gains over streaming pictures, and what their rounding loses.

python benchmarks/cached_training.py --captions PATH [--weights FILE] [--photos 256] [--batch 64]
python benchmarks/cached_training.py --large [--device cuda] [--batch 1024]

Without --large, the recipe `photos` on real photos: samples per second of whole steps (reading,
tower, loss, gradients, AdamW), cached and streaming taking turns; and int8 and bf16 features
against those of the same tower in fp32: relative error and cosine of patch vectors, and how many
patches keep their best name. The names are the concepts of the captions; a name's vector is the
mean of the pictures whose captions mention it. Without --weights the tower is random, which says
nothing about rounding on features that mean something.

With --large, a cached step of the recipe `simzss` (ViT-B/14: 256 patches of 768 numbers, the text
tower of 63.6 M weights) on random int8 features and captions as long as people's; how fast its
batches are read from a cache; and the time that 4 M samples take.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO

import torch
import torch.nn.functional as F
from torch import Tensor

from whatwhere.captions.batches import Batches
from whatwhere.captions.cached import Caching, cache_features, pack
from whatwhere.captions.sources import Pairs, open_pairs
from whatwhere.concepts.bank import Bank, Concepts
from whatwhere.heads.whiten import Whiten
from whatwhere.recipes import Recipe, load
from whatwhere.records import Batch, ImageFeatures, Packed, PackedFeatures, Phrases, Tokens, to
from whatwhere.runs.loading import build
from whatwhere.training import Step, autocast
from whatwhere.training.schedule import optimizer
from whatwhere.transforms import centre_crop, to_tensor

SAMPLES = 4_000_000
CONCEPTS = 574


def stepper(step: Step, recipe: Recipe, device: torch.device) -> Callable[[Batch], None]:
    """One step of training, as the loop takes it."""
    adam = optimizer(step.to(device).train(), recipe.training)

    def take(batch: Batch) -> None:
        with autocast(device, recipe.training):
            losses = step(to(batch, device))
        adam.zero_grad(set_to_none=True)
        losses.total.backward()
        adam.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return take


def seconds(*tasks: Callable[[int], None], repeats: int) -> list[float]:
    """Medians, the tasks taking turns; the first round warms up."""
    taken = [[] for _ in tasks]
    for turn in range(repeats + 1):
        for task, times in zip(tasks, taken, strict=True):
            start = time.perf_counter()
            task(turn)
            times.append(time.perf_counter() - start)
    return [statistics.median(times[1:]) for times in taken]


def small(args: argparse.Namespace) -> None:
    recipe = load("photos")
    recipe = replace(
        recipe,
        image=replace(recipe.image, weights=args.weights, frozen=True),
        head=Whiten(size=256),
        batching=replace(recipe.batching, batch=args.batch),
    )
    found = open_pairs(args.captions)
    pairs = Pairs(found.samples[: args.photos], found.skipped)
    bank = Concepts(least=5, most=100).bank(text for pair in pairs for text in pair.captions)
    step = build(recipe, concepts=len(bank), pretrained=args.weights is not None).eval()
    size = recipe.batching.size
    photos = [pair.open() for pair in pairs]
    views = [centre_crop(p.height, p.width, size=size).picture(p) for p in photos]
    images = torch.stack([to_tensor(view) for view in views]).split(32)
    with torch.no_grad():
        step.model.head.fit(step.model.image_encoder(some) for some in images[:4])
        exact = torch.cat([step.model.features(some).patches for some in images])

    def encode(some: Tensor) -> ImageFeatures:
        with torch.no_grad(), autocast(some.device, recipe.training):
            return step.model.features(some)

    with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):
        caching = Caching(folder=folder)
        start = time.perf_counter()
        features = cache_features(pairs, encode, caching, size=size, identity="")
        filled = time.perf_counter() - start
        take = stepper(step, recipe, torch.device("cpu"))
        sources = [
            Batches(
                pairs,
                recipe.batching,
                tokenizer=step.model.text_encoder.tokenizer,
                find_phrases=bank.matcher(),
                seed=0,
                features=given,
            )
            for given in (None, features)
        ]
        streaming, cached = seconds(
            *(lambda turn, source=source: take(source[turn].batch) for source in sources),
            repeats=args.repeats,
        )
    rates = [args.batch / spent for spent in (streaming, cached)]
    print(
        f"recipe photos, batch {args.batch}, {args.threads} threads, medians of {args.repeats}: "
        f"streaming {rates[0]:.1f} samples/s, cached {rates[1]:.1f} samples/s, "
        f"{rates[1] / rates[0]:.1f}x; the cache is filled at {len(pairs) / filled:.1f} photos/s"
    )
    names = name_vectors(exact, pairs, bank)
    for precision in ("int8", "bf16"):
        print(f"{precision}: {lost(exact, pack(exact, precision).unpack(), names)}")
    half = torch.cat([encode(some).patches.float() for some in images])
    print(f"bf16 tower, not rounded further: {lost(exact, half, names)}")


def name_vectors(patches: Tensor, pairs: Pairs, bank: Bank) -> Tensor:
    """The mean picture of every concept that at least one caption mentions."""
    find, pictures = bank.matcher(), F.normalize(patches.mean(dim=(1, 2)), dim=-1)
    sums = torch.zeros(len(bank), patches.shape[-1])
    for pair, picture in zip(pairs, pictures, strict=True):
        for concept in {span.concept for text in pair.captions for span in find(text.lower())}:
            sums[concept] += picture
    return F.normalize(sums[sums.any(dim=1)], dim=-1)


def lost(exact: Tensor, rounded: Tensor, names: Tensor) -> str:
    error = ((rounded - exact).norm(dim=-1) / exact.norm(dim=-1)).flatten()
    cosine = F.cosine_similarity(rounded, exact, dim=-1)
    best = [(F.normalize(v, dim=-1) @ names.mT).argmax(dim=-1) for v in (exact, rounded)]
    same = (best[0] == best[1]).double().mean()
    return (
        f"relative error {error.mean():.2%} (worst {error.max():.2%}), cosine {cosine.mean():.6f} "
        f"(worst {cosine.min():.6f}), {same:.2%} of {error.numel()} patches keep their best of "
        f"{len(names)} names"
    )


def large(args: argparse.Namespace) -> None:
    device = torch.device(args.device)
    recipe = load("simzss")
    step = build(recipe, concepts=CONCEPTS, pretrained=False)
    step.model.image_encoder = torch.nn.Identity()  # never called: its features are given
    take = stepper(step, recipe, device)
    batches = [random_batch(args.batch, seed) for seed in range(4)]
    spent, read = seconds(
        lambda turn: take(batches[turn % 4]),
        lambda turn: gathered(batches[turn % 4]),
        repeats=args.repeats,
    )
    rate, words = args.batch / spent, batches[0].tokens.mask.sum(dim=1).float()
    used = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if args.device == "cuda" else ""
    print(
        f"recipe simzss, cached step on {device_name(device)}: batch {args.batch}, 256 patches x "
        f"768, captions of {words.mean():.1f} tokens (to {words.max():.0f}), "
        f"{recipe.training.precision}, medians of {args.repeats}{used}\n"
        f"{1000 * spent:.1f} ms a step, {rate:.0f} samples/s, {SAMPLES / 1e6:.0f} M samples in "
        f"{SAMPLES / rate / 60:.1f} minutes; one process copies {args.batch / read:.0f} samples/s "
        "of features out of memory"
    )
    if device.type == "cpu":
        print("a CPU says nothing about a GPU: repeat with --device cuda --batch 1024 or more")


def random_batch(batch: int, seed: int) -> Batch:
    """Captions of COCO's length (10.5 words, 2.4 more for ends and pieces), 1.6 phrases in each."""
    draw = torch.Generator().manual_seed(seed)
    length = (13 + 3 * torch.randn(batch, generator=draw)).round().clamp(8, 60).long()
    mask = torch.arange(77) < length[:, None]
    ids = torch.randint(1, 49_406, (batch, 77), generator=draw) * mask
    caption = torch.randint(batch, (int(1.6 * batch),), generator=draw).sort().values
    concept = torch.randint(CONCEPTS, caption.shape, generator=draw)
    word = torch.randint(1, 7, caption.shape, generator=draw)
    numbers = torch.randint(-127, 128, (batch, 16, 16, 768), generator=draw, dtype=torch.int8)
    cls = torch.randint(-127, 128, (batch, 768), generator=draw, dtype=torch.int8)
    return Batch(
        Tokens(ids, mask, torch.zeros(batch, 77, 2, dtype=torch.long)),
        features=PackedFeatures(
            Packed(numbers, torch.rand(batch, 16, 16, generator=draw)),
            Packed(cls, torch.rand(batch, generator=draw)),
        ),
        phrases=Phrases(caption, concept, torch.arange(len(caption)), word),
    )


def gathered(batch: Batch) -> None:
    """What reading a batch from a memory map in the page cache does: rows, one by one."""
    assert isinstance(batch.features, PackedFeatures)
    torch.stack(list(batch.features.patches.numbers))


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "this CPU"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", help="pictures with captions; needed without --large")
    parser.add_argument("--weights", help="MobileNetV2, as the recipe photos takes it")
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.large:
        args.batch = args.batch or (1024 if args.device == "cuda" else 16)
        large(args)
    elif args.captions:
        args.batch = args.batch or 64
        small(args)
    else:
        parser.error("say where photos with captions are (--captions), or take --large")


if __name__ == "__main__":
    main()
