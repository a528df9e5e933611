"""A run from start to end: captions read, concepts mined, features cached, model trained."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import chain, islice
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm import tqdm

from whatwhere import models
from whatwhere.captions.batches import Batches
from whatwhere.captions.cached import CachedFeatures, cache_features
from whatwhere.captions.samples import BrokenImage, Skipped
from whatwhere.captions.sources import Pairs, open_pairs, split
from whatwhere.concepts.bank import Bank
from whatwhere.concepts.overlap import overlaps
from whatwhere.concepts.prompts import Prompts
from whatwhere.encoders.clip_tokens import ClipTokens
from whatwhere.memory import keep_freed
from whatwhere.model import Model
from whatwhere.parallel import rank, world
from whatwhere.recipes import Pretraining, Recipe, to_json
from whatwhere.records import Batch, ImageFeatures
from whatwhere.runs.evaluating import retrieval
from whatwhere.runs.loading import about, build, segmenter
from whatwhere.runs.samples import draw_samples
from whatwhere.segmenter import Segmenter
from whatwhere.training import checkpoints, pick_device, train
from whatwhere.training.schedule import for_data
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
    start: str | Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
) -> Finished:
    """Train `recipe` on the captions at a path (or on the recipe's own), into the folder `out`.

    `start` is a trained model (an embedded one, the folder of a run or of a checkpoint) whose
    weights this run begins with; the tokens that a small text encoder keeps are then that model's.
    A resumed run needs neither that model nor the files that its encoders began with.

    `watch(segmenter, step)` is called before the first step, at every validation and at the end;
    what it returns is logged. Retrieval is measured beside it, if any pictures are held out.
    Without a `watch`, a run with concepts draws a few of them under the concepts they mention.
    """
    run = Path(out)
    refuse_mixing(recipe, run, resume)
    if resume:
        start = checkpoints.read_about(checkpoints.newest(run)).get("start")
    begin = None if resume or start is None else checkpoints.newest(models.find(start))
    keep_freed()
    with processes(recipe.training.device):
        pairs = _pairs(recipe, captions, kind)
        if resume:
            _refuse_other_data(recipe, pairs, run)
        halves = split(pairs, held_out=recipe.held_out, seed=0)
        bank = _bank(recipe, halves.train, run if resume else None)
        concepts = 0 if bank is None else len(bank)
        step = build(recipe, concepts=concepts, pretrained=begin is None and not resume)
        step.to(pick_device(recipe.training.device))
        if resume and recipe.caching.folder:  # features are those of the run's own weights
            checkpoints.read_weights(checkpoints.newest(run), step)
        elif begin is not None:
            checkpoints.read_start(begin, step)
            if rank() == 0:
                _tell_unknown(step.model, halves.train)
        elif not resume:
            _fit_text(recipe, step.model, halves.train)
            if step.model.head.pictures:
                _fit_head(recipe, step.model, halves.train)
        features = _features(recipe, step.model, pairs) if recipe.caching.folder else None
        train_on = _batches(recipe, step.model, halves.train, pairs, features, bank)
        measure_on = None
        if len(halves.held_out):
            measure_on = _held_out(recipe, step.model, halves.held_out, pairs, features)

        def read(source: Batches, first: int, last: int) -> Iterator[Batch]:
            for prepared in source.from_step(first, last=last):
                for key, why in prepared.broken:
                    pairs.skipped.add("broken image", key, why)
                yield prepared.batch

        def validate(done: int) -> dict[str, float]:
            found = {}
            if measure_on is not None:
                some = read(measure_on, 0, min(8, measure_on.steps_per_epoch))
                found = retrieval(step.model, some)
            if rank() == 0:
                segment = segmenter(step, recipe.reading)
                if watch is not None:
                    found |= watch(segment, done)
                elif bank is not None:
                    folder = run / "pictures" / f"step-{done:08d}"
                    draw_samples(segment, halves.held_out, bank, folder)
            return {f"validation/{name}": value for name, value in found.items()}

        if rank() == 0:
            run.mkdir(parents=True, exist_ok=True)
            (run / "recipe.json").write_text(json.dumps(to_json(recipe), indent=1))
        names = [] if bank is None else bank.lines
        known = {} if bank is None else {name: asdict(o) for name, o in overlaps(bank).items()}
        report = train(
            step,
            partial(read, train_on),
            for_data(recipe.training, samples=len(train_on.samples), batch=recipe.batching.batch),
            run=run,
            about=about(
                recipe,
                names,
                overlap=known,
                captions=captions,
                start=None if start is None else str(start),
                pictures=pairs.digest(),
                prompts=_drawn_from(recipe),
            ),
            resume=resume,
            validate=validate,
        )
        for row, why in [] if features is None else features.broken:
            pairs.skipped.add("broken image", pairs[row].key, why)
        hear_others(pairs.skipped)
    return Finished(run, report, pairs.skipped.report())


def refuse_mixing(recipe: Recipe | Pretraining, run: Path, resume: bool) -> None:
    """A folder holds one run: a new one does not overwrite it, a resumed one is the same."""
    if checkpoints.whole(run) and not resume:
        raise ValueError(f"{run} holds a run already; go on with --resume, or choose another --out")
    if not resume:
        return
    if not checkpoints.whole(run):
        raise ValueError(
            f"{run} holds no checkpoint to go on from; start the run without --resume, or give "
            "the --out folder of one that was stopped"
        )
    stored = checkpoints.read_about(checkpoints.newest(run))["recipe"]
    if _deciding(stored) != _deciding(json.loads(json.dumps(to_json(recipe)))):
        raise ValueError(
            f"{run} was started with other settings than these; resume with the same recipe and "
            f"--set as in {run / 'recipe.json'}, or choose another --out"
        )


def _refuse_other_data(recipe: Recipe, pairs: Pairs, run: Path) -> None:
    """Batches follow from pictures, captions and prompts, so a resumed run needs the same."""
    stored = checkpoints.read_about(checkpoints.newest(run))
    if stored["pictures"] != pairs.digest():
        raise ValueError(
            f"{run} was trained on other pictures or captions than these {len(pairs)}; give the "
            "same --captions, or choose another --out"
        )
    now = _drawn_from(recipe)
    if stored.get("prompts", now) != now:  # older checkpoints do not say
        raise ValueError(
            f"{run} drew its prompts from other contents than {recipe.extra_prompts} has now; "
            "bring those back, or choose another --out"
        )


def _drawn_from(recipe: Recipe) -> str | None:
    return None if recipe.extra_prompts is None else recipe.extra_prompts.contents()


def hear_others(skipped: Skipped) -> None:
    """Add what the other processes left out."""
    if world() > 1:
        everyone: list = [None] * world()
        dist.all_gather_object(everyone, skipped)
        for other in everyone:
            skipped.merge(other)


def _deciding(recipe: dict) -> dict:
    """A recipe's JSON without what cannot change the weights that come out."""
    free = {
        "training": {"device", "log_every", "checkpoint_every", "validate_every"},
        "batching": {"workers"},
        "viewing": {"workers"},
        "caching": {"folder", "batch"},
        "reading": set(recipe.get("reading", ())),
    }
    kept = {
        part: {k: v for k, v in chosen.items() if k not in free[part]} if part in free else chosen
        for part, chosen in recipe.items()
    }
    cached = "caching" in recipe and recipe["caching"]["folder"] is not None
    return kept | {"cached": cached}


@contextmanager
def processes(device: str):
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
    clean = ClipTokens().clean  # the bank comes before the model and its own tokenizer
    return recipe.concepts.bank(clean(caption) for sample in bar for caption in sample.captions)


def _features(recipe: Recipe, model: Model, pairs: Pairs) -> CachedFeatures:
    """All pairs' features, computed on the first process while the others wait.

    In fp32 whatever the precision of the training: a bf16 MobileNetV2 behind `Whiten` gave another
    best name to one patch in ten, storing its features as int8 to one in two hundred.
    """
    if not model.image_encoder.frozen:
        raise ValueError("features can be cached only of a frozen image encoder; image.frozen=True")
    batching, views = recipe.batching, recipe.caching.views
    if views > 1 and batching.plain:
        raise ValueError(
            f"caching.views={views} keeps random crops, but batching.crop=(1,1) cuts none; set "
            "batching.crop=(0.3,1.0), or caching.views=1"
        )
    if views == 1 and not batching.plain and rank() == 0:
        print(
            f"cached features are of each picture's centre: batching.crop={batching.crop} and "
            f"mirror={batching.mirror} are not used (caching.views=4 keeps crops, "
            "caching.folder=none draws them in every step)",
            file=sys.stderr,
        )

    @torch.no_grad()
    def encode(images: torch.Tensor) -> ImageFeatures:
        return model.features(images.to(model.device))

    def cached(*, check: bool) -> CachedFeatures:
        model.eval()
        return cache_features(
            pairs,
            encode,
            recipe.caching,
            size=batching.size,
            crop=batching.crop,
            mirror=batching.mirror,
            identity=_identity(recipe, model),
            check=check,
        )

    first = cached(check=True) if rank() == 0 else None
    if world() > 1:
        dist.barrier()
    return first or cached(check=False)


def _identity(recipe: Recipe, model: Model) -> str:
    """The settings of what is frozen, and a digest of its weights."""
    frozen = [("image", recipe.image, model.image_encoder)]
    if model.head.fixed:
        frozen.append(("head", recipe.head, model.head))
    settings = {part: to_json(chosen) for part, chosen, _ in frozen}
    weights = [_weights_digest(module) for _, _, module in frozen]
    said = json.dumps([settings, weights], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _weights_digest(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
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
        find_phrases=None
        if bank is None or recipe.concepts is None
        else recipe.concepts.finder(bank, pieces=ClipTokens().pieces),
        seed=recipe.training.seed,
        draw_prompts=None
        if changed or recipe.extra_prompts is None
        else recipe.extra_prompts.of([sample.key for sample in half]),
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
    whole = (1.0, 1.0)
    plain = {"captions": "sampled", "mirror": False, "crop": whole, "feature_crop": whole}
    return _batches(recipe, model, half, pairs, features, None, workers=0, batch=batch, **plain)


def _fit_text(recipe: Recipe, model: Model, pairs: Pairs) -> None:
    """The text encoder shown all that it will read: captions, and what names are put into."""

    def captions() -> Iterator[str]:
        for sample in tqdm(pairs, desc="reading captions", unit=" photos", disable=rank() != 0):
            yield from sample.captions

    model.text_encoder.fit(chain(captions(), Prompts(recipe.reading.prompts).frames))


def _tell_unknown(model: Model, pairs: Pairs) -> None:
    """Words that these captions cannot teach, because the model to start from keeps others."""
    captions = [caption for sample in pairs for caption in sample.captions]
    words = Counter(chain.from_iterable(model.text_encoder.unknown(captions)))
    if words:
        some = ", ".join(word for word, _ in words.most_common(5))
        print(
            f"{len(words)} words of these captions are not among those that this model keeps, and "
            f"are not learned: {some}{', ...' if len(words) > 5 else ''}",
            file=sys.stderr,
        )


def _fit_head(recipe: Recipe, model: Model, pairs: Pairs) -> None:
    """The head fitted to training pictures; a fit is kept beside the features that it makes.

    A second fit would differ in its last digits, and its features could not be those of the cache.
    """
    if recipe.caching.folder is None:
        _fit(recipe, model, pairs)
        if world() > 1:  # one basis for all, whatever the last digits of each process
            for buffer in model.head.buffers():
                dist.broadcast(buffer, 0)
        return
    decides = [pairs.digest(), to_json(recipe.head), _weights_digest(model.image_encoder)]
    decides += [to_json(recipe.image), recipe.batching.size]
    name = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
    kept = Path(recipe.caching.folder).expanduser() / f"head-{name}.safetensors"
    if rank() == 0 and not kept.is_file():
        _fit(recipe, model, pairs)
        kept.parent.mkdir(parents=True, exist_ok=True)
        aside = kept.with_suffix(f".{os.getpid()}")
        save_file({k: v.cpu().contiguous() for k, v in model.head.state_dict().items()}, aside)
        aside.replace(kept)
    if world() > 1:
        dist.barrier()
    model.head.load_state_dict(load_file(kept))


@torch.no_grad()
def _fit(recipe: Recipe, model: Model, pairs: Pairs) -> None:
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
            yield model.image_encoder(torch.stack(some).to(model.device))

    model.eval()
    model.head.fit(seen())
