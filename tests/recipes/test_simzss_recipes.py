"""SimZSS's shipped configurations, row by row, at full size and without numbers in the weights."""

import pytest
import torch

from whatwhere.encoders.timm_model import Timm
from whatwhere.heads.denoise import DenoiseHead
from whatwhere.heads.identity import IdentityHead
from whatwhere.recipes import load, names
from whatwhere.runs.loading import build
from whatwhere.training.schedule import for_data

# name, pixels of a picture, rows of patches, width, denoised, whole, text width/heads/layers
TABLE = [
    ("simzss", 224, 16, 768, True, "cls", (512, 8, 12)),
    ("simzss-b-448", 448, 32, 768, True, "cls", (512, 8, 12)),
    ("simzss-b-448-gap", 448, 32, 768, True, "mean", (512, 8, 12)),
    ("simzss-b-plain", 518, 37, 768, False, "cls", (512, 8, 12)),
    ("simzss-s", 224, 16, 384, False, "cls", (384, 6, 12)),
    ("simzss-l", 224, 16, 1024, False, "mean", (768, 12, 12)),
    ("simzss-l-448", 448, 32, 1024, False, "mean", (768, 12, 12)),
    ("simzss-l-hybrid", 224, 16, 1024, False, "cls", (512, 8, 12)),
    ("simzss-l-plain", 224, 16, 1024, False, "cls", (768, 12, 12)),
    ("simzss-l-plain-hybrid", 224, 16, 1024, False, "cls", (512, 8, 12)),
    ("simzss-g", 224, 16, 1536, False, "mean", (1024, 16, 24)),
    ("simzss-dino-b16", 224, 14, 768, False, "cls", (512, 8, 12)),
    ("simzss-dino-b8", 224, 28, 768, False, "cls", (512, 8, 12)),
]


def test_every_variant_is_in_the_table():
    rows = {row[0] for row in TABLE}
    assert rows | {"simzss-web"} == {name for name in names() if name.startswith("simzss")}


@pytest.mark.parametrize(
    ("name", "side", "rows", "width", "denoised", "whole", "text"),
    TABLE,
    ids=[row[0] for row in TABLE],
)
def test_a_shipped_configuration_has_its_sizes(name, side, rows, width, denoised, whole, text):
    recipe = load(name)
    assert recipe.batching.size == (side, side)
    assert recipe.image == Timm(
        recipe.image.name, weights="pretrained", statistics="clip", size=side, whole=whole
    )
    assert (recipe.text.width, recipe.text.heads, recipe.text.layers) == text
    with torch.device("meta"):
        step = build(recipe, concepts=574, pretrained=False)
        seen = step.model.encode_images(torch.zeros(2, 3, side, side))
    assert isinstance(step.model.head, DenoiseHead if denoised else IdentityHead)
    assert seen.grid == (rows, rows)
    assert seen.regions.shape == (2, rows * rows, width) and seen.image.shape == (2, width)
    learning = {name for name, weight in step.named_parameters() if weight.requires_grad}
    kept = [name for name in learning if not name.startswith("model.text_encoder.")]
    assert kept == ["objective.weights.0.logit_scale"]


def test_the_main_model_has_as_many_weights_as_the_released_one():
    with torch.device("meta"):
        weights = list(build(load("simzss"), concepts=574, pretrained=False).parameters())
    learning = sum(weight.numel() for weight in weights if weight.requires_grad)
    assert round(learning / 1e6, 2) == 63.56
    assert round((sum(w.numel() for w in weights) - learning) / 1e6, 2) == 94.72


@pytest.mark.parametrize(
    ("name", "samples", "steps", "lr"),
    [("simzss", 400_000, 245, 1.92e-3), ("simzss-web", 400_000_000, 12_208, 3.84e-3)],
)
def test_the_rate_grows_with_the_batch(name, samples, steps, lr):
    recipe = load(name)
    training = for_data(recipe.training, samples=samples, batch=recipe.batching.batch)
    assert (training.steps, training.lr) == (steps, pytest.approx(lr))
    assert (training.clip, training.weight_decay, training.betas) == (0, 0.2, (0.9, 0.98))
