"""Tokens choose groups: hard choices, means, straight-through gradients; every option.

Agreement with the released code: tests/released.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from whatwhere.pooling.groups import Groups, straight_through
from whatwhere.records import ImageFeatures, Sizes

WIDTH = 12
SMALL = Groups(depths=(1, 2, 1), heads=(2, 3, 4), tokens=(7, 5), groups=(6, 4), drop_path=0.0)


def the_pool(**settings) -> Any:
    torch.manual_seed(0)
    chosen = replace(SMALL, **settings)
    sizes = Sizes(dim=chosen.dim(WIDTH), width=WIDTH)
    pool = chosen.build(sizes)
    for weight in pool.parameters():  # far from the start, where all groups are alike
        torch.nn.init.normal_(weight, std=0.3)
    return pool


def the_features():
    torch.manual_seed(1)
    return ImageFeatures(torch.randn(2, 3, 5, WIDTH))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"looks": False},
        {"average": "true"},
        {"head": (20, 9)},
        {"widths": (8, 12, 20)},
        {"tokens": (4, 3), "groups": (4, 3)},
        {"depths": (1, 1), "heads": (2, 3), "tokens": (7,), "groups": (6,)},
    ],
    ids=str,
)
def test_every_option_learns_in_all_its_weights(settings):
    pool = the_pool(**settings).train()
    pooled = pool(the_features())
    groups = settings.get("groups", SMALL.groups)[-1]
    dim = settings["head"][1] if "head" in settings else settings.get("widths", (WIDTH,))[-1]
    assert pooled.image.shape == (2, dim) and pooled.regions.shape == (2, groups, dim)
    assert_close(pooled.where.sum(dim=1), torch.ones(2, 15))
    (pooled.image.square().sum() + pooled.regions.pow(3).sum()).backward()
    for name, weight in pool.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name
        # Some biases come before a norm or a softmax that takes them away again.
        assert weight.grad.any() or name.endswith("bias"), name


def test_without_a_head_the_image_is_the_mean_of_its_regions():
    pooled = the_pool().eval()(the_features())
    assert_close(pooled.image, pooled.regions.mean(dim=1))


def test_one_picture_does_not_see_another():
    pool, features = the_pool(head=(20, 9)).eval(), the_features()
    alone = pool(ImageFeatures(features.patches[1:]))
    both = pool(features)
    assert_close(both.regions[1:], alone.regions, rtol=1e-4, atol=1e-5)
    assert_close(both.where[1:], alone.where, rtol=1e-4, atol=1e-5)


def test_without_places_in_the_patches_their_order_does_not_matter():
    pool, patches = the_pool().eval(), the_features().patches.flatten(1, 2)
    order = torch.randperm(15)
    plain = pool(ImageFeatures(patches.unflatten(1, (3, 5))))
    moved = pool(ImageFeatures(patches[:, order].unflatten(1, (3, 5))))
    assert_close(moved.regions, plain.regions, rtol=1e-4, atol=1e-5)
    assert_close(moved.where, plain.where[:, :, order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("average", ["shrunk", "true"])
def test_a_group_takes_the_mean_of_those_who_chose_it(average):
    """Against a loop, with a group that nobody chooses."""
    assign = the_pool(average=average).eval().layers[0].downsample.assign
    torch.manual_seed(2)
    groups, tokens = torch.randn(2, 6, WIDTH), torch.randn(2, 15, WIDTH)
    found, soft = assign(groups, tokens, None)
    values = assign.v_proj(tokens)
    sizes = set()
    for b in range(2):
        scores = assign.q_proj(groups[b]) @ assign.k_proj(tokens[b]).T / WIDTH**0.5
        assert_close(soft[b], scores.softmax(dim=0))
        chosen = scores.argmax(dim=0).tolist()
        for j in range(6):
            members = [values[b, n] for n in range(15) if chosen[n] == j]
            sizes.add(len(members))
            total = sum(members, torch.zeros(WIDTH))
            count = len(members) + 1 if average == "shrunk" else max(len(members), 1)
            expected = assign.proj(total / count)
            assert_close(found[b, j], expected, rtol=1e-4, atol=1e-5)
    assert 0 in sizes and len(sizes) > 2


def test_a_hard_choice_has_the_gradient_of_the_soft_one():
    torch.manual_seed(0)
    scores = torch.randn(2, 4, 6, requires_grad=True)
    weights = torch.randn(2, 4, 6)
    hard = straight_through(scores.softmax(dim=1))
    assert_close(hard, F.one_hot(scores.argmax(dim=1), 4).movedim(2, 1).float())
    (hard * weights).sum().backward()
    found, scores.grad = scores.grad, None
    (scores.softmax(dim=1) * weights).sum().backward()
    assert_close(found, scores.grad)


def test_noise_changes_what_is_chosen_and_not_what_is_told():
    pool, features = the_pool().eval(), the_features()
    seen = []
    pool.layers[0].downsample.register_forward_hook(lambda m, i, o: seen.append(o))
    push = torch.zeros(2, 6, 15)
    push[:, 3] = 1e4
    plain = pool(features)
    pushed = pool(features, [push, torch.zeros(2, 4, 6)])
    assert_close(seen[0][1], seen[1][1])
    assert not torch.allclose(seen[0][0], seen[1][0])
    assert not torch.allclose(plain.image, pushed.image)


def test_training_draws_gumbel_noise_that_the_seed_decides():
    """Chances of the argmax under Gumbel noise are the softmax."""
    assign = the_pool().train().double().layers[0].downsample.assign
    torch.manual_seed(3)
    groups = torch.randn(1, 3, WIDTH, dtype=torch.double)
    tokens = torch.randn(1, 1, WIDTH, dtype=torch.double).expand(1, 3000, WIDTH)
    gathered = []
    assign.proj.register_forward_pre_hook(lambda m, i: gathered.append(i[0]))
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        _, soft = assign(groups, tokens, None)
    assert torch.equal(gathered[0], gathered[1]) and not torch.equal(gathered[0], gathered[2])
    share = (gathered[0] / assign.v_proj(tokens[:, :1])).mean(dim=2)[0]  # m / (m + 1) of m members
    chances = share / (1 - share) / 3000
    assert soft.min() > 0.02
    assert_close(chances, soft[0, :, 0].double(), rtol=0, atol=0.03)


def test_a_single_block_is_never_left_out():
    pool = the_pool(depths=(1, 0), heads=(2, 2), tokens=(7,), groups=(6,), drop_path=0.9)
    assert [block.drop for stage in pool.layers for block in stage.blocks] == [0.0]


def test_stochastic_depth_leaves_whole_branches_out_and_keeps_the_mean():
    block = the_pool(drop_path=0.9).layers[2].blocks[0].train()
    assert block.drop == pytest.approx(0.9)
    assert [b.drop for stage in the_pool(drop_path=0.9).layers for b in stage.blocks] == (
        pytest.approx([0, 0.3, 0.6, 0.9])
    )
    branch = torch.randn(4000, 2, 3) + 2
    kept = block._kept(branch)
    left = kept.flatten(1).any(dim=1)
    assert left.float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert_close(kept[left], branch[left] * 10)
    assert torch.equal(block.eval()._kept(branch), branch)


def test_it_starts_as_published():
    torch.manual_seed(0)
    pool: Any = replace(SMALL, head=(20, 9)).build(Sizes(dim=9, width=WIDTH))
    assert pool.layers[0].group_token.std().item() == pytest.approx(0.02, rel=0.3)
    assert not pool.layers[1].group_token.any(), "a projector feeds it"
    for stage in pool.layers:
        for block in stage.blocks:
            assert block.mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.2)
            assert not block.attn.qkv.bias.any()


def test_narrow_tokens_may_start_from_a_spread_of_their_own():
    torch.manual_seed(0)
    pool: Any = replace(SMALL, spread=0.0).build(Sizes(dim=WIDTH, width=WIDTH))
    mlp = pool.layers[0].blocks[0].mlp
    assert mlp.fc1.weight.std().item() == pytest.approx(WIDTH**-0.5, rel=0.1)
    assert mlp.fc2.weight.std().item() == pytest.approx((4 * WIDTH) ** -0.5, rel=0.1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"depths": (4,)}, "two stages or more"),
        ({"tokens": (7, 5, 3)}, "for all but the last"),
        ({"heads": (2, 3)}, "two stages or more"),
        ({"widths": (8,)}, "for all or none"),
    ],
)
def test_stages_that_do_not_fit_each_other_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        replace(SMALL, **settings)


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="12 wide does not divide into 5 heads"):
        replace(SMALL, heads=(2, 5, 2)).build(Sizes(dim=WIDTH, width=WIDTH))
