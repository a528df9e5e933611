"""GroupViT's published sizes, training settings and the manner of every benchmark."""

from typing import Any

import pytest
import torch

from whatwhere.concepts.prompts import Prompts
from whatwhere.recipes import groupvit, load, override
from whatwhere.runs.loading import build
from whatwhere.segmenter.reading import Background, Reading, Regions
from whatwhere.training.schedule import for_data


def count(module):
    return sum(weight.numel() for weight in module.parameters())


def build_of(name):
    with torch.device("meta"):
        return build(load(name), pretrained=False)


def test_the_model_has_as_many_weights_as_the_released_one():
    step = build_of("groupvit")
    model: Any = step.model
    heads = count(model.pool.head), count(model.text_encoder.head)
    assert heads == (2_633_984, 2_109_696)
    assert count(model.image_encoder) + count(model.pool) - heads[0] == 28_837_136
    assert count(model.text_encoder) - heads[1] == 22_145_792
    assert count(step) == 55_726_610
    assert count(build_of("groupvit-redcaps")) == 55_726_609, "one temperature less"


@pytest.mark.parametrize("name", ["groupvit", "groupvit-redcaps"])
def test_the_rate_and_the_length_are_published(name):
    recipe = load(name)
    training = for_data(recipe.training, samples=28_663_093, batch=4096)
    assert (training.lr, training.steps) == (pytest.approx(1.6e-3), 209_935)
    assert for_data(recipe.training, samples=10**6, batch=1024).lr == pytest.approx(4e-4)
    assert int(training.warmup * training.steps) == pytest.approx(2 * training.steps / 30, abs=1)
    assert (training.clip, training.weight_decay, training.betas) == (5.0, 0.05, (0.9, 0.999))


# name, short side, window, stride, threshold of the background
TABLE = [
    ("voc", 448, 448, 224, 0.95),
    ("context", 448, 448, 224, 0.35),
    ("coco_object", 448, 448, 224, 0.95),
    ("imagenet_s_50", 448, 448, 224, 0.95),
    ("imagenet_s_300", 448, 448, 224, 0.75),
    ("cityscapes", 1024, 448, 224, None),
    ("ade20k", 512, 224, 112, None),
    ("coco_stuff", 512, 224, 112, None),
]


@pytest.mark.parametrize(("name", "side", "window", "stride", "threshold"), TABLE)
def test_every_benchmark_is_read_as_published(name, side, window, stride, threshold):
    reading = override(load("scenes"), [f"reading=whatwhere.recipes.groupvit:{name}"]).reading
    assert (reading.side, reading.long, reading.window, reading.stride) == (
        side,
        2048,
        window,
        stride,
    )
    assert reading.background == (
        Background() if threshold is None else Background("region", threshold)
    )
    assert reading.regions == Regions(scale=None, keep=5) and reading.resize == "bilinear"
    assert Prompts(reading.prompts)("aeroplane") == ["a photo of a aeroplane."]


def test_every_benchmark_is_in_the_table():
    found = [name for name, value in vars(groupvit).items() if isinstance(value, Reading)]
    assert [row[0] for row in TABLE] == found
