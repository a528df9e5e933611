"""timm models as encoders: released numbers, prefixes, sizes, injection, local weights."""

from dataclasses import replace
from typing import Any

import huggingface_hub.constants
import pytest
import timm
import torch
from golden import Golden
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch.testing import assert_close

from whatwhere.encoders.timm_model import Timm, Vit, tower
from whatwhere.encoders.tower import STATISTICS
from whatwhere.heads.denoise import DenoiseHead
from whatwhere.model import Model
from whatwhere.pooling.patches import PatchPool
from whatwhere.records import ImageEncoder, Sizes


def vit(**settings) -> VisionTransformer:
    """A ViT of any size; the configuration is what timm would have put there."""
    mean, std = STATISTICS["clip"]
    model: Any = VisionTransformer(num_classes=0, dynamic_img_size=True, **settings)
    side = settings["img_size"]
    model.pretrained_cfg = {"mean": mean, "std": std, "input_size": (3, side, side)}
    return model.eval()


@pytest.fixture
def small():
    torch.manual_seed(0)
    return vit(img_size=20, patch_size=4, embed_dim=24, depth=3, num_heads=2, reg_tokens=2)


def as_pixels(normalized: torch.Tensor) -> torch.Tensor:
    """Undoes the normalisation that the encoder will do."""
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in STATISTICS["clip"])
    return normalized * std + mean


def close(found: torch.Tensor, expected: torch.Tensor, *, atol: float) -> None:
    assert_close(found, expected, rtol=1e-4, atol=atol)


def test_golden_simzss_vision():
    golden = Golden("simzss_vision")
    state, facts = golden.under("param.vit.model."), golden.metadata
    own = {k.removeprefix("param."): golden[k] for k in golden.tensors if k.startswith("param.")}
    own = {key: value for key, value in own.items() if not key.startswith("vit.")}
    patch, width = int(facts["patch"]), state["pos_embed"].shape[2]
    native = round(state["pos_embed"].shape[1] ** 0.5)
    model = vit(
        img_size=native * patch,
        patch_size=patch,
        embed_dim=width,
        depth=int(facts["depth"]),
        num_heads=int(facts["heads"]),
        reg_tokens=int(facts["registers"]),
        no_embed_class=True,
        init_values=1.0,
    )
    model.load_state_dict(state)
    head = DenoiseHead(width, round(own["pos_embed"].shape[1] ** 0.5))
    head.load_state_dict(own)
    encoder, mean = tower(model), tower(model, whole="mean")
    whole = Model(encoder, head, PatchPool("cls"), None, None)
    for suffix in ("", "_rect"):
        images = as_pixels(golden["image" + suffix])
        found = encoder(images)
        close(found.patches, golden["patch_plain" + suffix], atol=1e-5)
        close(found.cls, golden["cls" + suffix], atol=1e-5)
        close(head(mean(images)).cls, golden["cls_gap" + suffix], atol=1e-5)
        close(whole.features(images).patches, golden["patch_denoised" + suffix], atol=1e-5)
        encoded = whole.encode_images(images)
        close(encoded.image, golden["x_clstoken" + suffix], atol=1e-5)
        close(encoded.regions, golden["x_patchtokens" + suffix], atol=1e-5)
    golden.all_compared()


def test_golden_clippy_image_tokens():
    golden = Golden(
        "clippy",
        excused={
            "sd.text.*": "text, compared in test_hf_text",
            "sd.logit_scale": "an objective's",
            "txt.*": "text, compared in test_hf_text",
            "img.embed*": "pooling",
            "infer.*": "other sizes, compared in test_positions, and pooling",
            "native*": "the next test",
            "loss.*": "objectives",
            "lr.*": "training",
            "dense.*": "similarity",
            "voc.*": "benchmarks",
            "metric.*": "benchmarks",
            "zs.*": "benchmarks",
            "pdrop.*": "compared in test_patch_drop",
        },
    )
    state, sizes = golden.under("sd.visual.trunk."), golden.config
    encoder: Any = tower(
        vit(
            img_size=sizes["img"],
            patch_size=sizes["patch"],
            embed_dim=sizes["width"],
            depth=sizes["depth"],
            num_heads=sizes["heads"],
        )
    )
    encoder.trunk.trunk.model.load_state_dict(state)
    found = encoder(as_pixels(golden["img.input"]))
    tokens = torch.cat([found.cls[:, None], found.patches.flatten(1, 2)], dim=1)
    close(tokens, golden["img.tokens"], atol=2e-5)
    unit = torch.nn.functional.normalize(tokens, dim=-1)
    close(unit, golden["img.tokens_norm"], atol=2e-5)
    golden.all_compared()


def test_golden_clippy_native_baseline():
    """CLIP's own ViT, as timm converts it: what is pooled goes through a norm and a projection."""
    others = ("sd", "txt", "infer", "loss", "lr", "dense", "voc", "metric", "zs", "pdrop")
    excused = dict.fromkeys([f"{name}.*" for name in others], "not of the baseline")
    golden = Golden("clippy", excused | {"img.tokens*": "not of it", "img.embed*": "not of it"})
    given = golden.under("native_sd.")
    side, patch = golden.config["img"], golden.config["patch"]
    width = given["proj"].shape[0]
    model: Any = timm.create_model(
        "vit_base_patch16_clip_224",
        dynamic_img_size=True,
        img_size=side,
        patch_size=patch,
        embed_dim=width,
        depth=1 + max(int(name.split(".")[2]) for name in given if ".resblocks." in name),
        num_heads=width // 16,
        num_classes=given["proj"].shape[1],
    )
    state = {f"visual.{name}": tensor for name, tensor in given.items()}
    model.load_state_dict(checkpoint_filter_fn(state, model))
    norm, project = model.norm, model.head
    found = tower(model, norm=False, statistics="clip")(as_pixels(golden["img.input"]))
    for name, how in (("cls", "cls"), ("gap", "mean"), ("gmp", "max")):
        pooled = PatchPool(how, with_cls=True)(found)
        close(project(norm(pooled.image)), golden[f"native.{name}"], atol=1e-5)
    golden.all_compared()


@pytest.mark.parametrize(
    ("name", "layer", "patch", "width", "has_cls"),
    [
        ("vit_tiny_patch16_224", -1, 16, 192, True),
        ("vit_tiny_patch16_224", 1, 16, 192, True),
        ("test_vit2", -1, 16, 64, False),
        ("vit_small_patch16_dinov3", 0, 16, 384, True),
        ("mobilenetv4_conv_small", 3, 16, 96, False),
        ("convnext_atto", -1, 32, 320, False),
    ],
)
def test_families_declare_what_they_give(name, layer, patch, width, has_cls):
    encoder = Timm(name, layer=layer).build(Sizes(pretrained=False))
    assert isinstance(encoder, ImageEncoder)
    assert (encoder.patch, encoder.width) == (patch, width)
    found = encoder.train()(torch.rand(2, 3, 64, 96))
    assert found.patches.shape == (2, *encoder.grid(64, 96), width)
    assert (found.cls is not None) == has_cls
    assert found.patches.grad_fn is None


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "convnext_atto"])
def test_the_mean_of_the_patches_may_stand_for_the_picture(name):
    torch.manual_seed(0)
    encoder = Timm(name, whole="mean").build(Sizes(pretrained=False))
    found = encoder(torch.rand(2, 3, 64, 96))
    assert_close(
        found.cls, found.patches.flatten(1, 2).sum(dim=1) / found.patches[0, ..., 0].numel()
    )


def test_an_early_layer_is_the_same_network_cut_there(small):
    images = torch.rand(2, 3, 12, 16)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in STATISTICS["clip"])
    for norm in (True, False):
        (expected,) = small.forward_intermediates(
            (images - mean) / std, indices=[1], norm=norm, intermediates_only=True
        )
        state = small.state_dict()
        model = vit(img_size=20, patch_size=4, embed_dim=24, depth=3, num_heads=2, reg_tokens=2)
        model.load_state_dict(state)
        found = tower(model, layer=1, norm=norm)(images)
        assert_close(found.patches, expected.permute(0, 2, 3, 1))


def test_nothing_is_left_untrained_when_an_early_layer_is_trained(small):
    encoder = tower(small, layer=1, frozen=False).train()
    found = encoder(torch.rand(2, 3, 12, 16))
    (found.patches.sum() + found.cls.sum()).backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_injected_tokens_change_patches_keep_the_grid_and_learn(small):
    encoder = tower(small)
    images = torch.rand(2, 3, 12, 16)
    plain = encoder(images)
    for layer in range(3):
        tokens = torch.randn(2, 5, 24, requires_grad=True)
        found = encoder(images, {layer: tokens})
        assert found.patches.shape == plain.patches.shape
        assert not torch.allclose(found.patches, plain.patches)
        assert not torch.allclose(found.cls, plain.cls)
        # The last norm makes plain sums constant, so weigh at random.
        weighted = (found.patches * torch.randn_like(found.patches)).sum()
        assert torch.autograd.grad(weighted, tokens)[0].abs().amax(dim=(1, 2)).min() > 0


def test_later_injected_tokens_replace_earlier_ones(small):
    encoder, lengths = tower(small), []
    for block in small.blocks:
        block.register_forward_pre_hook(lambda _, given: lengths.append(given[0].shape[1]))
    encoder(torch.rand(2, 3, 12, 16), {0: torch.randn(2, 5, 24), 2: torch.randn(2, 4, 24)})
    own = 1 + 2 + 3 * 4
    assert lengths == [own + 5, own + 5, own + 4]


def test_injecting_elsewhere_is_refused_with_a_reason(small):
    with pytest.raises(ValueError, match="0 to 2"):
        tower(small)(torch.rand(2, 3, 12, 16), {7: torch.randn(2, 5, 24)})
    with pytest.raises(ValueError, match="ConvNeXt has no plain token sequence"):
        Timm("convnext_atto").build(Sizes(pretrained=False))(
            torch.rand(2, 3, 32, 64), {0: torch.randn(2, 5, 320)}
        )


def test_wrong_sizes_are_an_error_that_names_a_right_one(small):
    with pytest.raises(ValueError, match="use 12x16"):
        tower(small)(torch.rand(2, 3, 13, 17))
    fixed = Timm("beit_base_patch16_224", layer=0).build(Sizes(pretrained=False))
    with pytest.raises(ValueError, match="use 224x224"):
        fixed(torch.rand(2, 3, 64, 96))
    with pytest.raises(ValueError, match="use 224"):
        Timm("beit_base_patch16_224", layer=0, size=448).build(Sizes(pretrained=False))


def test_an_unknown_name_is_an_error_that_names_near_ones():
    with pytest.raises(ValueError, match="vit_tiny_patch16_224"):
        Timm("vit_tiny_patch16_225").build(Sizes(pretrained=False))


def test_a_layer_that_is_not_there_is_an_error(small):
    with pytest.raises(ValueError, match="0 to 2"):
        tower(small, layer=3)


def test_weights_come_from_a_local_file_or_folder(tmp_path):
    torch.manual_seed(0)
    source = timm.create_model("test_vit2", num_classes=5).state_dict()
    source = {k: v.clone().half() for k, v in source.items()}
    save_file(source, tmp_path / "model.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in source.items()}}, tmp_path / "a.pth")
    for path in (tmp_path, tmp_path / "model.safetensors", tmp_path / "a.pth"):
        loaded: Any = Timm("test_vit2", weights=str(path)).build(Sizes())
        for key, value in loaded.trunk.trunk.model.state_dict().items():
            assert torch.equal(value, source[key].float())
    with pytest.raises(ValueError, match="choose the name"):
        Timm("test_vit3", weights=str(tmp_path)).build(Sizes())
    with pytest.raises(ValueError, match="no weights at"):
        Timm("test_vit2", weights="missing.pth").build(Sizes())
    Timm("test_vit2", weights="missing.pth").build(Sizes(pretrained=False))


def test_dino_as_transformers_has_it_gives_what_transformers_gives(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    theirs = transformers.ViTModel(
        transformers.ViTConfig(
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=3,
            intermediate_size=96,
            image_size=16,
            patch_size=4,
            layer_norm_eps=1e-6,
            hidden_act="gelu",
        )
    ).eval()
    for tensor in theirs.parameters():  # biases and positions start at zero
        torch.nn.init.normal_(tensor, std=0.3)
    theirs.save_pretrained(tmp_path)
    vit = Vit(24, 2, 3, 4, 16)
    settings = Timm("vit_base_patch16_224.dino", str(tmp_path), statistics="half", vit=vit)
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        tokens = theirs(pixel_values=2 * images - 1).last_hidden_state
        found = settings.build(Sizes()).eval()(images)
    assert_close(found.cls, tokens[:, 0])
    assert_close(found.patches.flatten(1, 2), tokens[:, 1:])


def test_of_a_whole_dino_checkpoint_the_teacher_is_taken(tmp_path):
    torch.manual_seed(0)
    student, teacher = (timm.create_model("test_vit2", num_classes=0) for _ in range(2))
    saved = {
        side: {f"module.backbone.{k}": v for k, v in model.state_dict().items()}
        | {"module.head.mlp.0.weight": torch.zeros(2, 2)}
        for side, model in (("student", student), ("teacher", teacher))
    }
    torch.save(saved | {"epoch": 3}, tmp_path / "checkpoint.pth")
    loaded: Any = Timm("test_vit2", weights=str(tmp_path / "checkpoint.pth")).build(Sizes())
    for key, value in loaded.trunk.trunk.model.state_dict().items():
        assert torch.equal(value, teacher.state_dict()[key])


def test_without_the_hub_the_error_names_the_local_way(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="weights= the path of a local file"):
        Timm("test_vit2", weights="pretrained").build(Sizes())
    Timm("test_vit2", weights="pretrained").build(Sizes(pretrained=False))


def test_a_vit_may_have_sizes_of_its_own(tmp_path):
    settings = Timm("vit_base_patch16_224.dino", vit=Vit(24, 2, 3, 4, 16), frozen=False)
    encoder: Any = settings.build(Sizes())
    assert (encoder.width, encoder.patch, encoder.size) == (24, 4, 16)
    model = encoder.trunk.model
    assert len(model.blocks) == 2 and model.blocks[0].attn.num_heads == 3
    assert model.pos_embed.shape == (1, 17, 24)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    again: Any = replace(settings, weights=str(tmp_path)).build(Sizes())
    assert torch.equal(again.trunk.model.pos_embed, model.pos_embed)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Timm("vit_tiny_patch16_224", "pretrained", vit=Vit()), "no weights for sizes of your own"),
        (Timm("convnext_atto", vit=Vit(), frozen=False), "which convnext_atto is not"),
        (Timm("test_vit", vit=Vit(heads=5), frozen=False), "does not divide into 5 heads"),
    ],
)
def test_sizes_that_nobody_has_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        settings.build(Sizes())
