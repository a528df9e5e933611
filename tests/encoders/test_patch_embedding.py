"""Patches in reading order, and where they are; released numbers: tests/released."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from whatwhere.encoders.patch_embedding import PatchEmbedding, waves
from whatwhere.encoders.tower import STATISTICS
from whatwhere.recipes import Pretraining, load, override
from whatwhere.records import Sizes
from whatwhere.runs.pretraining import run_pretraining

SMALL = PatchEmbedding(width=8, patch=4, size=12)


def test_a_patch_vector_depends_on_its_own_pixels_and_place_only():
    torch.manual_seed(0)
    tower = SMALL.build(Sizes())
    images = torch.rand(2, 3, 12, 12)
    before = tower(images).patches
    images[1, :, 4:8, 8:12] = 0
    changed = (tower(images).patches != before).any(dim=3)
    assert changed.nonzero().tolist() == [[1, 1, 2]]


def test_it_is_a_linear_map_of_normalised_pixels_a_norm_and_a_place():
    torch.manual_seed(0)
    tower: Any = SMALL.build(Sizes())
    images = torch.rand(2, 3, 12, 12)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in STATISTICS["imagenet"])
    embed, table = tower.trunk.patch_embed, tower.trunk.pos_embed
    found = tower(images).patches
    for row in range(3):
        for col in range(3):
            pixels = ((images - mean) / std)[:, :, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4]
            vector = F.linear(pixels.flatten(1), embed.proj.weight.flatten(1), embed.proj.bias)
            vector = F.layer_norm(vector, (8,)) + table[0, 3 * row + col]
            assert_close(found[:, row, col], vector)


def test_on_other_grids_rows_and_columns_keep_their_own_places():
    """A table that grows down the rows grows down the rows of every grid, and only there."""
    tower: Any = SMALL.build(Sizes())
    with torch.no_grad():
        tower.trunk.pos_embed.copy_(torch.arange(3.0).repeat_interleave(3)[None, :, None])
    places = tower.trunk._places(7, 5)[0]
    assert_close(places, places[:, :1].expand(7, 5, 8))
    assert (places[1:, 0, 0] - places[:-1, 0, 0]).min() > -1e-6
    assert places[0, 0, 0] < 0.1 and places[-1, 0, 0] > 1.9


def test_waves_are_those_of_the_row_and_the_column():
    table = waves(5, width=12)
    for row in range(5):
        for col in range(5):
            angles = [[place * 10_000 ** (-i / 3) for i in range(3)] for place in (row, col)]
            expected = [wave(a) for some in angles for wave in (math.sin, math.cos) for a in some]
            assert_close(table[5 * row + col], torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_waves_are_not_learned_but_travel_with_the_weights():
    tower = PatchEmbedding(width=8, patch=4, size=12, places="waves").build(Sizes())
    assert "trunk.pos_embed" in tower.state_dict()
    assert not any("pos_embed" in name for name, _ in tower.named_parameters())


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"size": 100}, "use 96"), ({"width": 30, "places": "waves"}, "a multiple of 4")],
)
def test_settings_that_do_not_fit_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        PatchEmbedding(**settings)


def test_a_pretrained_embedding_starts_another(tmp_path):
    chosen = (
        "image=whatwhere.encoders.patch_embedding:PatchEmbedding",
        "image.width=8",
        "image.patch=4",
        "image.size=12",
        "photos.count=4",
        "photos.world.height=32",
        "photos.world.width=48",
        "viewing.batch=2",
        "viewing.size=(12, 12)",
        "training.steps=1",
        "training.device=cpu",
        "training.precision=fp32",
    )
    recipe = override(load("scenes-tower", Pretraining), chosen)
    file = run_pretraining(recipe, out=tmp_path).weights
    started: Any = replace(SMALL, weights=str(file)).build(Sizes())
    learned, own = load_file(file), started.trunk.state_dict()
    assert learned.keys() == own.keys()
    assert all(torch.equal(learned[name], tensor) for name, tensor in own.items())
    with pytest.raises(ValueError, match=r"set image\.width, image\.patch and image\.size as in"):
        replace(SMALL, size=20, weights=str(file)).build(Sizes())
    resumed = replace(SMALL, weights=str(tmp_path / "gone.safetensors"))
    assert resumed.build(Sizes(pretrained=False)).width == 8


def test_the_embedding_of_a_groupvit_is_found_in_its_file(tmp_path):
    tower: Any = SMALL.build(Sizes())
    state = {f"img_encoder.{name}": value for name, value in tower.trunk.state_dict().items()}
    save_file(state | {"other": torch.zeros(1)}, tmp_path / "whole.safetensors")
    read: Any = replace(SMALL, weights=str(tmp_path / "whole.safetensors")).build(Sizes())
    for name, tensor in read.trunk.state_dict().items():
        assert torch.equal(tensor, state[f"img_encoder.{name}"])
