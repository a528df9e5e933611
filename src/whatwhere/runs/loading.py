"""From a recipe to a live model, and from a checkpoint to a segmenter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from whatwhere import __version__
from whatwhere.model import Model
from whatwhere.objectives.together import Together
from whatwhere.recipes import Recipe, bring, from_json, override, to_json
from whatwhere.records import Sizes
from whatwhere.segmenter import Segmenter
from whatwhere.training import Step, checkpoints, pick_device


def build(recipe: Recipe, *, concepts: int = 0, pretrained: bool = True) -> Step:
    """The live model and objectives of a recipe. The same seed gives the same weights."""
    torch.manual_seed(recipe.training.seed)
    image_encoder = recipe.image.build(Sizes(concepts=concepts, pretrained=pretrained))
    width = image_encoder.width
    sizes = Sizes(recipe.head.dim(width), width, concepts, pretrained)
    model = Model(
        image_encoder,
        recipe.head.build(sizes),
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
    said = checkpoints.read_about(checkpoints.newest(Path(path)))
    return from_json(said["recipe"]), said


def load(
    name: str | Path,
    *,
    overrides: Sequence[str] = (),
    device: str = "auto",
    imports: Sequence[str] = (),
) -> Segmenter:
    """A segmenter from the folder of a training run or of one checkpoint.

    `overrides` change how photos are read: `load("runs/mine", overrides=["reading.side=640"])`;
    settings of `reading` and of `similarity`, whose calibration may be changed after training.
    `imports` are modules or files with parts of your own that the checkpoint's recipe uses.
    """
    path = Path(name).expanduser()
    if not path.exists():
        raise ValueError(f"no model at {name}; give the --out folder of `whatwhere train`")
    for module in imports:
        bring(module)
    folder = checkpoints.newest(path)
    stored, said = read_recipe(folder)
    recipe = override(stored, overrides)
    if replace(recipe, reading=stored.reading, similarity=stored.similarity) != stored:
        raise ValueError(
            "after training only settings of reading and similarity can be changed, such as "
            "reading.side=640 or similarity.calibration=centred"
        )
    step = build(recipe, concepts=len(said["concepts"]), pretrained=False)
    checkpoints.read_weights(folder, step)
    return Segmenter(step.model.to(pick_device(device)), recipe.reading)
