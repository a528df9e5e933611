"""CLIPpy's released files, for torch and for Flax: read strictly, written, the same both ways."""

import re
import subprocess
import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close
from transformers import AutoTokenizer, T5Config, T5EncoderModel

import whatwhere
from small_t5 import VOCABULARY, save_tokenizer
from whatwhere import released, weights
from whatwhere.commands import main
from whatwhere.encoders.hf_text import T5
from whatwhere.encoders.timm_model import Vit
from whatwhere.encoders.tower import STATISTICS
from whatwhere.recipes import load, override
from whatwhere.released import clippy, clippy_flax
from whatwhere.runs.loading import build, restore

SHARED, WORDS = clippy.SHARED, f"{clippy.T5_ENCODER}embed_tokens.weight"
SMALL = (
    "image.vit=whatwhere.encoders.timm_model:Vit",
    "image.vit.width=128",
    "image.vit.layers=2",
    "image.vit.heads=2",
    "image.vit.patch=4",
    "image.vit.size=16",
    "image.size=16",
    f"text.t5.vocabulary={VOCABULARY}",
    "text.t5.width=24",
    "text.t5.layers=2",
    "text.t5.heads=3",
    "text.t5.head_width=5",
    "text.t5.hidden=40",
    "text.t5.buckets=8",
)


def a_file():
    """What a file may hold, by the libraries that the released code is made of."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "embed_dim": 128,
        "depth": 2,
        "num_heads": 2,
        "patch_size": 4,
        "img_size": 16,
    }
    vit: Any = timm.create_model("vit_base_patch16_224", num_classes=0, **sizes).eval()
    nn.init.normal_(vit.cls_token, std=0.5)
    config = T5Config(
        vocab_size=VOCABULARY,
        d_model=24,
        num_layers=2,
        num_heads=3,
        d_kv=5,
        d_ff=40,
        relative_attention_num_buckets=8,
    )
    t5: Any = T5EncoderModel(config).eval()
    dense = nn.Linear(24, 128, bias=False)
    state = {
        "logit_scale": torch.tensor(3.7),
        **{f"visual.trunk.{name}": tensor for name, tensor in vit.state_dict().items()},
        **{f"text.0.auto_model.{name}": tensor for name, tensor in t5.state_dict().items()},
        "text.2.linear.weight": dense.weight.detach(),
    }
    state[WORDS] = state[SHARED].clone()
    return state, vit, t5, dense


@pytest.fixture(scope="module")
def made():
    return a_file()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def file(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("released") / "clippy.pt"
    torch.save(made[0], path)
    return path


@pytest.fixture(scope="module")
def restored(file, tokenizer):
    return restore(file, overrides=[f"text.source={tokenizer}"])


@torch.no_grad()
def test_a_released_file_is_the_model_that_it_was(made, restored, tokenizer):
    _, vit, t5, dense = made
    model: Any = restored.step.model.eval()
    images = torch.rand(2, 3, 16, 16)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in STATISTICS["clip"])
    expected = vit.forward_features((images - mean) / std)
    found = model.encode_images(images)
    assert_close(found.image, F.normalize(expected.amax(dim=1), dim=-1))
    assert_close(found.regions, F.normalize(expected[:, 1:], dim=-1))
    assert (expected.argmax(dim=1) == 0).any(), "the class token takes part"
    theirs: Any = AutoTokenizer.from_pretrained(tokenizer)
    texts = ["a red boat", "two trees left of the house"]
    captions = model.encode_texts(model.text_encoder.tokenizer(texts)).caption
    for text, caption in zip(texts, captions, strict=True):
        words = t5(theirs(text, return_tensors="pt").input_ids).last_hidden_state[0]
        assert_close(caption, F.normalize(dense(words.mean(dim=0)), dim=-1))
    assert restored.step.objective.parts[0].logit_scale.item() == pytest.approx(3.7)


def test_its_recipe_follows_from_its_shapes(restored, tokenizer):
    shipped = override(load("clippy"), SMALL)
    expected = replace(
        shipped,
        pool=replace(shipped.pool, with_cls=True),
        text=replace(shipped.text, source=tokenizer),
    )
    assert restored.recipe == expected


@pytest.mark.parametrize(("layout", "with_cls"), [(clippy, True), (clippy_flax, False)])
def test_the_released_sizes_are_told_from_the_shapes(layout, with_cls):
    recipe = load("clippy")
    with torch.device("meta"):
        found = layout.tensors(build(recipe, pretrained=False))
    read = layout.recipe_of(found, {})
    assert read == replace(recipe, pool=replace(recipe.pool, with_cls=with_cls))
    assert read.text.t5 == T5() and read.image.vit is None


def test_the_released_names_and_shapes_are_there():
    with torch.device("meta"):
        step = build(load("clippy"), pretrained=False)
    found = clippy.tensors(step)
    assert sum(name.startswith("visual.trunk.") for name in found) == 150
    first = "text.0.auto_model.encoder.block.0.layer.0.SelfAttention."
    for name, shape in {
        "logit_scale": (),
        "visual.trunk.cls_token": (1, 1, 768),
        "visual.trunk.pos_embed": (1, 197, 768),
        "visual.trunk.patch_embed.proj.weight": (768, 3, 16, 16),
        "visual.trunk.blocks.11.attn.qkv.weight": (2304, 768),
        "visual.trunk.blocks.0.mlp.fc1.weight": (3072, 768),
        "visual.trunk.norm.bias": (768,),
        "text.0.auto_model.shared.weight": (32128, 768),
        "text.0.auto_model.encoder.embed_tokens.weight": (32128, 768),
        f"{first}q.weight": (768, 768),
        f"{first}relative_attention_bias.weight": (32, 12),
        "text.0.auto_model.encoder.block.11.layer.1.DenseReluDense.wi.weight": (3072, 768),
        "text.0.auto_model.encoder.final_layer_norm.weight": (768,),
        "text.2.linear.weight": (768, 768),
    }.items():
        assert tuple(found[name].shape) == shape, name
    tree = clippy_flax.tensors(step)
    assert sum(tensor.numel() for tensor in tree.values()) == 196_017_025
    first = "params/text/transformer/encoder/block/0/layer/0/SelfAttention/"
    for name, shape in {
        "params/logit_scale": (),
        "params/visual/class_embedding": (768,),
        "params/visual/positional_embedding": (197, 768),
        "params/visual/conv1/kernel": (16, 16, 3, 768),
        "params/visual/ln_post/scale": (768,),
        "params/visual/transformer/resblocks.11/ln_1/bias": (768,),
        "params/visual/transformer/resblocks.0/attn/query/kernel": (768, 12, 64),
        "params/visual/transformer/resblocks.0/attn/value/bias": (12, 64),
        "params/visual/transformer/resblocks.0/attn/out/kernel": (12, 64, 768),
        "params/visual/transformer/resblocks.0/mlp/c_fc/kernel": (768, 3072),
        "params/text/transformer/shared/embedding": (32128, 768),
        f"{first}relative_attention_bias/embedding": (32, 12),
        f"{first}q/kernel": (768, 768),
        "params/text/transformer/encoder/block/11/layer/1/DenseReluDense/wo/kernel": (3072, 768),
        "params/text/transformer/encoder/final_layer_norm/weight": (768,),
        "params/text/dense/kernel": (768, 768),
    }.items():
        assert tuple(tree[name].shape) == shape, name


def test_every_wrapping_holds_the_same(made, restored, tmp_path):
    state = made[0]
    inside = {f"module.{name}": tensor for name, tensor in state.items()}
    training = {"epoch": 9, "name": "run", "state_dict": inside, "optimizer": {"state": {}}}
    torch.save(training, tmp_path / "training.pt")
    save_file(state, tmp_path / "bare.safetensors")
    for gone in (SHARED, WORDS):
        one_name = {name: tensor for name, tensor in state.items() if name != gone}
        torch.save(one_name, tmp_path / f"without_{gone}.pt")
    own = restored.step.state_dict()
    for path in sorted(tmp_path.iterdir()):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = restore(path).step.state_dict()
        assert all(torch.equal(found[name], own[name]) for name in own)


def test_a_classifier_of_the_inference_module_is_told_and_left_out(made, tmp_path):
    head = {f"visual.trunk.head.{kind}": torch.zeros(5) for kind in ("weight", "bias")}
    torch.save(made[0] | head, tmp_path / "head.pt")
    with pytest.warns(UserWarning, match=r"2 tensors .* visual\.trunk\.head\.bias, visual\.tr"):
        restore(tmp_path / "head.pt")


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (("visual.trunk.norm.bias", "logit_scale"), "lacks 2 tensors"),
        ((SHARED, WORDS), f"the tensor {WORDS} is missing"),
        (("text.2.linear.weight",), "text.2.linear.weight is missing"),
        (("visual.trunk.cls_token",), "is in no layout that is known here"),
    ],
)
def test_missing_tensors_are_named(made, tmp_path, gone, said):
    state = {name: tensor for name, tensor in made[0].items() if name not in gone}
    torch.save(state, tmp_path / "changed.pt")
    with pytest.raises(ValueError, match=re.escape(said)):
        restore(tmp_path / "changed.pt")


def test_a_file_read_and_written_again_is_the_same(made, restored, tmp_path):
    state = made[0]
    ours = clippy.written(restored.step, restored.recipe)
    assert ours.keys() == state.keys()
    assert all(torch.equal(ours[name], state[name]) for name in state)
    weights.write(ours, tmp_path / "mine.safetensors")
    assert restore(tmp_path / "mine.safetensors").step.state_dict().keys()


@pytest.mark.parametrize("name", ["tree.pt", "tree.safetensors"])
def test_a_flax_tree_is_the_same_weights_again(restored, tmp_path, name):
    with pytest.warns(UserWarning, match=r"does not say pool\.with_cls=True; set it when loading"):
        state = clippy_flax.written(restored.step, restored.recipe)
    weights.write(state, tmp_path / name)
    found = restore(tmp_path / name, overrides=["pool.with_cls=True"])
    assert replace(found.recipe, text=restored.recipe.text) == restored.recipe
    own, read = restored.step.state_dict(), found.step.state_dict()
    assert own.keys() == read.keys()
    assert all(torch.equal(read[key], own[key]) for key in own)


OTHERS = {
    "image=whatwhere.encoders.conv:Conv": "holds Timm as image, and this model has Conv",
    "pool=whatwhere.pooling.groups:Groups": "holds PatchPool as pool",
    "text=whatwhere.encoders.clip_text:ClipText": "holds HuggingFaceText as text",
    "text.head=none": "holds a dense layer behind the text encoder",
}


@pytest.mark.parametrize("setting", OTHERS)
def test_a_file_is_not_read_into_other_parts(file, setting):
    """The command says so in one line; what is no ValueError would end in a traceback."""
    with pytest.raises(ValueError, match=rf"clippy\.pt: .*{OTHERS[setting]}.*leave the parts"):
        restore(file, overrides=[setting])


def test_a_flax_tree_is_not_read_into_other_parts_either(restored, tmp_path):
    with pytest.warns(UserWarning, match=r"does not say pool\.with_cls=True"):
        state = clippy_flax.written(restored.step, restored.recipe)
    weights.write(state, tmp_path / "tree.pt")
    with pytest.raises(ValueError, match="the clippy_flax layout holds Timm as image"):
        restore(tmp_path / "tree.pt", overrides=["image=whatwhere.encoders.conv:Conv"])


def test_a_flax_tree_is_nested_dicts_of_arrays(restored, tmp_path):
    recipe = replace(restored.recipe, pool=replace(restored.recipe.pool, with_cls=False))
    weights.write(clippy_flax.written(restored.step, recipe), tmp_path / "tree.pt")
    tree = torch.load(tmp_path / "tree.pt", weights_only=False)
    assert list(tree) == ["params"] and set(tree["params"]) == {"logit_scale", "text", "visual"}
    kernel = tree["params"]["visual"]["transformer"]["resblocks.1"]["attn"]["query"]["kernel"]
    assert isinstance(kernel, np.ndarray) and kernel.shape == (128, 2, 64)


def test_a_tree_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return subprocess.call, ([sys.executable, "-c", ""],)

    torch.save({"params": {"visual": {"class_embedding": Evil()}}}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="holds no tensors by name"):  # what it calls is no tensor
        released.read(tmp_path / "evil.pt")


def test_layouts_do_not_take_each_other_for_their_own(made, restored):
    for state, name in (
        (made[0], "clippy"),
        (clippy_flax.tensors(restored.step), "clippy_flax"),
    ):
        assert [n for n in released.layouts() if released.layout(n).recognises(state)] == [name]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["image.statistics=model"], "cannot say image.statistics=model; it would be read as clip"),
        (["text.pool=max"], "cannot say text.pool=max"),
        (["image.vit.heads=4"], "cannot say that its ViT has 4 attention heads"),
        (["image.name=vit_medium_patch16_reg4_gap_256", "positions=antialiased"], "has reg_token"),
        (["text.head=none", "image.vit.width=24", "image.vit.heads=1"], "holds a dense layer"),
        (["head=whatwhere.heads.linear:Linear"], "holds Identity as head"),
        (["image=whatwhere.encoders.conv:Conv"], "holds Timm as image"),
        (["similarity=whatwhere.similarity.log_sum_exp:LogSumExp"], "holds plain cosines"),
        (["objectives.contrastive=none"], "the temperature of one contrastive objective"),
    ],
)
def test_what_the_layout_cannot_hold_is_refused(settings, said):
    recipe = override(load("clippy"), [*SMALL, *settings])
    with pytest.raises(ValueError, match=re.escape(said)):
        clippy.written(build(recipe, pretrained=False), recipe)


def test_flax_says_how_many_attention_heads_there_are(tmp_path):
    recipe = override(load("clippy"), [*SMALL, "image.vit.heads=4"])
    weights.write(clippy_flax.written(build(recipe, pretrained=False), recipe), tmp_path / "a.pt")
    assert restore(tmp_path / "a.pt").recipe.image.vit == Vit(128, 2, 4, 4, 16)


def test_the_tokenizer_is_named_when_reading(file, tokenizer, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "nothing"))
    photo = tmp_path / "photo.png"
    Image.fromarray(np.full((16, 24, 3), 99, np.uint8)).save(photo)
    folder = tmp_path / "ours"
    assert main(["export", str(file), "--out", str(folder)]) == 0
    read = ["side=16", "window=16", "stride=8"]
    for model in (file, folder):
        with pytest.raises(ValueError, match=r"text\.source=FOLDER \(its tokenizer is enough"):
            whatwhere.load(model, overrides=read, device="cpu")(photo, "boat, tree")
        segment = whatwhere.load(model, overrides=[*read, f"source={tokenizer}"], device="cpu")
        assert segment(photo, "boat, tree").labels.shape == (16, 24)
    with pytest.raises(ValueError, match="only settings of reading and similarity"):
        whatwhere.load(folder, overrides=["text.context=9"])
