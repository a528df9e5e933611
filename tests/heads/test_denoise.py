"""DVT's denoiser: released numbers, an independent reference, files, and what it leaves alone."""

from typing import Any

import pytest
import torch
from golden import Golden
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from whatwhere.heads.denoise import Denoise, DenoiseHead
from whatwhere.records import ImageFeatures, Sizes

WIDTH, GRID = 128, 5


def a_head(seed=0):
    torch.manual_seed(seed)
    head = Denoise(weights="random", grid=GRID).build(Sizes(WIDTH, WIDTH))
    for weight in head.parameters():
        nn.init.normal_(weight, std=0.2)
    return head


def test_golden_simzss_denoiser():
    golden = Golden("simzss_denoiser")
    state = golden.under("param.")
    places, width = state["pos_embed"].shape[1:]
    head = DenoiseHead(width, round(places**0.5))
    head.load_state_dict(state)
    for suffix in ("", "_native"):
        found = head(ImageFeatures(golden["x" + suffix])).patches
        assert_close(found, golden["out" + suffix], rtol=1e-4, atol=1e-5)
    golden.all_compared()


def test_it_is_a_pre_norm_transformer_layer_on_patches_with_their_places():
    head = a_head()
    reference = nn.TransformerEncoderLayer(
        WIDTH, 2, 4 * WIDTH, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    )
    block: Any = head.denoiser
    for ours, theirs in (
        (block.attn.proj, reference.self_attn.out_proj),
        (block.norm1, reference.norm1),
        (block.norm2, reference.norm2),
        (block.mlp.fc1, reference.linear1),
        (block.mlp.fc2, reference.linear2),
    ):
        theirs.load_state_dict(ours.state_dict())
    reference.self_attn.in_proj_weight.data = block.attn.qkv.weight
    reference.self_attn.in_proj_bias.data = block.attn.qkv.bias
    patches = torch.randn(2, GRID, GRID, WIDTH)
    expected = reference(patches.flatten(1, 2) + head.pos_embed)
    assert_close(head(ImageFeatures(patches)).patches.flatten(1, 2), expected)


def test_rows_and_columns_have_their_own_places():
    head = a_head()
    patches = torch.randn(2, 3, 7, WIDTH)
    with torch.no_grad():
        table = head.pos_embed.unflatten(1, (GRID, GRID))
        turned = a_head()
        turned.pos_embed.copy_(table.transpose(1, 2).flatten(1, 2))
    found = turned(ImageFeatures(patches.transpose(1, 2))).patches.transpose(1, 2)
    assert_close(head(ImageFeatures(patches)).patches, found)


def test_the_class_token_is_left_alone():
    cls = torch.randn(2, WIDTH)
    features = ImageFeatures(torch.randn(2, 3, 4, WIDTH), cls)
    assert a_head()(features).cls is cls
    assert a_head()(ImageFeatures(features.patches)).cls is None


def test_it_learns_nothing_and_lets_gradient_through():
    head = a_head()
    assert not any(weight.requires_grad for weight in head.parameters())
    patches = torch.randn(2, 3, 4, WIDTH, requires_grad=True)
    head(ImageFeatures(patches)).patches.square().sum().backward()
    assert patches.grad is not None and patches.grad.abs().sum() > 0


def loaded(path):
    return Denoise(weights=str(path), grid=GRID).build(Sizes(WIDTH, WIDTH)).state_dict()


def test_weights_come_from_dvts_file_or_a_released_model(tmp_path):
    state = a_head().state_dict()
    torch.save({"denoiser": state, "epoch": 3}, tmp_path / "dvt.pth")
    torch.save({"denoiser": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "ddp.pth")
    save_file(state, tmp_path / "dvt.safetensors")
    whole = {f"module.visual.{k}": v for k, v in state.items()}
    whole["module.visual.vit.model.pos_embed"] = torch.zeros(1, 7, 3)
    torch.save({"state_dict": whole}, tmp_path / "simzss.pt")
    for file in tmp_path.iterdir():
        found = loaded(file)
        assert all(torch.equal(found[name], state[name]) for name in state), file.name


def test_a_file_that_does_not_fit_is_refused_with_the_reason(tmp_path):
    state = a_head().state_dict()
    short = {k: v for k, v in state.items() if k != "denoiser.mlp.fc2.bias"}
    torch.save({"denoiser": short}, tmp_path / "short.pth")
    with pytest.raises(ValueError, match=r"lack 1 tensors, e\.g\. 'denoiser\.mlp\.fc2\.bias'"):
        loaded(tmp_path / "short.pth")
    torch.save({"model": {"cls_token": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"have no 'denoiser\.norm1\.weight'"):
        loaded(tmp_path / "other.pth")
    torch.save({"denoiser": state}, tmp_path / "narrow.pth")
    with pytest.raises(ValueError, match=r"is \(1, 25, 128\), not \(1, 25, 64\); take"):
        Denoise(weights=str(tmp_path / "narrow.pth"), grid=GRID).build(Sizes(64, 64))
    with pytest.raises(ValueError, match="no weights at"):
        loaded(tmp_path / "nowhere.pth")


def test_without_weights_the_error_says_where_they_are():
    with pytest.raises(ValueError, match=r"jjiaweiyang/DVT, voc_denoised/.*head\.weights=FILE"):
        Denoise().build(Sizes(WIDTH, WIDTH))
    Denoise(grid=GRID).build(Sizes(WIDTH, WIDTH, pretrained=False))


def test_a_width_that_heads_of_64_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="does not divide the image encoder's 96"):
        Denoise(weights="random").build(Sizes(96, 96))
