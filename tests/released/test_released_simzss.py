"""SimZSS's released files: read strictly, written to be read there, the same bits both ways."""

import re
import warnings
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from open_clip.transformer import TextTransformer
from safetensors.torch import save_file
from torch.testing import assert_close

from whatwhere import released
from whatwhere.encoders.tower import STATISTICS
from whatwhere.heads.denoise import Denoise
from whatwhere.heads.identity import Identity
from whatwhere.recipes import load, override
from whatwhere.released import simzss
from whatwhere.runs.loading import build, restore

SMALL = ("text.width=64", "text.heads=1", "text.layers=2", "text.context=12")
DENOISED = "head=whatwhere.heads.denoise:Denoise"
TOWER = "vit_small_patch14_reg4_dinov2.lvd142m"


def a_file(width=384):
    """What a file may hold, by the libraries that the released code is made of."""
    torch.manual_seed(0)
    vit = timm.create_model(TOWER, num_classes=0, dynamic_img_size=True).eval()
    text = TextTransformer(context_length=12, width=64, heads=1, layers=2, output_dim=width).eval()
    state = {
        "logit_scale": torch.tensor(3.7),
        "logit_scale_local": torch.tensor([2.659]),
        "beta_ema": torch.tensor(0.0),
        "classification_weights_ema": torch.randn(8, width),
        "visual.pos_embed": torch.randn(1, 37 * 37, 768),
        **{f"visual.vit.model.{k}": v for k, v in vit.state_dict().items()},
        **{f"text.{k}": v for k, v in text.state_dict().items()},
    }
    return state, vit, text


@pytest.fixture(scope="module")
def made():
    return a_file()


@pytest.fixture(scope="module")
def file(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("released") / "small.pt"
    torch.save(made[0], path)
    return path


@pytest.fixture(scope="module")
def restored(file):
    return restore(file)


def test_a_released_file_is_the_model_that_it_was(made, restored):
    _, vit, text = made
    model = restored.step.model.eval()
    images = torch.rand(2, 3, 42, 56)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in STATISTICS["clip"])
    with torch.no_grad():
        expected = vit.forward_features((images - mean) / std)
        found = model.encode_images(images)
    assert_close(found.image, F.normalize(expected[:, 0], dim=-1))
    assert_close(found.regions, F.normalize(expected[:, 5:], dim=-1))
    tokens = model.text_encoder.tokenizer(["two dogs", "a cat on the red sofa"])
    with torch.no_grad():
        assert_close(model.encode_texts(tokens).caption, F.normalize(text(tokens.ids), dim=-1))
    assert restored.step.objective.parts[0].logit_scale.item() == pytest.approx(3.7)


def test_its_recipe_follows_from_its_shapes(restored):
    recipe, shipped = restored.recipe, load("simzss-s")
    assert (recipe.image, recipe.head, recipe.pool) == (shipped.image, Identity(), shipped.pool)
    assert recipe.text == override(shipped, SMALL).text
    assert recipe.reading == shipped.reading


@pytest.mark.parametrize(
    "name",
    [
        "simzss",
        "simzss-b-plain",
        "simzss-s",
        "simzss-l",
        "simzss-l-hybrid",
        "simzss-l-plain",
        "simzss-g",
        "simzss-dino-b16",
        "simzss-dino-b8",
    ],
)
def test_every_shipped_tower_is_told_from_the_others(name):
    recipe = load(name)
    with torch.device("meta"):
        found = simzss.recipe_of(simzss.tensors(build(recipe, concepts=5, pretrained=False)), {})
    assert (found.image, found.head, found.pool) == (recipe.image, recipe.head, recipe.pool)
    assert found.text == recipe.text


def test_the_main_model_has_the_341_tensors_of_the_released_one():
    with torch.device("meta"):
        found = simzss.tensors(build(load("simzss"), concepts=573, pretrained=False))
    assert len(found.keys() | simzss.NOT_NEEDED) == 341
    for name, shape in {
        "logit_scale": (),
        "visual.pos_embed": (1, 1369, 768),
        "visual.denoiser.attn.qkv.weight": (2304, 768),
        "visual.denoiser.mlp.fc1.weight": (3072, 768),
        "visual.denoiser.norm2.bias": (768,),
        "visual.vit.model.cls_token": (1, 1, 768),
        "visual.vit.model.reg_token": (1, 4, 768),
        "visual.vit.model.pos_embed": (1, 1369, 768),
        "visual.vit.model.patch_embed.proj.weight": (768, 3, 14, 14),
        "visual.vit.model.blocks.11.ls2.gamma": (768,),
        "visual.vit.model.norm.weight": (768,),
        "text.text_projection": (512, 768),
        "text.positional_embedding": (77, 512),
        "text.token_embedding.weight": (49408, 512),
        "text.transformer.resblocks.11.attn.in_proj_weight": (1536, 512),
        "text.transformer.resblocks.0.mlp.c_proj.bias": (512,),
        "text.ln_final.bias": (512,),
    }.items():
        assert tuple(found[name].shape) == shape, name


def test_every_wrapping_holds_the_same(made, restored, tmp_path):
    state = made[0]
    inside = {f"module.{name}": tensor for name, tensor in state.items()}
    training = {"epoch": 9, "name": "run", "state_dict": inside, "optimizer": {"state": {}}}
    torch.save(training, tmp_path / "training.pt")
    save_file(state, tmp_path / "bare.safetensors")
    for path in tmp_path.iterdir():
        found = released.read(path)
        assert found.recipe == restored.recipe
        assert found.state.keys() == state.keys()
        assert all(torch.equal(found.state[name], state[name]) for name in state)


@pytest.fixture(scope="module")
def empty(restored):
    """A model of the file's recipe on a device without numbers."""
    with torch.device("meta"):
        return build(restored.recipe, pretrained=False)


def filled(step, state, tmp_path):
    torch.save(state, tmp_path / "changed.pt")
    released.read(tmp_path / "changed.pt").fill(step)


def test_missing_tensors_are_named(made, empty, tmp_path):
    gone = ("visual.vit.model.blocks.3.ls1.gamma", "text.ln_final.bias", "logit_scale")
    state = {name: tensor for name, tensor in made[0].items() if name not in gone}
    with pytest.raises(ValueError, match="lacks 3 tensors: ") as error:
        filled(empty, state, tmp_path)
    assert all(name in str(error.value) for name in gone)


def test_what_is_not_used_is_named_in_one_warning(made, empty, tmp_path):
    state = made[0] | {"text.attn_mask": torch.zeros(2), "visual.extra": torch.zeros(3)}
    with pytest.warns(UserWarning, match=r"2 tensors .* text\.attn_mask, visual\.extra") as told:
        filled(empty, state, tmp_path)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filled(empty, made[0], tmp_path)


def test_tensors_of_another_shape_are_named(made, empty, tmp_path):
    state = made[0] | {"text.ln_final.bias": torch.zeros(63)}
    with pytest.raises(ValueError, match=re.escape("text.ln_final.bias [63] instead of [64]")):
        filled(empty, state, tmp_path)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("visual.vit.model.patch_embed.proj.weight", "patch_embed.proj.weight is missing"),
        ("visual.vit.model.blocks.11.", "of 11 blocks"),
        ("visual.vit.model.reg_token", "and 0 registers"),
        ("text.text_projection", "text.text_projection is missing"),
        ("visual.vit.", "is in no layout that is known here ("),
    ],
)
def test_a_file_without_a_known_tower_is_an_error(made, tmp_path, gone, said):
    state = {name: tensor for name, tensor in made[0].items() if not name.startswith(gone)}
    torch.save(state, tmp_path / "changed.pt")
    with pytest.raises(ValueError, match=re.escape(said)):
        released.read(tmp_path / "changed.pt")


def test_a_file_read_and_written_again_is_the_same(made, restored):
    state, ours = made[0], simzss.written(restored.step, restored.recipe)
    assert ours.keys() == state.keys()
    kept = state.keys() - simzss.NOT_NEEDED
    assert all(torch.equal(ours[name], state[name]) for name in kept)
    assert ours["visual.pos_embed"].shape == state["visual.pos_embed"].shape
    assert ours["logit_scale_local"].item() == pytest.approx(2.659, abs=1e-3)


def test_a_trained_model_written_and_read_again_is_the_same(tmp_path):
    concept = ("concept_consistency.momentum=0.5", "concept_consistency.scale=20.0")
    recipe = override(load("simzss-s"), [*SMALL, DENOISED, *concept])
    step = build(recipe, concepts=7, pretrained=False)
    objective: Any = step.objective
    consistency = objective.parts[1]
    torch.nn.init.normal_(consistency.bank)
    state = simzss.written(step, recipe)
    assert torch.equal(state["classification_weights_ema"][:7], consistency.bank)
    assert len(state["classification_weights_ema"]) == 8 and state["beta_ema"].item() == 0.5
    assert state["logit_scale_local"].exp().item() == pytest.approx(20)
    save_file(state, tmp_path / "mine.safetensors")
    found = restore(tmp_path / "mine.safetensors")
    assert found.recipe.head == Denoise() and found.recipe.concepts is None
    own, read = step.state_dict(), found.step.state_dict()
    assert read.keys() == own.keys() - {"objective.weights.1.bank"}
    assert all(torch.equal(read[name], own[name]) for name in read)


def test_what_a_file_does_not_say_is_told_and_may_be_set(restored, file):
    recipe = override(restored.recipe, ["image.whole=mean"])
    with pytest.warns(UserWarning, match=r"does not say image\.whole=mean; set it when loading"):
        simzss.written(restored.step, recipe)
    assert restore(file, overrides=["image.whole=mean"]).recipe == recipe
    with pytest.raises(ValueError, match="only settings of reading, image, pool and text"):
        restore(file, overrides=["similarity.calibration=centred"])


def test_a_file_is_not_read_into_other_parts(file):
    with pytest.raises(ValueError, match=r"holds Timm as image, .* has Conv.*leave the parts"):
        restore(file, overrides=["image=whatwhere.encoders.conv:Conv"])


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("image.statistics=model", "cannot say image.statistics=model; it would be read as clip"),
        ("pool.how=mean", "cannot say pool.how=mean"),
        ("text.pool=mean", "cannot say text.pool=mean"),
        ("head=whatwhere.heads.whiten:Whiten", "Identity or Denoise as head, and this model has W"),
        ("image=whatwhere.encoders.conv:Conv", "holds Timm as image"),
        ("objectives.contrastive=none", "the temperature of one contrastive objective"),
    ],
)
def test_what_the_layout_cannot_hold_is_refused(restored, setting, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        simzss.written(restored.step, override(restored.recipe, [setting]))
