"""CLIPpy's variants, one for each published comparison, at full size and without numbers."""

import pytest
import torch

from whatwhere.recipes import load, names
from whatwhere.runs.loading import build
from whatwhere.training.schedule import for_data, lr_at, optimizer

# name, pooling, start of the ViT and of the text encoder, what is frozen
TABLE = [
    ("clippy", "max", "dino", "pretrained", ""),
    ("clippy-mean", "mean", "dino", "pretrained", ""),
    ("clippy-cls", "cls", "dino", "pretrained", ""),
    ("clippy-supervised", "max", "deit", "pretrained", ""),
    ("clippy-random-image", "max", "", "pretrained", ""),
    ("clippy-random-text", "max", "dino", "random", ""),
    ("clippy-supervised-random-text", "max", "deit", "random", ""),
    ("clippy-scratch", "max", "", "random", ""),
    ("clippy-scratch-cls", "cls", "", "random", ""),
    ("clippy-frozen-image", "max", "dino", "pretrained", "image"),
    ("clippy-frozen-image-cls", "cls", "dino", "pretrained", "image"),
    ("clippy-frozen-text", "max", "dino", "pretrained", "text"),
    ("clippy-subsampled", "max", "dino", "pretrained", ""),
]


def test_every_variant_is_in_the_table():
    assert {row[0] for row in TABLE} == {name for name in names() if name.startswith("clippy")}


@pytest.mark.parametrize(
    ("name", "how", "image", "text", "frozen"), TABLE, ids=[row[0] for row in TABLE]
)
def test_a_variant_is_what_was_published(name, how, image, text, frozen):
    recipe = load(name)
    assert (recipe.pool.how, recipe.pool.with_cls) == (how, False)
    assert (recipe.image.weights is None) == (image == "")
    assert image in recipe.image.name and recipe.text.start == text
    with torch.device("meta"):
        step = build(recipe, pretrained=False).train()
        side = recipe.batching.size[0]
        seen = step.model.encode_images(torch.zeros(2, 3, side, side))
    assert seen.image.shape == (2, 768)
    assert seen.regions.shape[1] == (156 if name == "clippy-subsampled" else 196)
    still = {n.split(".")[1] for n, weight in step.named_parameters() if not weight.requires_grad}
    assert still == ({f"{frozen}_encoder"} if frozen else set())


@pytest.fixture(scope="module")
def step():
    with torch.device("meta"):
        return build(load("clippy"), pretrained=False)


def test_the_model_has_as_many_weights_as_the_released_one(step):
    count = {
        tower: sum(weight.numel() for weight in getattr(step.model, tower).parameters())
        for tower in ("image_encoder", "text_encoder")
    }
    assert count["image_encoder"] == 85_798_656
    assert sum(count.values()) + 1 == 196_017_025


def test_tables_decay_but_for_that_of_distances(step):
    recipe = load("clippy")
    names = {id(weight): name for name, weight in step.named_parameters()}
    decayed, plain = (
        {names[id(weight)] for weight in group["params"]}
        for group in optimizer(step, recipe.training).param_groups
    )
    for end in ("cls_token", "pos_embed", "embed_tokens.weight", "attn.qkv.weight", "head.weight"):
        assert any(name.endswith(end) for name in decayed), end
    assert all(name.endswith("weight") or "trunk.model." in name for name in decayed)
    for end in ("relative_attention_bias.weight", "logit_scale", "norm1.weight", "qkv.bias"):
        assert any(name.endswith(end) for name in plain), end
    assert not any("norm" in name or name.endswith("bias") for name in decayed)


def test_length_and_rate_are_those_of_the_released_command():
    """On its 10,968,539 pairs; there every epoch is rounded up by the loader, to 43,008 steps."""
    recipe = load("clippy")
    training = for_data(recipe.training, samples=10_968_539, batch=recipe.batching.batch)
    assert training.steps == 42_846
    assert (training.betas, training.eps) == ((0.9, 0.999), 1e-8)
    assert (training.weight_decay, training.clip, training.precision) == (0.2, 0.0, "fp32")
    assert lr_at(4_999, training) == pytest.approx(2.5e-4)
    assert lr_at(9_999, training) == lr_at(10_000, training) == pytest.approx(5e-4)
