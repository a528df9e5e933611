"""A run from start to end: captions read, concepts mined, features cached, model trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path

import torch
import torch.distributed as dist
from tqdm import tqdm

from whatwhere.captions.batches import Batches
from whatwhere.captions.cached import CachedFeatures, cache_features
from whatwhere.captions.samples import BrokenImage, Skipped
from whatwhere.captions.sources import Pairs, open_pairs, split
from whatwhere.concepts.bank import Bank
from whatwhere.model import Model
from whatwhere.parallel import rank, world
from whatwhere.recipes import Recipe, to_json
from whatwhere.records import Batch, ImageFeatures
from whatwhere.runs.evaluating import retrieval
from whatwhere.runs.loading import about, build
from whatwhere.segmenter import Segmenter
from whatwhere.training import autocast, checkpoints, pick_device, train
from whatwhere.transforms import centre_crop, to_tensor

Watch = Callable[[Segmenter, int], dict[str, float]]


@dataclass(frozen=True)
class Finished:
    """What a run leaves: its folder, what was reported last, and what was left out of it."""

    run: Path
    report: dict[str, float]
    skipped: str


def run_training(
    recipe: Recipe,
    *,
    captions: str | None = None,
    kind: str | None = None,
    out: str | Path,
    resume: bool = False,
    watch: Watch | None = None,
) -> Finished:
    """Train `recipe` on the captions at a path (or on the recipe's own), into the folder `out`.

    `watch(segmenter, step)` is called before the first step, at every validation and at the end;
    what it returns is logged. Held-out retrieval is always measured beside it.
    """
    run = Path(out)
    _refuse_mixing(recipe, run, resume)
    with _processes(recipe.training.device):
        pairs = _pairs(recipe, captions, kind)
        if resume:
            _refuse_other_pictures(pairs, run)
        halves = split(pairs, held_out=recipe.held_out, seed=0)
        bank = _bank(recipe, halves.train, run if resume else None)
        step = build(recipe, concepts=0 if bank is None else len(bank))
        step.to(pick_device(recipe.training.device))
        if resume:
            checkpoints.read_weights(checkpoints.newest(run), step)
        elif step.model.head.pictures:
            _fit_head(recipe, step.model, halves.train)
        features = _features(recipe, step.model, pairs) if recipe.caching.folder else None
        train_on = _batches(recipe, step.model, halves.train, pairs, features, bank)
        measure_on = _held_out(recipe, step.model, halves.held_out, pairs, features)

        def read(source: Batches, first: int, last: int) -> Iterator[Batch]:
            for prepared in source.from_step(first, last=last):
                for key, why in prepared.broken:
                    pairs.skipped.add("broken image", key, why)
                yield prepared.batch

        def validate(model: Model, done: int) -> dict[str, float]:
            found = retrieval(model, read(measure_on, 0, min(8, measure_on.steps_per_epoch)))
            if watch is not None and rank() == 0:
                found |= watch(Segmenter(model, recipe.reading), done)
            return {f"validation/{name}": value for name, value in found.items()}

        if rank() == 0:
            run.mkdir(parents=True, exist_ok=True)
            (run / "recipe.json").write_text(json.dumps(to_json(recipe), indent=1))
        names = [] if bank is None else bank.lines
        report = train(
            step,
            partial(read, train_on),
            recipe.training,
            run=run,
            about=about(recipe, names, captions=captions, pictures=_digest(pairs)),
            resume=resume,
            validate=validate,
        )
    for row, why in [] if features is None else features.broken:
        pairs.skipped.add("broken image", pairs[row].key, why)
    return Finished(run, report, pairs.skipped.report())


def _refuse_mixing(recipe: Recipe, run: Path, resume: bool) -> None:
    """A folder holds one run: a new one does not overwrite it, a resumed one is the same."""
    if checkpoints.whole(run) and not resume:
        raise ValueError(f"{run} holds a run already; go on with --resume, or choose another --out")
    if not resume:
        return
    stored = checkpoints.read_about(checkpoints.newest(run))["recipe"]
    if _deciding(stored) != _deciding(json.loads(json.dumps(to_json(recipe)))):
        raise ValueError(
            f"{run} was started with other settings than these; resume with the same recipe and "
            f"--set as in {run / 'recipe.json'}, or choose another --out"
        )


def _refuse_other_pictures(pairs: Pairs, run: Path) -> None:
    """Batches follow from the list of pictures, so a resumed run needs the same list."""
    if checkpoints.read_about(checkpoints.newest(run))["pictures"] != _digest(pairs):
        raise ValueError(
            f"{run} was trained on other pictures than these {len(pairs)}; give the same "
            "--captions, or choose another --out"
        )


def _deciding(recipe: dict) -> dict:
    """A recipe's JSON without what cannot change the weights that come out."""
    free = {
        "training": {"device", "log_every", "checkpoint_every", "validate_every"},
        "batching": {"workers"},
        "caching": {"folder", "batch"},
        "reading": set(recipe.get("reading", ())),
    }
    return {
        part: {k: v for k, v in chosen.items() if k not in free[part]} if part in free else chosen
        for part, chosen in recipe.items()
    }


def _digest(pairs: Pairs) -> str:
    """Which pictures a run was trained on."""
    return hashlib.sha256("\n".join(sample.key for sample in pairs).encode()).hexdigest()[:16]


@contextmanager
def _processes(device: str):
    """Join the other processes when started by torchrun."""
    several = dist.is_torchelastic_launched() and not dist.is_initialized()
    if several:
        cuda = pick_device(device).type == "cuda"
        # Others wait while the first process caches features or validates, which may take hours.
        dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(days=2))
        if cuda:
            torch.cuda.set_device(rank() % torch.cuda.device_count())
    try:
        yield
    finally:
        if several:
            dist.destroy_process_group()


def _pairs(recipe: Recipe, captions: str | None, kind: str | None) -> Pairs:
    if captions is not None:
        return open_pairs(captions, kind=kind)
    if recipe.captions is None:
        raise ValueError("this recipe has no captions of its own; say where yours are: --captions")
    return Pairs(tuple(recipe.captions), Skipped())


def _bank(recipe: Recipe, pairs: Pairs, resumed: Path | None) -> Bank | None:
    """The concepts of the run: stored ones when resumed, else read or mined from the captions."""
    if recipe.concepts is None:
        return None
    if resumed is not None:
        return Bank.parse(checkpoints.read_about(checkpoints.newest(resumed))["concepts"])
    bar = tqdm(pairs, desc="mining concepts", unit=" photos", disable=rank() != 0)
    return recipe.concepts.bank(caption for sample in bar for caption in sample.captions)


def _features(recipe: Recipe, model: Model, pairs: Pairs) -> CachedFeatures:
    """All pairs' features, computed on the first process while the others wait."""
    if not model.image_encoder.frozen:
        raise ValueError("features can be cached only of a frozen image encoder; image.frozen=True")
    if recipe.batching.crop != (1.0, 1.0) or recipe.batching.mirror:
        raise ValueError(
            "cached features are of each picture's centre; set batching.crop=(1,1) and "
            "batching.mirror=False, or compute features in every step: caching.folder=None"
        )

    @torch.no_grad()
    def encode(images: torch.Tensor) -> ImageFeatures:
        with autocast(model.device, recipe.training):
            return model.features(images.to(model.device))

    def cached() -> CachedFeatures:
        model.eval()
        return cache_features(
            pairs,
            encode,
            recipe.caching,
            size=recipe.batching.size,
            identity=_identity(recipe, model),
        )

    first = cached() if rank() == 0 else None
    if world() > 1:
        dist.barrier()
    return first or cached()


def _identity(recipe: Recipe, model: Model) -> str:
    """The settings of what is frozen, and a digest of its weights."""
    frozen = [("image", recipe.image, model.image_encoder)]
    if model.head.fixed:
        frozen.append(("head", recipe.head, model.head))
    settings = {part: to_json(chosen) for part, chosen, _ in frozen}
    settings["precision"] = recipe.training.precision
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    weights = {
        f"{part}.{name}": tensor
        for part, _, module in frozen
        for name, tensor in module.state_dict().items()
    }
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _batches(
    recipe: Recipe,
    model: Model,
    half: Pairs,
    pairs: Pairs,
    features: CachedFeatures | None,
    bank: Bank | None,
    **changed,
) -> Batches:
    rows = {sample.key: row for row, sample in enumerate(pairs)}
    return Batches(
        half,
        replace(recipe.batching, **changed),
        tokenizer=model.text_encoder.tokenizer,
        find_phrases=None if bank is None else bank.matcher(),
        seed=recipe.training.seed,
        features=None if features is None else features.of([rows[s.key] for s in half]),
        rank=0 if changed else rank(),
        world=1 if changed else world(),
    )


def _held_out(
    recipe: Recipe, model: Model, half: Pairs, pairs: Pairs, features: CachedFeatures | None
) -> Batches:
    """Held-out pairs in batches of at most 200, seen without random crops."""
    if features is not None:
        rows = {sample.key: row for row, sample in enumerate(pairs)}
        lost = {row for row, _ in features.broken}
        half = replace(half, samples=tuple(s for s in half if rows[s.key] not in lost))
    batch = max(min(200, len(half)), 1)
    plain = {"batch": batch, "crop": (1.0, 1.0), "mirror": False, "workers": 0, "per": "picture"}
    return _batches(recipe, model, half, pairs, features, None, **plain)


@torch.no_grad()
def _fit_head(recipe: Recipe, model: Model, pairs: Pairs) -> None:
    """Show the head as many training pictures as it asks for, spread over all of them."""
    count = min(model.head.pictures, len(pairs))
    rows = torch.linspace(0, len(pairs) - 1, count).round().long().tolist()

    def pictures() -> Iterator[torch.Tensor]:
        for row in tqdm(rows, desc="fitting the head", unit=" photos", disable=rank() != 0):
            try:
                picture = pairs[row].open()
            except BrokenImage as error:
                pairs.skipped.add("broken image", error.key, error.reason)
                continue
            view = centre_crop(picture.height, picture.width, size=recipe.batching.size)
            yield to_tensor(view.picture(picture))

    def seen() -> Iterator[ImageFeatures]:
        waiting = pictures()
        while some := list(islice(waiting, recipe.caching.batch)):
            with autocast(model.device, recipe.training):
                features = model.image_encoder(torch.stack(some).to(model.device))
            yield features

    model.eval()
    model.head.fit(seen())
    if world() > 1:  # one basis for all, whatever the last digits of each process
        for buffer in model.head.buffers():
            dist.broadcast(buffer, 0)
