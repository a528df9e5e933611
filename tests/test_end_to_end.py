"""The whole way in seconds: photos and captions on disk, training, masks, mIoU above 0.9.

The toy world: two stuffs meet in a picture, each with a colour of its own, side by side or one
above the other. Captions name both and never say where. So whatever is right in a mask has been
learned from captions alone.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from whatwhere.benchmarks import folder
from whatwhere.benchmarks.score import evaluate
from whatwhere.captions.batches import Batching
from whatwhere.concepts.bank import Concepts
from whatwhere.encoders.clip_text import ClipText
from whatwhere.encoders.conv import Conv
from whatwhere.objectives.concept_consistency import ConceptConsistency
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.pooling.patches import PatchPool
from whatwhere.recipes import Recipe
from whatwhere.runs.evaluating import labeller
from whatwhere.runs.loading import load
from whatwhere.runs.training import run_training
from whatwhere.runs.watching import watch_benchmark
from whatwhere.segmenter.reading import Reading
from whatwhere.training import checkpoints
from whatwhere.training.settings import Training

STUFF = {
    "grass": (60, 160, 60),
    "water": (40, 90, 200),
    "sand": (220, 190, 120),
    "brick": (170, 60, 50),
    "snow": (235, 240, 245),
}
SAYINGS = (
    "{0} and {1}",
    "a wide view of {0} beside some {1}",
    "here the {0} meets the {1}",
    "{0} next to a lot of {1}, seen on a day in may",
)
HEIGHT, WIDTH, PATCH = 32, 48, 8
IGNORED = 255


def scene(draw):
    """A picture, the truth with an ignored band where the stuffs meet, and its names."""
    names = [str(name) for name in draw.choice(list(STUFF), 2, replace=False)]
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    place, length = (cols, WIDTH) if draw.random() < 0.5 else (rows, HEIGHT)
    edge = PATCH * int(draw.integers(1, length // PATCH))
    second = (place >= edge).astype(int)
    colours = np.array([STUFF[name] for name in names])
    pixels = colours[second] + draw.normal(0, 12, (HEIGHT, WIDTH, 3))
    truth = np.array([list(STUFF).index(name) for name in names], np.uint8)[second]
    truth[abs(place - edge + 0.5) < PATCH / 2] = IGNORED
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), truth, names


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """captions/ to learn from and labelled/ to be measured on."""
    home = tmp_path_factory.mktemp("world")
    for name in ("captions", "labelled/images", "labelled/masks"):
        (home / name).mkdir(parents=True)
    draw = np.random.default_rng(0)
    for i in range(240):
        picture, _, names = scene(draw)
        picture.save(home / "captions" / f"{i:03d}.png")
        said = [text.format(*names) for text in draw.choice(SAYINGS, 2, replace=False)]
        (home / "captions" / f"{i:03d}.txt").write_text("\n".join(said))
    for i in range(30):
        picture, truth, _ = scene(draw)
        picture.save(home / "labelled" / "images" / f"{i}.png")
        Image.fromarray(truth).save(home / "labelled" / "masks" / f"{i}.png")
    (home / "labelled" / "classes.json").write_text(json.dumps(list(STUFF)))
    return home


MAXIMUM = Recipe(
    image=Conv(width=32, stride=PATCH, blocks=1),
    text=ClipText(width=32, layers=1, heads=2, context=20),
    pool=PatchPool(how="max"),
    objectives=(Contrastive(),),
    batching=Batching(batch=32, size=(HEIGHT, WIDTH), crop=(1.0, 1.0)),
    training=Training(steps=120, lr=3e-3, weight_decay=0.0, device="cpu"),
    reading=Reading(side=0, window=0, prompts="name"),
)
CONCEPTS = replace(
    MAXIMUM,
    objectives=(Contrastive(), ConceptConsistency(weight=1.0)),
    concepts=Concepts(least=5, most=10),
)


@pytest.mark.parametrize("recipe", [MAXIMUM, CONCEPTS], ids=["maximum", "concepts"])
def test_captions_alone_teach_what_is_where(world, tmp_path, recipe):
    benchmark = folder.load(str(world / "labelled"))
    assert any((item.labels == IGNORED).any() for item in benchmark.items())
    seen = {}

    def watch(segment, done):
        seen[done] = watch_benchmark(benchmark, None)(segment, done)["miou"]
        return {}

    run_training(recipe, captions=str(world / "captions"), out=tmp_path / "run", watch=watch)
    scores = evaluate(labeller(load(tmp_path / "run"), benchmark), benchmark, progress=False)
    assert seen[0] < 50 < 90 < 100 * scores.miou
    assert seen[recipe.training.steps] == pytest.approx(100 * scores.miou)
    if recipe.concepts is not None:
        mined = checkpoints.read_about(checkpoints.newest(tmp_path / "run"))["concepts"]
        assert set(STUFF) <= set(mined)
