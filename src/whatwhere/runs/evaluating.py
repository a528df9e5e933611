"""A segmenter measured on a benchmark: where names are, what photos show, whose captions are whose.

The kind of the benchmark decides what is asked and counted; its name decides nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from tqdm import tqdm

import whatwhere.benchmarks
from whatwhere import released
from whatwhere.benchmarks import Benchmark
from whatwhere.benchmarks.classes import Classified
from whatwhere.benchmarks.ranking import Ranking, Recalls, TopK, top_k
from whatwhere.benchmarks.score import evaluate, first
from whatwhere.benchmarks.segments import Segments, jaccard
from whatwhere.captions.benchmark import Captions
from whatwhere.captions.samples import BrokenImage, Sample
from whatwhere.concepts.bank import Bank
from whatwhere.concepts.names import parse_names
from whatwhere.concepts.overlap import Overlap, describe, overlap
from whatwhere.model import Model
from whatwhere.records import Batch, EncodedImages, EncodedTexts, to
from whatwhere.runs.grouping import BottomUp, described, of_model
from whatwhere.runs.sweeping import Sweep, asked, sweep_background
from whatwhere.segmenter import Background, Segmenter
from whatwhere.segmenter.reading import THRESHOLDS
from whatwhere.training import checkpoints
from whatwhere.transforms import centre_square, to_tensor

Question = Benchmark | Classified | Captions | Segments
PICTURES, TEXTS = 32, 1024  # encoded and compared at a time


@runtime_checkable
class Result(Protocol):
    """What was counted."""

    def table(self) -> str: ...
    def as_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Measured:
    """A result, and what else it depends on: a number is worth nothing without it."""

    benchmark: str
    result: Result
    how: dict[str, str | int | float]  # prompts, sizes, rules
    told: Overlap | None = None  # of the model's concepts with the names asked for; None: no bank

    def table(self) -> str:
        lines = [
            self.result.table(),
            "; ".join(f"{key} {value}" for key, value in self.how.items()),
        ]
        return "\n".join([*lines, describe(self.told, self.benchmark)] if self.told else lines)

    def as_json(self) -> dict[str, Any]:
        told = None if self.told is None else asdict(self.told)
        return self.result.as_json() | {"how": self.how, "bank": told}


def benchmark_names() -> list[str]:
    """Files of `benchmarks/` that can load pictures, and parts that bring a benchmark."""
    return sorted(_loaders())


def open_benchmark(name: str, *, root: str, split: str | None) -> Question:
    loaders = _loaders()
    if name not in loaders:
        known = sorted(loaders)
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"no benchmark is called {name!r}{hint} (there are {', '.join(known)})")
    return loaders[name](root) if split is None else loaders[name](root, split)


def _loaders() -> dict[str, Callable[..., Question]]:
    files = [
        (module.name, f"whatwhere.benchmarks.{module.name}")
        for module in pkgutil.iter_modules(whatwhere.benchmarks.__path__)
    ]
    parts = [
        (file.parent.name, f"whatwhere.{file.parent.name}.benchmark")
        for file in Path(whatwhere.__path__[0]).glob("*/benchmark.py")
    ]
    modules = {name: vars(importlib.import_module(path)) for name, path in (*files, *parts)}
    return {name: module["load"] for name, module in modules.items() if "load" in module}


def measure(
    segment: Segmenter,
    benchmark: Question,
    *,
    background: Background | None = None,
    sweep: Sweep | None = None,
    limit: int | None = None,
    bank: Bank | None = None,
    how: Any = None,
) -> Measured:
    """What the benchmark asks, asked of the model: all of it, or its first `limit` pictures.

    bank    the concepts that the model was trained with, to be held against the benchmark's names
    how     a grouping of patches, whose fit to segments is then measured instead of the names'
    """
    if how is not None or isinstance(benchmark, Segments):
        settings = BottomUp(side=segment.reading.side)
        settings = settings if how is None else replace(settings, how=how)
        return _measure_groups(segment, benchmark, settings, limit, background or sweep)
    if isinstance(benchmark, Benchmark):
        return _measure_maps(segment, benchmark, background, sweep, limit, bank)
    if background is not None or sweep is not None:
        raise ValueError(
            f"{benchmark.name} asks nothing about pixels, so there is no background to find; leave "
            "--background and --sweep out"
        )
    side = segment.model.image_encoder.size
    how: dict[str, str | int | float] = {"pictures": f"short side {side}, then the centre"}
    if isinstance(benchmark, Captions):
        return Measured(benchmark.name, retrieve(segment.model, benchmark, limit=limit), how)
    how |= {"prompts": segment.reading.prompts} | _unknown(bank)
    told = None if bank is None else overlap(bank, benchmark.names)
    return Measured(benchmark.name, classify(segment, benchmark, limit=limit), how, told)


def _measure_groups(
    segment: Segmenter,
    benchmark: Question,
    settings: BottomUp,
    limit: int | None,
    unused: Background | Sweep | None,
) -> Measured:
    if not isinstance(benchmark, (Segments, Benchmark)):
        raise ValueError(
            f"{benchmark.name} has no segments to hold groups against; leave --how out"
        )
    if unused is not None:
        raise ValueError(
            "groups have no names and no background; leave --background and --sweep out"
        )
    group = of_model(segment, settings)
    scores = jaccard(lambda picture: group(picture).labels, benchmark, limit=limit)
    return Measured(benchmark.name, scores, described(settings))


def _measure_maps(
    segment: Segmenter,
    benchmark: Benchmark,
    background: Background | None,
    sweep: Sweep | None,
    limit: int | None,
    bank: Bank | None,
) -> Measured:
    _, names = asked(benchmark)
    told = None if bank is None else overlap(bank, parse_names(names))
    reading = segment.reading
    how: dict[str, str | int | float] = {
        "prompts": reading.prompts,
        "side": reading.side,
        "resize": reading.resize,
        "window": reading.window,
        "stride": reading.stride,
        "calibration": segment.model.similarity.readout.calibration,
    } | _unknown(bank)
    if sweep is not None:
        if background is not None:
            raise ValueError("--sweep tries thresholds of its own; leave --background out")
        curve = sweep_background(segment, benchmark, sweep, limit=limit)
        return Measured(benchmark.name, curve, how | _softmax(segment, sweep.rule), told)
    rule = _rule(segment, benchmark, background)
    scores = evaluate(labeller(segment, benchmark, background=background), benchmark, limit=limit)
    how |= {"background": typed(rule)} | _softmax(segment, rule.rule)
    return Measured(benchmark.name, scores, how, told)


def typed(rule: Background) -> str:
    """A rule as `parse_background` reads it.

    >>> typed(Background("score", 0.2)), typed(Background("names", names=("wall|floor", "sky")))
    ('score:0.2', 'names:wall|floor,sky')
    """
    if rule.rule in THRESHOLDS:
        return f"{rule.rule}:{rule.threshold:g}"
    return ":".join([rule.rule, ",".join(rule.names)]).rstrip(":")


def _softmax(segment: Segmenter, rule: str) -> dict[str, str | int | float]:
    """Probabilities depend on what scores are multiplied by; cosines do not."""
    return {"scale": segment.reading.scale} if rule == "probability" else {}


def _unknown(bank: Bank | None) -> dict[str, str | int | float]:
    """No line about the names that a model was told must not read as if it had been told none."""
    return {"concepts": "none known"} if bank is None else {}


def bank_of(model: str | Path) -> Bank | None:
    """The concepts that the model of a run or a checkpoint was trained with, as far as it tells.

    A single file of weights, as others release them, does not tell.
    """
    path = Path(model).expanduser()
    if released.is_released(path):
        return None
    stored = checkpoints.read_about(checkpoints.newest(path))["concepts"]
    return Bank.parse(stored) if stored else None


def labeller(
    segment: Segmenter, benchmark: Benchmark, *, background: Background | None = None
) -> Callable[[Image.Image], np.ndarray]:
    """A picture's label map in the benchmark's own class ids.

    The background class of a benchmark is never given to the text encoder: the segmenter's rule
    decides. Without a rule no pixel is background.
    """
    rule = _rule(segment, benchmark, background)
    named, names = asked(benchmark)
    ids = np.array(named if rule.rule == "none" else [benchmark.background, *named])
    return lambda picture: ids[segment(picture, names, background=rule).labels]


def _rule(segment: Segmenter, benchmark: Benchmark, given: Background | None) -> Background:
    if benchmark.background is not None:
        return given or segment.reading.background
    if given is not None and given.rule != "none":
        raise ValueError(
            f"{benchmark.name} has no background class, so no pixel may be background; leave "
            f"the rule {given.rule!r} out"
        )
    return Background()


@torch.no_grad()
def classify(segment: Segmenter, benchmark: Classified, *, limit: int | None = None) -> TopK:
    """Zero-shot classification: the class whose prompts fit the whole picture best.

    As CLIP and SimZSS evaluate (arXiv 2406.16085): the short side resized, the centre cropped, the
    mean of the unit vectors of a name's prompts. Of synonyms the best counts. The read-out's
    calibration belongs to patches and is left out: pictures and texts meet as in training.
    """
    flat = tuple(synonym for synonyms in benchmark.names for synonym in synonyms)
    owner = [row for row, synonyms in enumerate(benchmark.names) for _ in synonyms]
    names, rows = _said(segment.embed(flat)), torch.tensor(owner, device=segment.device)
    photos = first(benchmark, limit, progress=True)
    ahead, truth = [], []
    while some := list(islice(photos, PICTURES)):
        images = _look(segment.model, [photo.image for photo in some])
        scores = segment.model.similarity.pairs(images, names).image_to_text
        best = scores.new_full((len(some), len(benchmark.classes)), -torch.inf)
        best = best.scatter_reduce(1, rows.expand_as(scores), scores, "amax")
        labels = torch.tensor([photo.label for photo in some], device=segment.device)
        ranking = Ranking(len(some), device=segment.device)
        own = torch.arange(len(benchmark.classes), device=segment.device) == labels[:, None]
        ranking.see(slice(None), best, own)
        ahead.append(ranking.ahead().cpu().numpy())
        truth += [photo.label for photo in some]
    return top_k(benchmark.classes, np.concatenate(ahead), np.array(truth), expected=len(benchmark))


@torch.no_grad()
def retrieve(model: Model, benchmark: Captions, *, limit: int | None = None) -> Recalls:
    """Recall over a whole set of captions, both ways.

    Every caption competes for every picture. Caption vectors are kept, pictures are seen once,
    scores only in blocks.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; give at least 1, or None for all pictures")
    samples = _openable(benchmark, limit)
    texts = [caption for sample in samples for caption in sample.captions]
    owner = torch.tensor(
        [row for row, sample in enumerate(samples) for _ in sample.captions], device=model.device
    )
    tokenizer = model.text_encoder.tokenizer
    captions = torch.cat(
        [
            model.encode_texts(
                to(tokenizer([tokenizer.clean(text) for text in some]), model.device)
            ).caption
            for some in tqdm(_parts(texts, 256), "captions", unit=" x 256")
        ]
    )
    to_text = Ranking(len(samples), device=model.device)
    to_image = Ranking(len(texts), device=model.device)
    seen = tqdm(_parts(samples, PICTURES), benchmark.name, unit=f" x {PICTURES} pictures")
    for start, some in zip(range(0, len(samples), PICTURES), seen, strict=True):
        images = _look(model, [sample.open() for sample in some])
        rows = torch.arange(start, start + len(some), device=model.device)
        for left in range(0, len(texts), TEXTS):
            here = slice(left, left + TEXTS)
            pairs = model.similarity.pairs(images, _said(captions[here]))
            own = rows[:, None] == owner[here]
            to_text.see(slice(start, start + len(some)), pairs.image_to_text, own)
            to_image.see(here, pairs.text_to_image, own.T)
    return Recalls(
        {k: to_text.recall(k) for k in (1, 5, 10)},
        {k: to_image.recall(k) for k in (1, 5, 10)},
        pictures=len(samples),
        captions=len(texts),
        pictures_expected=len(benchmark),
        left_out=benchmark.pairs.skipped.report(),
    )


def _openable(benchmark: Captions, limit: int | None) -> list[Sample]:
    """Pictures that can be opened; others are told of and do not compete, nor do their captions."""
    kept = []
    for sample in tqdm(benchmark.pairs.samples[:limit], "opening", unit=" pictures"):
        try:
            sample.open()
        except BrokenImage as error:
            benchmark.pairs.skipped.add("broken image", error.key, error.reason)
        else:
            kept.append(sample)
    if not kept:
        raise ValueError(f"none of the pictures of {benchmark.name} can be opened")
    return kept


@torch.no_grad()
def retrieval(model: Model, batches: Iterable[Batch]) -> dict[str, float]:
    """Recall at 1 and 5, both ways, averaged over batches of held-out pairs.

    For watching a training: fewer compete than in `retrieve`, and one caption of each picture.
    """
    sums: dict[str, float] = {}
    count = 0
    for batch in batches:
        pairs = model(to(batch, model.device)).pairs
        here = slice(pairs.first, pairs.first + len(pairs.image_to_text))  # not other processes'
        for way, all_scores in (("text", pairs.image_to_text), ("image", pairs.text_to_image)):
            scores = all_scores[:, here]
            ranking = Ranking(len(scores), device=scores.device)
            own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
            ranking.see(slice(None), scores, own)
            for k in (1, 5):
                key = f"{way}_recall_at_{k}"
                sums[key] = sums.get(key, 0.0) + ranking.recall(k)
        count += 1
    return {key: value / count for key, value in sums.items()}


def _look(model: Model, pictures: Sequence[Image.Image]) -> EncodedImages:
    side = model.image_encoder.size
    squares = [to_tensor(centre_square(picture, side=side)) for picture in pictures]
    return model.encode_images(torch.stack(squares).to(model.device))


def _said(captions: Float[Tensor, "texts dim"]) -> EncodedTexts:
    """Texts as a similarity compares them: by their vectors, their words left out."""
    return EncodedTexts(words=captions[:, None][:, :0], caption=captions)


def _parts(all_of: Sequence, size: int) -> list[Sequence]:
    return [all_of[start : start + size] for start in range(0, len(all_of), size)]
