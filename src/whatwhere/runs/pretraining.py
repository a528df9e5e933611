"""A run without captions: an image encoder learns from photos, and is kept as a file of weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from whatwhere import __version__
from whatwhere.captions.batches import Pairs
from whatwhere.captions.samples import FilePart, Sample, Skipped
from whatwhere.curation.files import digest
from whatwhere.memory import keep_freed
from whatwhere.objectives.together import Together
from whatwhere.parallel import rank, world
from whatwhere.pretraining import Learner, ViewBatches
from whatwhere.recipes import Pretraining, to_json
from whatwhere.records import Sizes, Views
from whatwhere.runs.training import hear_others, processes, refuse_mixing
from whatwhere.training import checkpoints, pick_device, train
from whatwhere.training.schedule import for_data


@dataclass(frozen=True)
class Pretrained:
    """What a run leaves: the encoder's weights, what was reported last, what was left out."""

    weights: Path
    report: dict[str, float]
    skipped: str


def run_pretraining(
    recipe: Pretraining, *, photos: Sequence[Path] = (), out: str | Path, resume: bool = False
) -> Pretrained:
    """Train the image encoder of `recipe` on photos (or on the recipe's own), into folder `out`.

    `out/image.safetensors` is for `image.weights` of the same encoder in any other recipe.
    """
    run = Path(out)
    refuse_mixing(recipe, run, resume)
    seen = digest([path.name for path in photos])
    if resume and checkpoints.read_about(checkpoints.newest(run)).get("pictures") != seen:
        raise ValueError(
            f"{run} looked at other photos than these {len(photos)}; give the same --photos, or "
            "choose another --out"
        )
    keep_freed()
    with processes(recipe.training.device):
        pictures = _pictures(recipe, photos)
        step = build(recipe)
        batches = ViewBatches(
            pictures, recipe.viewing, seed=recipe.training.seed, rank=rank(), world=world()
        )
        skipped = Skipped()

        def read(first: int, last: int) -> Iterator[Views]:
            for prepared in batches.from_step(first, last=last):
                for key, why in prepared.broken:
                    skipped.add("broken image", key, why)
                yield prepared.views

        if rank() == 0:
            run.mkdir(parents=True, exist_ok=True)
            (run / "recipe.json").write_text(json.dumps(to_json(recipe), indent=1))
        weights = run / "image.safetensors"

        def keep() -> None:
            if rank() == 0:
                save_file(_weights(step), weights)

        try:
            report = train(
                step,
                read,
                for_data(recipe.training, samples=len(pictures), batch=recipe.viewing.batch),
                run=run,
                about={"whatwhere": __version__, "recipe": to_json(recipe), "pictures": seen},
                resume=resume,
            )
        except KeyboardInterrupt:
            keep()
            raise
        keep()
        hear_others(skipped)
    return Pretrained(weights, report, skipped.report())


def build(recipe: Pretraining) -> Learner:
    """The live encoder with its pretexts. The same seed gives the same weights."""
    torch.manual_seed(recipe.training.seed)
    encoder = recipe.image.build(Sizes())
    if encoder.frozen:
        raise ValueError("a frozen image encoder learns nothing; set image.frozen=False")
    sizes = Sizes(width=encoder.width)
    pretexts = Together([pretext.build(sizes) for pretext in recipe.pretexts])
    return Learner(encoder, pretexts).to(pick_device(recipe.training.device))


def _pictures(recipe: Pretraining, photos: Sequence[Path]) -> Pairs:
    if photos:
        return [Sample(str(path), (), FilePart(str(path))) for path in photos]
    if recipe.photos is None:
        raise ValueError("this recipe has no photos of its own; say where yours are: --photos")
    return recipe.photos


def _weights(step: Learner) -> dict[str, torch.Tensor]:
    """Under the names that the encoder reads: those of the network itself."""
    encoder: Any = step.image_encoder
    state = encoder.trunk.state_dict()
    inside = all(name.startswith("model.") for name in state)  # as timm's networks are wrapped
    return {
        name.removeprefix("model.") if inside else name: tensor.cpu().contiguous()
        for name, tensor in state.items()
    }
