"""GroupViT's released files and Hugging Face's folders: the same features, both ways."""

import json
import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.testing import assert_close
from transformers import GroupViTConfig, GroupViTModel
from transformers import logging as transformers_logging

from whatwhere import released
from whatwhere.encoders.tower import STATISTICS
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.objectives.multi_label import MultiLabel
from whatwhere.recipes import load, override
from whatwhere.released import groupvit, groupvit_hf
from whatwhere.runs.exporting import export
from whatwhere.runs.loading import about, build, restore
from whatwhere.runs.loading import load as open_model
from whatwhere.training import checkpoints

VOCABULARY = 49408  # our tokenizer's
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "max_position_embeddings": 12,
}
VISION = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "depths": [2, 1, 1],
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 48,
    "patch_size": 16,
    "num_group_tokens": [6, 5, 0],
    "num_output_groups": [6, 5, 0],
}
SMALL = (
    "image.width=128",
    "image.size=48",
    "pool.depths=(2,1,1)",
    "pool.heads=(2,2,2)",
    "pool.tokens=(6,7)",
    "pool.groups=(4,3)",
    "pool.head=(40,24)",
    "text.width=64",
    "text.layers=2",
    "text.heads=1",
    "text.context=12",
    "text.hidden=56",
)


FOR_TRANSFORMERS = ("pool.groups=(6,3)", "text.hidden=40")


@pytest.fixture(scope="module")
def theirs():
    """Every number at random, so that none is where it would not be missed."""
    transformers_logging.set_verbosity_error()
    torch.manual_seed(0)
    config = GroupViTConfig(
        text_config=TEXT, vision_config=VISION, projection_dim=24, projection_intermediate_dim=40
    )
    model = GroupViTModel(config).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith(("running_var", "norm.weight")) or "layernorm.weight" in name:
                tensor.uniform_(0.5, 1.5)
            elif tensor.is_floating_point() and tensor.ndim:
                tensor.normal_(std=0.1)
    return model


@pytest.fixture(scope="module")
def folder(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("released") / "groupvit"
    theirs.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def restored(folder):
    return restore(folder)


def small():
    return build(override(load("groupvit"), SMALL), pretrained=False)


def normal(images):
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in STATISTICS["imagenet"])
    return (images - mean) / std


def test_a_folder_of_transformers_is_the_model_that_it_was(theirs, restored):
    model: Any = restored.step.model.eval()
    images = torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        vision = theirs.vision_model(normal(images), output_attentions=True)
        pooled = theirs.visual_projection(vision.pooler_output)
        regions = theirs.visual_projection(vision.last_hidden_state.flatten(0, 1))
        found = model.pool(model.image_encoder(images))
    assert_close(found.image, pooled, rtol=1e-4, atol=1e-5)
    assert_close(found.regions.flatten(0, 1), regions, rtol=1e-4, atol=1e-5)
    first, second = (soft for soft in vision.attentions if soft is not None)
    assert_close(found.where, second @ first, rtol=1e-4, atol=1e-5)
    tokens = model.text_encoder.tokenizer(["two dogs", "a cat on the red sofa"])
    with torch.no_grad():
        text = theirs.text_model(tokens.ids, tokens.mask.long()).pooler_output
        expected = F.normalize(theirs.text_projection(text), dim=-1)
        assert_close(model.encode_texts(tokens).caption, expected, rtol=1e-4, atol=1e-5)
    (contrastive,) = restored.step.objective.parts
    assert contrastive.logit_scale.item() == pytest.approx(theirs.logit_scale.item())


def test_its_recipe_follows_from_its_shapes(restored):
    recipe, shipped = restored.recipe, load("groupvit-redcaps")
    given = [*SMALL, "pool.tokens=(6,5)", "pool.groups=(6,5)", "text.hidden=40"]
    expected = override(shipped, given)
    assert (recipe.image, recipe.pool, recipe.text) == (
        expected.image,
        expected.pool,
        expected.text,
    )
    assert recipe.objectives == (Contrastive(),)
    assert recipe.reading == shipped.reading


@pytest.mark.parametrize("overrides", [[], ["reading=whatwhere.recipes.groupvit:voc"]])
def test_regions_are_named_at_the_scale_that_training_learned(folder, overrides):
    asked: Any = open_model(folder, overrides=overrides).reading
    assert asked.regions.scale == pytest.approx(1 / 0.07, rel=1e-3)
    told: Any = open_model(folder, overrides=[*overrides, "reading.regions.scale=7"]).reading
    assert told.regions.scale == 7


def test_a_folder_says_how_groups_are_averaged_and_refuses_what_nobody_knows(
    theirs, folder, tmp_path
):
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())

    def written(**changed):
        config = theirs.config.to_dict()
        config["vision_config"] |= changed
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    other = GroupViTModel.from_pretrained(written(assign_eps=1e-6)).eval()
    model: Any = restore(tmp_path).step.model.eval()
    images = torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        expected = other.visual_projection(other.vision_model(normal(images)).pooler_output)
        found = model.pool(model.image_encoder(images)).image
    assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for changed in ({"assign_eps": 0.5}, {"hidden_act": "relu"}):
        with pytest.raises(ValueError, match=r"config\.json: vision_config\.\w+ is"):
            restore(written(**changed))


def test_a_folder_says_how_many_attention_heads_there_are(theirs, folder, tmp_path):
    """The tensors have the same shapes with any number of heads, and other meanings."""
    config = theirs.config.to_dict()
    config["vision_config"]["num_attention_heads"] = 4
    config["text_config"]["num_attention_heads"] = 2
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    other = GroupViTModel.from_pretrained(tmp_path).eval()
    images = torch.rand(2, 3, 48, 48)
    model: Any = restore(tmp_path).step.model.eval()
    tokens = model.text_encoder.tokenizer(["two dogs"])
    with torch.no_grad():
        pooled = other.visual_projection(other.vision_model(normal(images)).pooler_output)
        assert_close(model.pool(model.image_encoder(images)).image, pooled, rtol=1e-4, atol=1e-5)
        text = other.text_model(tokens.ids, tokens.mask.long()).pooler_output
        expected = F.normalize(other.text_projection(text), dim=-1)
        assert_close(model.encode_texts(tokens).caption, expected, rtol=1e-4, atol=1e-5)


def test_a_folder_written_for_transformers_is_read_by_it(theirs, restored, tmp_path):
    state = groupvit_hf.written(restored.step, restored.recipe)
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(theirs.config.to_dict()))
    read: Any = GroupViTModel.from_pretrained(tmp_path, output_loading_info=True)
    back, told = read
    assert not told["missing_keys"] and not told["unexpected_keys"]
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    "settings",
    [[], ["pool.heads=(4,4,4)", "text.heads=2"], ["pool.average=true"]],
    ids=["as published", "other heads", "true mean"],
)
def test_a_model_of_ours_is_a_folder_that_transformers_opens(tmp_path, settings):
    """Also one whose last stage of groups has fewer of them than group tokens."""
    recipe = override(load("groupvit"), [*SMALL, *FOR_TRANSFORMERS, *settings])
    step = build(recipe, pretrained=False)
    with torch.no_grad():
        for weight in step.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.05)
    checkpoints.save(tmp_path / "run", 1, step, None, about(recipe, []))
    export(tmp_path / "run", tmp_path / "folder", layout="groupvit_hf")
    opened: Any = GroupViTModel.from_pretrained(tmp_path / "folder", output_loading_info=True)
    theirs, told = opened
    assert not any(told.values()), told

    model: Any = step.model.eval()
    images = torch.rand(2, 3, 48, 48)
    tokens = model.text_encoder.tokenizer(["two dogs", "a cat on the red sofa"])
    with torch.no_grad():
        found = theirs.eval()(tokens.ids, normal(images), tokens.mask.long())
        image, caption = model.encode_images(images).image, model.encode_texts(tokens).caption
    assert_close(found.image_embeds, image, rtol=0, atol=1e-5)
    assert_close(found.text_embeds, caption, rtol=0, atol=1e-5)

    back = restore(tmp_path / "folder")
    assert (back.recipe.pool, back.recipe.text) == (recipe.pool, recipe.text)
    own, read = step.model.state_dict(), back.step.model.state_dict()
    assert own.keys() == read.keys() and all(torch.equal(read[name], own[name]) for name in own)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("image.norm=False", "image.norm as False"),
        ("pool.looks=False", "pool.looks as False"),
        ("pool.groups=(4,3)", "pool.groups, but for the last, as (4,)"),
        ("text.hidden=56", "text.hidden as 56"),
        ("image=whatwhere.encoders.conv:Conv", "holds PatchEmbedding as image"),
    ],
)
def test_what_transformers_cannot_build_is_no_folder(setting, said):
    recipe = override(load("groupvit"), [*SMALL, *FOR_TRANSFORMERS, setting])
    with pytest.raises(ValueError, match=re.escape(said)):
        groupvit_hf.config_of(recipe)


def test_a_released_file_is_the_same_model_again(tmp_path):
    step = small()
    recipe = override(load("groupvit"), SMALL)
    with torch.no_grad():
        for weight in step.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.01)
    state = groupvit.written(step, recipe)
    torch.save({"model": state, "epoch": 29}, tmp_path / "mine.pth")
    found = restore(tmp_path / "mine.pth")
    assert found.recipe.objectives == (Contrastive(), MultiLabel())
    assert (found.recipe.pool, found.recipe.text) == (recipe.pool, recipe.text)
    own, read = step.state_dict(), found.step.state_dict()
    assert own.keys() == read.keys()
    assert all(torch.equal(read[name], own[name]) for name in own)


def test_the_shipped_model_is_told_by_its_shapes_and_has_the_released_names():
    recipe = load("groupvit")
    with torch.device("meta"):
        step = build(recipe, pretrained=False)
        found = groupvit.tensors(step)
        names = groupvit_hf.tensors(step)
        theirs = GroupViTModel(GroupViTConfig()).state_dict()
    for name, shape in {
        "img_encoder.pos_embed": (1, 196, 384),
        "img_encoder.layers.0.blocks.5.attn.qkv.weight": (1152, 384),
        "img_encoder.layers.1.group_projector.1.fc2.weight": (8, 192),
        "img_encoder.layers.1.downsample.mlp_inter.fc1.weight": (192, 8),
        "img_projector.linear_hidden.0.weight": (4096, 384, 1),
        "text_projector.linear_out.weight": (256, 4096, 1),
        "multi_label_logit_scale": (),
    }.items():
        assert tuple(found[name].shape) == shape, name
    assert names.keys() == theirs.keys() - groupvit_hf.NOT_NEEDED
    for name, tensor in names.items():
        assert tensor.shape == theirs[name].shape, name


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (
            "img_projector.linear_out.weight",
            "the tensor img_projector.linear_out.weight is missing",
        ),
        ("img_encoder.layers.0.downsample.assign.k_proj.bias", "lacks 1 tensors"),
        ("img_encoder.patch_embed.proj.weight", "is in no layout that is known here"),
    ],
)
def test_missing_tensors_are_named(tmp_path, gone, said):
    state = groupvit.written(small(), override(load("groupvit"), SMALL))
    del state[gone]
    save_file(state, tmp_path / "changed.safetensors")
    with pytest.raises(ValueError, match=re.escape(said)):
        restore(tmp_path / "changed.safetensors")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("image=whatwhere.encoders.conv:Conv", "holds PatchEmbedding as image"),
        ("pool=whatwhere.pooling.patches:PatchPool", "holds Groups as pool"),
        ("pool.head=none", "a projection of two layers on both sides"),
        ("text.hidden=0", "a projection of two layers on both sides"),
    ],
)
@pytest.mark.parametrize("layout", [groupvit, groupvit_hf])
def test_a_file_is_not_read_into_other_parts(tmp_path, layout, setting, said):
    state = layout.written(small(), override(load("groupvit"), SMALL))
    save_file(state, tmp_path / "whole.safetensors")
    with pytest.raises(ValueError, match=f"{said}.*leave the parts"):
        restore(tmp_path / "whole.safetensors", overrides=[setting])


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("pool.average=true", "cannot say pool.average=true; it would be read as shrunk"),
        ("image.places=waves", "cannot say image.places=waves"),
        ("pool.heads=(1,1,1)", "cannot say pool.heads=(1, 1, 1)"),
        ("text.hidden=0", "a projection of two layers on both sides"),
        ("image=whatwhere.encoders.conv:Conv", "holds PatchEmbedding as image"),
    ],
)
def test_what_the_layout_cannot_hold_is_refused(setting, said):
    recipe = override(load("groupvit"), [*SMALL, setting])
    with pytest.raises(ValueError, match=re.escape(said)):
        groupvit.written(build(recipe, pretrained=False), recipe)


def test_layouts_do_not_take_each_other_for_their_own(folder):
    assert {"groupvit", "groupvit_hf", "simzss"} <= set(released.layouts())
    state = released.read(folder).state
    assert [name for name in released.layouts() if released.layout(name).recognises(state)] == [
        "groupvit_hf"
    ]
