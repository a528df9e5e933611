"""From a recipe to a live model, and from a checkpoint to a segmenter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from whatwhere import __version__, models, released
from whatwhere.model import Model
from whatwhere.objectives.contrastive import ContrastiveObjective
from whatwhere.objectives.together import Together
from whatwhere.recipes import Recipe, bring, from_json, override, paths, to_json
from whatwhere.records import Sizes
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Reading
from whatwhere.training import Step, checkpoints, pick_device


def build(recipe: Recipe, *, concepts: int = 0, pretrained: bool = True) -> Step:
    """The live model and objectives of a recipe. The same seed gives the same weights."""
    torch.manual_seed(recipe.training.seed)
    image_encoder = recipe.image.build(Sizes(concepts=concepts, pretrained=pretrained))
    width = image_encoder.width
    between = recipe.head.dim(width)
    sizes = Sizes(recipe.pool.dim(between), between, concepts, pretrained)
    model = Model(
        image_encoder,
        recipe.head.build(replace(sizes, dim=between, width=width)),
        recipe.pool.build(sizes),
        recipe.text.build(sizes),
        recipe.similarity.build(sizes),
    )
    return Step(model, Together([part.build(sizes) for part in recipe.objectives]))


def about(recipe: Recipe, concepts: Sequence[str], **more: Any) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    return {
        "whatwhere": __version__,
        "recipe": to_json(recipe),
        "concepts": list(concepts),
    } | more


def read_recipe(path: str | Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a checkpoint, and all that the checkpoint says of itself."""
    said = checkpoints.read_about(checkpoints.newest(models.find(path)))
    recipe = from_json(said["recipe"])
    if not isinstance(recipe, Recipe):
        raise ValueError(
            f"{path} is of `whatwhere pretrain`, an image encoder without words; start a training "
            "from it: --set image.weights=FOLDER/image.safetensors"
        )
    return recipe, said


@dataclass(frozen=True)
class Restored:
    """A trained model with its objectives, and what its checkpoint says of itself."""

    step: Step
    recipe: Recipe
    said: dict[str, Any]


def restore(
    name: str | Path, *, overrides: Sequence[str] = (), imports: Sequence[str] = ()
) -> Restored:
    """What was trained: an embedded model, the folder of a run or a checkpoint, a released file."""
    path = models.find(name)
    for module in imports:
        bring(module)
    from_it = _from_file if released.is_released(path) else _from_run
    return from_it(path, overrides)


def load(
    name: str | Path = models.DEFAULT,
    *,
    overrides: Sequence[str] = (),
    device: str = "auto",
    imports: Sequence[str] = (),
) -> Segmenter:
    """A segmenter: of the model that comes with the package, or of another.

    `name` is one of `whatwhere.models`, the folder of a training run or of one checkpoint, or a
    released file.
    `overrides` change how photos are read: `load("runs/mine", overrides=["reading.side=640"])`;
    settings of `reading` and of `similarity`, whose calibration may be changed after training,
    `text.source`, the folder with the tokenizer, and the grid of a convolutional tower,
    `image.stride` and `image.shrink`.
    `imports` are modules or files with parts of your own that the checkpoint's recipe uses.
    """
    restored = restore(name, overrides=overrides, imports=imports)
    return segmenter(restored.step, restored.recipe.reading, device=pick_device(device))


def segmenter(step: Step, reading: Reading, *, device: torch.device | None = None) -> Segmenter:
    """A model that reads as `reading` says; what that leaves open is as training learned it."""
    objective: Any = step.objective
    scales = [p.scale().item() for p in objective.parts if isinstance(p, ContrastiveObjective)]
    if reading.regions is not None and reading.regions.scale is None and scales:
        reading = replace(reading, regions=replace(reading.regions, scale=scales[0]))
    return Segmenter(step.model if device is None else step.model.to(device), reading)


def _from_run(path: Path, overrides: Sequence[str]) -> Restored:
    folder = checkpoints.newest(path)
    stored, said = read_recipe(folder)
    recipe = override(stored, overrides)
    free = ("reading", "similarity", "text.source", "image.stride", "image.shrink")
    if not differ_only_in(stored, recipe, *free):
        raise ValueError(
            "after training only settings of reading and similarity can be changed, such as "
            "reading.side=640 or similarity.calibration=centred, and text.source, and of a "
            "convolutional tower image.stride and image.shrink, which no weight depends on"
        )
    step = build(recipe, concepts=len(said["concepts"]), pretrained=False)
    checkpoints.read_weights(folder, step)
    return Restored(step, recipe, said)


def _from_file(path: Path, overrides: Sequence[str]) -> Restored:
    """Its tensors do not tell everything about the parts, so that may be set too."""
    found = released.read(path)
    recipe = override(found.recipe, overrides)
    if not differ_only_in(found.recipe, recipe, "reading", "image", "pool", "text"):
        raise ValueError(
            "of a released file only settings of reading, image, pool and text can be changed, "
            "such as reading.side=640 or image.whole=mean"
        )
    try:
        found.layout.refuse_other_parts(recipe)
    except ValueError as error:
        raise ValueError(
            f"{path}: {error}; leave the parts as the file has them and change how they work, such "
            "as reading.side=640 or image.whole=mean"
        ) from None
    step = build(recipe, pretrained=False)
    found.fill(step)
    return Restored(step, recipe, about(recipe, [], step=0, captions=None, pictures=None))


def differ_only_in(one: Recipe, other: Recipe, *free: str) -> bool:
    """Whether all settings are the same but those at these paths and below them."""
    old, new = paths(one), paths(other)
    changed = [".".join(key) + "." for key in old | new if old.get(key) != new.get(key)]
    free = tuple(f"{path}." for path in free)
    above = {path for path in changed if any(part.startswith(path) for part in free)}
    return all(path in above or path.startswith(free) for path in changed)
