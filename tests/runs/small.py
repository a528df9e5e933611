"""Recipes at the size of a unit test: a tenth of a second a run."""

from dataclasses import replace

from safetensors.torch import load_file

from whatwhere.concepts.bank import Concepts
from whatwhere.objectives.concept_consistency import ConceptConsistency
from whatwhere.objectives.concept_presence import ConceptPresence
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.recipes import load, override
from whatwhere.training import checkpoints
from whatwhere.training.logs import read_log

SETTINGS = (
    "captions.count=24",
    "captions.tellings=2",
    "captions.world.height=32",
    "captions.world.width=48",
    "held_out=0.25",
    "batching.batch=4",
    "batching.size=(32, 48)",
    "image.width=16",
    "image.blocks=1",
    "text.width=16",
    "text.layers=1",
    "text.heads=2",
    "text.context=24",
    "training.device=cpu",
    "training.precision=fp32",
    "training.steps=6",
    "training.checkpoint_every=2",
    "training.validate_every=3",
    "training.log_every=1",
)


def small(*settings, concepts=False):
    """The scenes recipe, shrunk; with `concepts` also losses that keep something in each step."""
    recipe = override(load("scenes"), [*SETTINGS, *settings])
    if not concepts:
        return recipe
    losses = (
        Contrastive(),
        ConceptConsistency(weight=1.0, momentum=0.5),
        ConceptPresence(unsaid=True),
    )
    return replace(recipe, objectives=losses, concepts=Concepts(least=1, most=20))


def outcome(run):
    """All that a run leaves that must not depend on interruptions, bit for bit."""
    folder = checkpoints.newest(run)
    weights, moments = (
        {name: tensor.numpy().tobytes() for name, tensor in load_file(folder / file).items()}
        for file in ("model.safetensors", "optimizer.safetensors")
    )
    rows = [row for row in read_log(run / "log.csv") if row[1] != "samples_per_second"]
    return folder.name, weights, moments, rows
