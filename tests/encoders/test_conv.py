"""The small convolutional tower: sizes, locality, training."""

import pytest
import torch

from whatwhere.encoders.conv import Conv
from whatwhere.records import ImageEncoder, Sizes


@pytest.mark.parametrize("stride", [4, 8])
def test_gives_one_vector_a_patch(stride):
    tower = Conv(width=48, stride=stride, blocks=1).build(Sizes())
    assert isinstance(tower, ImageEncoder)
    rows, cols = tower.grid(24, 40)
    assert (rows, cols) == (24 // stride, 40 // stride)
    found = tower(torch.rand(2, 3, 24, 40))
    assert found.patches.shape == (2, rows, cols, tower.width)
    assert found.cls is None


def test_a_patch_depends_on_its_neighbourhood_only():
    tower = Conv(width=48, blocks=2).build(Sizes())
    images = torch.rand(1, 3, 8 * 9, 8 * 11)
    changed = images.clone()
    changed[:, :, 32:40, 40:48] = 0.5  # the patch in row 4, column 5
    moved = (tower(images).patches != tower(changed).patches)[0].any(dim=-1)
    rows, cols = moved.nonzero().T
    assert moved[4, 5]
    assert {rows.min().item(), rows.max().item()} == {1, 7}
    assert {cols.min().item(), cols.max().item()} == {2, 8}


def test_a_small_network_learns_to_tell_red_from_blue_patches():
    torch.manual_seed(0)
    tower = Conv(width=32, blocks=1).build(Sizes())
    assert not tower.frozen
    optimizer = torch.optim.Adam(tower.parameters(), lr=1e-2)
    for _ in range(60):
        is_red = torch.rand(8, 1, 3, 5) < 0.5
        colours = torch.cat([is_red, torch.zeros_like(is_red), ~is_red], dim=1).float()
        images = torch.nn.functional.interpolate(colours, scale_factor=8)
        guess = tower(images).patches[..., 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(guess, is_red[:, 0].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05


def test_wrong_sizes_are_an_error_that_names_a_right_one():
    tower = Conv(width=48).build(Sizes())
    with pytest.raises(ValueError, match="use 24x40"):
        tower(torch.rand(1, 3, 27, 41))
    with pytest.raises(ValueError, match="use 8x16"):
        tower.grid(0, 16)


def test_injecting_tokens_is_refused_with_a_reason():
    tower = Conv(width=48).build(Sizes())
    with pytest.raises(ValueError, match="no token sequence"):
        tower(torch.rand(1, 3, 16, 24), {0: torch.rand(1, 2, 48)})
