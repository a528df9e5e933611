"""A segmenter measured on a benchmark: where names are, what photos show, whose captions are whose.

The kind of the benchmark decides what is asked and counted; its name decides nothing.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from tqdm import tqdm

import whatwhere.benchmarks
from whatwhere import models, released
from whatwhere.benchmarks import Benchmark
from whatwhere.benchmarks.classes import Classified, Shown
from whatwhere.benchmarks.clippy_voc import BothScores, BothWays, squashed
from whatwhere.benchmarks.grounds import ByGround, OnGrounds, by_ground
from whatwhere.benchmarks.ranking import Ranking, Recalls, TopK, top_k
from whatwhere.benchmarks.score import Tally, evaluate, first
from whatwhere.benchmarks.segments import Segments, jaccard
from whatwhere.captions.benchmark import Captions
from whatwhere.captions.samples import BrokenImage, Sample
from whatwhere.concepts.bank import Bank
from whatwhere.concepts.names import Names, parse_names
from whatwhere.concepts.overlap import Overlap, describe, overlap
from whatwhere.model import Model
from whatwhere.pictures import OnGround
from whatwhere.recipes import override
from whatwhere.records import Batch, EncodedImages, EncodedTexts, to
from whatwhere.runs.grouping import BottomUp, described, of_model
from whatwhere.runs.sweeping import Sweep, asked, sweep_background
from whatwhere.segmenter import Background, Segmenter
from whatwhere.segmenter.reading import THRESHOLDS, parse_background
from whatwhere.training import checkpoints
from whatwhere.transforms import centre_square, to_tensor

Question = Benchmark | Classified | Captions | Segments | OnGrounds | BothWays
PICTURES, TEXTS = 32, 1024  # encoded and compared at a time


Photo = TypeVar("Photo", Shown, OnGround)


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
    """Files of `benchmarks/` that can load pictures, and what parts bring.

    A part's `benchmark.py` is called like the part, its `benchmark_swap.py` with `_swap` behind.
    """
    return sorted(_loaders())


def open_benchmark(name: str, *, root: str | None, split: str | None) -> Question:
    loaders = _loaders()
    if name not in loaders:
        known = sorted(loaders)
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"no benchmark is called {name!r}{hint} (there are {', '.join(known)})")
    load = loaders[name]
    needs_root = inspect.signature(load).parameters["root"].default is inspect.Parameter.empty
    if root is None and needs_root:
        raise ValueError(f"{name} needs --root PATH: where its pictures lie")
    return load(root) if split is None else load(root, split)


def _loaders() -> dict[str, Callable[..., Question]]:
    files = [
        (module.name, f"whatwhere.benchmarks.{module.name}")
        for module in pkgutil.iter_modules(whatwhere.benchmarks.__path__)
    ]
    parts = [
        (part + file.stem.removeprefix("benchmark"), f"whatwhere.{part}.{file.stem}")
        for file in Path(whatwhere.__path__[0]).glob("*/benchmark*.py")
        for part in [file.parent.name]
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
        settings = BottomUp(side=segment.reading.side, long=segment.reading.long)
        settings = settings if how is None else replace(settings, how=how)
        return _measure_groups(segment, benchmark, settings, limit, background or sweep)
    if isinstance(benchmark, Benchmark):
        return _measure_maps(segment, benchmark, background, sweep, limit, bank)
    if isinstance(benchmark, BothWays):
        return _measure_both_ways(segment, benchmark, background, sweep, limit, bank)
    if background is not None or sweep is not None:
        raise ValueError(
            f"{benchmark.name} asks nothing about pixels, so there is no background to find; leave "
            "--background and --sweep out"
        )
    side = segment.model.image_encoder.size
    if isinstance(benchmark, OnGrounds):
        side = segment.reading.side
    size = f"short side {side}" if side else "own size"
    how: dict[str, str | int | float] = {"pictures": f"{size}, then the centre"}
    if isinstance(benchmark, Captions):
        return Measured(benchmark.name, retrieve(segment.model, benchmark, limit=limit), how)
    how |= {"prompts": segment.reading.prompts} | _unknown(bank)
    how |= _unlearnt(segment, benchmark.name, benchmark.names)
    told = None if bank is None else overlap(bank, benchmark.names)
    if isinstance(benchmark, OnGrounds):
        return Measured(benchmark.name, tell_apart(segment, benchmark, limit=limit), how, told)
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
    return Measured(benchmark.name, scores, described(group.settings))


def _measure_maps(
    segment: Segmenter,
    benchmark: Benchmark,
    background: Background | None,
    sweep: Sweep | None,
    limit: int | None,
    bank: Bank | None,
) -> Measured:
    how, told = _read_as(segment, benchmark, bank), _told(benchmark, bank)
    if sweep is not None:
        if background is not None:
            raise ValueError("--sweep tries thresholds of its own; leave --background out")
        curve = sweep_background(segment, benchmark, sweep, limit=limit)
        return Measured(benchmark.name, curve, how | _softmax(segment, sweep.rule), told)
    rule = _rule(segment, benchmark, background)
    scores = evaluate(labeller(segment, benchmark, background=background), benchmark, limit=limit)
    how |= {"background": typed(rule)} | _softmax(segment, rule.rule)
    return Measured(benchmark.name, scores, how, told)


def _measure_both_ways(
    segment: Segmenter,
    benchmark: BothWays,
    background: Background | None,
    sweep: Sweep | None,
    limit: int | None,
    bank: Bank | None,
) -> Measured:
    if sweep is not None or background is not None:
        raise ValueError(
            f"{benchmark.name} has one background rule, {benchmark.background}; leave --background "
            "and --sweep out, or take --benchmark voc"
        )
    photos, rule = benchmark.photos, parse_background(benchmark.background)
    reading = override(segment.reading, benchmark.reading)
    as_released = labeller(Segmenter(segment.model, reading), photos, background=rule)
    as_read = labeller(segment, photos, background=rule)
    released, correct = Tally(photos), Tally(photos)
    for item in first(photos, limit, progress=True):
        small = squashed(item, side=benchmark.side)
        released.add(small, as_released(small.image))
        correct.add(item, as_read(item.image))
    how = _read_as(segment, photos, bank) | {"background": benchmark.background}
    how |= {"released": ", ".join([f"centre {benchmark.side}", *benchmark.reading])}
    scores = BothScores(released.scores, correct.scores)
    return Measured(benchmark.name, scores, how, _told(photos, bank))


def _read_as(
    segment: Segmenter, benchmark: Benchmark, bank: Bank | None
) -> dict[str, str | int | float]:
    reading = segment.reading
    return {
        "prompts": reading.prompts,
        "side": reading.side,
        "resize": reading.resize,
        "window": reading.window,
        "stride": reading.stride,
        "calibration": segment.model.similarity.readout.calibration,
    } | (_unknown(bank) | _unlearnt(segment, benchmark.name, parse_names(asked(benchmark)[1])))


def _told(benchmark: Benchmark, bank: Bank | None) -> Overlap | None:
    _, names = asked(benchmark)
    return None if bank is None else overlap(bank, parse_names(names))


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


def _unlearnt(
    segment: Segmenter, benchmark: str, names: Sequence[Names]
) -> dict[str, str | int | float]:
    """Classes with words that the model never learnt: no answer is theirs."""
    unknown = segment.unknown(names)
    if len(unknown) == len(names):
        raise ValueError(
            f"the model has learnt none of the {len(names)} names of {benchmark} (the first is "
            f"{names[0][0]!r}); take a model whose captions have some of these words"
        )
    return {"unknown names": ", ".join(unknown)} if unknown else {}


def bank_of(model: str | Path) -> Bank | None:
    """The concepts that a model of ours was trained with, as far as its checkpoint tells.

    A single file of weights, as others release them, does not tell.
    """
    path = models.find(model)
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


def classify(segment: Segmenter, benchmark: Classified, *, limit: int | None = None) -> TopK:
    """Zero-shot classification: the class whose prompts fit the whole picture best.

    As CLIP and SimZSS evaluate (arXiv 2406.16085): the short side resized, the centre cropped, the
    mean of the unit vectors of a name's prompts. Of synonyms the best counts. The read-out's
    calibration belongs to patches and is left out: pictures and texts meet as in training.
    """
    photos = first(benchmark, limit, progress=True)
    side = segment.model.image_encoder.size
    ranks = _ahead(segment, benchmark.names, photos, side=side)
    ahead, truth = zip(*((ahead, photo.label) for photo, ahead in ranks), strict=True)
    return top_k(benchmark.classes, np.array(ahead), np.array(truth), expected=len(benchmark))


def tell_apart(segment: Segmenter, benchmark: OnGrounds, *, limit: int | None = None) -> ByGround:
    """Zero-shot classification as `classify` does it, of things that may be where none belongs.

    Pictures are seen at the short side of the reading (CLIPpy: 448, arXiv 2210.09996), or at
    their own where that is 0.
    """
    photos = first(benchmark, limit, progress=True)
    ranks = _ahead(segment, benchmark.names, photos, side=segment.reading.side)
    return by_ground(benchmark, ((photo, ahead < 1) for photo, ahead in ranks))


@torch.no_grad()
def _ahead(
    segment: Segmenter,
    names: Sequence[tuple[str, ...]],
    photos: Iterator[Photo],
    *,
    side: int,
) -> Iterator[tuple[Photo, float]]:
    """Each photo, and how many other classes its whole picture fits better than its own."""
    known, owner = segment.known(names)
    said, rows = _said(segment.embed(known)), torch.tensor(owner, device=segment.device)
    while some := list(islice(photos, PICTURES if side else 1)):
        images = _look(segment.model, [photo.image for photo in some], side=side)
        scores = segment.model.similarity.pairs(images, said).image_to_text
        best = scores.new_full((len(some), len(names)), -torch.inf)
        best = best.scatter_reduce(1, rows.expand_as(scores), scores, "amax")
        labels = torch.tensor([photo.label for photo in some], device=segment.device)
        ranking = Ranking(len(some), device=segment.device)
        own = torch.arange(len(names), device=segment.device) == labels[:, None]
        ranking.see(slice(None), best, own)
        yield from zip(some, ranking.ahead().tolist(), strict=True)


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
        side = model.image_encoder.size
        images = _look(model, [sample.open() for sample in some], side=side)
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


def _look(model: Model, pictures: Sequence[Image.Image], *, side: int) -> EncodedImages:
    """The squares in the centre. `side` 0: of pictures of one size, as the encoder can take it."""
    patch = model.image_encoder.patch
    side = side or max(min(pictures[0].size) // patch, 1) * patch
    squares = [to_tensor(centre_square(picture, side=side)) for picture in pictures]
    return model.encode_images(torch.stack(squares).to(model.device))


def _said(captions: Float[Tensor, "texts dim"]) -> EncodedTexts:
    """Texts as a similarity compares them: by their vectors, their words left out."""
    return EncodedTexts(words=captions[:, None][:, :0], caption=captions)


def _parts(all_of: Sequence, size: int) -> list[Sequence]:
    return [all_of[start : start + size] for start in range(0, len(all_of), size)]
