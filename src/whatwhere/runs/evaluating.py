"""A segmenter measured: mIoU on labelled photos, retrieval on held-out captions."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from difflib import get_close_matches

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import whatwhere.benchmarks
from whatwhere.benchmarks import Benchmark
from whatwhere.model import Model
from whatwhere.records import Batch, to
from whatwhere.segmenter import Background, Segmenter


def benchmark_names() -> list[str]:
    """Files of `benchmarks/` that can load photos."""
    found = []
    for module in pkgutil.iter_modules(whatwhere.benchmarks.__path__):
        if "load" in vars(importlib.import_module(f"whatwhere.benchmarks.{module.name}")):
            found.append(module.name)
    return found


def open_benchmark(name: str, *, root: str, split: str | None) -> Benchmark:
    known = benchmark_names()
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"no benchmark is called {name!r}{hint} (there are {', '.join(known)})")
    load = importlib.import_module(f"whatwhere.benchmarks.{name}").load
    return load(root) if split is None else load(root, split)


def labeller(
    segment: Segmenter, benchmark: Benchmark, *, background: Background | None = None
) -> Callable[[Image.Image], np.ndarray]:
    """A picture's label map in the benchmark's own class ids.

    The background class of a benchmark is never given to the text encoder: the segmenter's rule
    decides. Without a rule no pixel is background.
    """
    rule = background or segment.reading.background
    if benchmark.background is None:
        if background is not None and background.rule != "none":
            raise ValueError(
                f"{benchmark.name} has no background class, so no pixel may be background; leave "
                f"the rule {background.rule!r} out"
            )
        rule = Background()
    named = [row for row in range(len(benchmark.classes)) if row != benchmark.background]
    names = ["|".join(benchmark.names[row]) for row in named]
    ids = np.array(named if rule.rule == "none" else [benchmark.background, *named])
    return lambda picture: ids[segment(picture, names, background=rule).labels]


@torch.no_grad()
def retrieval(model: Model, batches: Iterable[Batch]) -> dict[str, float]:
    """Recall at 1 and 5, both ways, averaged over batches of held-out pairs."""
    device = model.device
    sums: dict[str, float] = {}
    count = 0
    for batch in batches:
        pairs = model(to(batch, device)).pairs
        own = slice(pairs.first, pairs.first + len(pairs.image_to_text))  # not other processes'
        for way, all_scores in (("text", pairs.image_to_text), ("image", pairs.text_to_image)):
            scores = all_scores[:, own]
            for k in (1, 5):
                key = f"{way}_recall_at_{k}"
                sums[key] = sums.get(key, 0.0) + _recall(scores, k)
        count += 1
    return {key: value / count for key, value in sums.items()}


def _recall(scores: Tensor, k: int) -> float:
    """Share of rows whose own column is among their k best; ties count half."""
    own = scores.diagonal()[:, None]
    ahead = (scores > own).sum(dim=1) + (((scores == own).sum(dim=1) - 1) / 2)
    return (ahead < k).float().mean().item()
