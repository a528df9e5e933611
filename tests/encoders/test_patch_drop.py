"""Dropping patches in training: how many, which, and what sees them afterwards."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from golden import Golden
from torch.testing import assert_close

from whatwhere.encoders.patch_drop import kept
from whatwhere.encoders.patch_embedding import PatchEmbedding
from whatwhere.encoders.timm_model import Timm, Vit
from whatwhere.heads.denoise import Denoise
from whatwhere.objectives.concept_consistency import look
from whatwhere.pooling.groups import Groups
from whatwhere.pooling.patches import PatchPool
from whatwhere.records import ImageFeatures, Sizes

SMALL = Timm(
    "vit_base_patch16_224.dino",
    vit=Vit(width=24, layers=2, heads=3, patch=4, size=16),
    frozen=False,
    patch_drop=0.7,
)


ROTARY = [  # places are told to every block; the second has four registers
    Timm("eva02_tiny_patch14_224", frozen=False, patch_drop=0.7),
    Timm("vit_tiny_patch16_dinov3_qkvb", frozen=False, patch_drop=0.7),
]
GROUPED = PatchEmbedding(width=8, patch=4, size=16, patch_drop=0.7)


def built(settings) -> Any:
    torch.manual_seed(0)
    return settings.build(Sizes(pretrained=False)).train()


def test_golden_clippy_patch_dropout():
    others = ("sd", "txt", "img", "infer", "native", "loss", "lr", "dense", "voc", "metric", "zs")
    golden = Golden("clippy", dict.fromkeys([f"{name}*" for name in others], "in other tests"))
    (name,) = (key for key in golden.tensors if key.startswith("pdrop.output_p"))
    tokens, drop = golden["pdrop.input"], float(name.removeprefix("pdrop.output_p"))
    found = kept(tokens[:, 1:], drop=drop, draw=golden["pdrop.rand"])
    assert_close(torch.cat([tokens[:, :1], found], dim=1), golden[name])
    golden.all_compared()


@pytest.mark.parametrize(
    ("patches", "drop", "count"), [(784, 0.8, 156), (15, 0.5, 7), (4, 0.9, 1), (3, 0.0, 3)]
)
def test_as_many_are_left_as_published(patches, drop, count):
    assert kept(torch.zeros(2, patches, 5), drop=drop).shape == (2, count, 5)


def test_every_patch_of_every_picture_is_as_likely_to_stay_and_none_comes_twice():
    torch.manual_seed(0)
    patches = torch.arange(6.0).expand(9_000, 6)[..., None]
    found = kept(patches, drop=0.5)[..., 0]
    assert (found.sort(dim=1).values.diff(dim=1) > 0).all()
    share = found.flatten().long().bincount(minlength=6) / len(found)
    assert_close(share, torch.full((6,), 0.5), atol=0.02, rtol=0)
    rows = {tuple(row) for row in found.sort(dim=1).values.tolist()}
    assert len(rows) == 20, "pictures draw by themselves, so every choice of 3 in 6 occurs"


def test_a_vit_sees_the_patches_that_are_left_in_their_places():
    """The same network over all tokens, with those that were dropped hidden from attention."""
    encoder, images = built(SMALL), torch.rand(2, 3, 20, 12)
    torch.manual_seed(3)
    found = encoder(images)
    torch.manual_seed(3)
    chosen = torch.rand(2, 15).topk(4).indices
    model = encoder.trunk.model
    tokens = encoder.trunk._placed(model.patch_embed((images - encoder._mean) / encoder._std))
    seen = torch.zeros(2, 16, dtype=torch.bool).scatter(1, chosen + 1, True)
    seen[:, 0] = True
    for block in model.blocks:
        tokens = block(tokens, attn_mask=seen[:, None, None])
    expected = model.norm(tokens)
    assert found.patches.shape == (2, 1, 4, 24) and found.sampled
    for i, row in enumerate(chosen):
        assert_close(found.patches[i, 0], expected[i, 1 + row], rtol=1e-4, atol=1e-5)
    assert_close(found.cls, expected[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [SMALL, GROUPED, *ROTARY])
def test_nothing_is_dropped_outside_training(settings):
    encoder = built(settings)
    images = torch.rand(2, 3, 5 * encoder.patch, 3 * encoder.patch)
    whole = built(replace(settings, patch_drop=0.0))
    assert encoder(images).patches.shape[1:3] == (1, 4)
    assert_close(encoder.eval()(images).patches, whole(images).patches)
    assert not encoder(images).sampled


@pytest.mark.parametrize("settings", [SMALL, GROUPED, *ROTARY])
def test_the_seed_of_a_step_decides_which_are_dropped(settings):
    encoder = built(settings)
    images = torch.rand(2, 3, 5 * encoder.patch, 3 * encoder.patch)
    drawn = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        drawn.append(encoder(images).patches)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_all_weights_learn_from_what_is_left():
    encoder = built(SMALL)
    found = encoder(torch.rand(2, 3, 20, 12))
    (found.patches * torch.randn_like(found.patches)).sum().backward()
    assert all(weight.grad is not None for weight in encoder.parameters())


@pytest.mark.parametrize("settings", ROTARY)
def test_rotary_positions_go_with_the_patches_that_are_left(settings):
    """As if the other patches were hidden from attention, in each picture others."""
    encoder = built(settings)
    model, prefix = encoder.network.model, encoder.network.model.num_prefix_tokens
    drawn = []
    model.patch_drop.register_forward_hook(lambda _, given, made: drawn.append(made[1]))
    images = torch.rand(2, 3, 5 * encoder.patch, 3 * encoder.patch)
    found = encoder(images)
    (left,) = drawn
    assert found.sampled and found.patches.shape[1:3] == (1, 4) and left.shape == (2, 4)
    model.patch_drop = None
    seen = torch.zeros(2, prefix + 15, dtype=torch.bool)
    seen[:, :prefix] = True
    seen.scatter_(1, left + prefix, True)
    patches, own = encoder.eval().network.model.forward_intermediates(
        encoder.normalized(images),
        indices=1,
        norm=True,
        output_fmt="NLC",
        intermediates_only=True,
        return_prefix_tokens=True,
        attn_mask=seen[:, None, None],
    )[0]
    expected = patches.gather(1, left[..., None].expand(-1, -1, patches.shape[2]))
    assert_close(found.patches[:, 0], expected, rtol=1e-4, atol=1e-5)
    assert_close(found.cls, own[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", ["max", "mean"])
def test_pictures_are_pooled_over_what_is_left(how):
    features = built(SMALL)(torch.rand(2, 3, 20, 12))
    pooled = PatchPool(how)(features)
    left = features.patches[:, 0]
    assert_close(pooled.regions, left)
    assert_close(pooled.image, left.amax(dim=1) if how == "max" else left.mean(dim=1))
    whole = built(replace(SMALL, whole="mean"))
    torch.manual_seed(3)
    features = whole(torch.rand(2, 3, 20, 12))
    assert_close(features.cls, features.patches.mean(dim=(1, 2)))


def test_words_look_at_what_is_left():
    """SimZSS's phrases attend to regions as a bag; their order says nothing."""
    torch.manual_seed(0)
    regions, query, picture = torch.randn(2, 4, 5), torch.randn(3, 5), torch.tensor([0, 0, 1])
    seen = look(regions, query=query, picture=picture, temperature=0.1)
    assert_close(look(regions.flip(1), query=query, picture=picture, temperature=0.1), seen)


def test_groups_gather_what_is_left():
    encoder = built(PatchEmbedding(width=12, patch=4, size=16, patch_drop=0.7))
    groups = Groups(depths=(1, 1), heads=(2, 3), tokens=(6,), groups=(3,)).build(Sizes(12, 12))
    pooled = groups(encoder(torch.rand(2, 3, 20, 12)))
    assert pooled.where is not None and pooled.where.shape == (2, 3, 4)
    assert_close(pooled.where.sum(dim=1), torch.ones(2, 4))


def test_a_part_that_needs_places_refuses():
    head = Denoise(weights="random", grid=4).build(Sizes(dim=64, width=64))
    with pytest.raises(ValueError, match=r"by their places; set image\.patch_drop=0"):
        head(ImageFeatures(torch.randn(2, 1, 4, 64), sampled=True))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (replace(SMALL, patch_drop=1.0), "a share from 0"),
        (replace(SMALL, patch_drop=-0.1), "a share from 0"),
        (replace(SMALL, frozen=True), "does nothing to a frozen encoder"),
        (PatchEmbedding(frozen=True, patch_drop=0.5), "does nothing to a frozen encoder"),
        (Timm("convnext_atto", frozen=False, patch_drop=0.5), "ConvNeXt cannot lose patches; take"),
    ],
)
def test_what_cannot_be_dropped_is_an_error(settings, said):
    with pytest.raises(ValueError, match=said):
        built(settings)
