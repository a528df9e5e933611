"""What every grouping must do. Files are found, not listed: a new one is held to this at once."""

import json
from dataclasses import is_dataclass

import pytest
import torch

from whatwhere.recipes import from_json, to_json
from whatwhere.runs.grouping import find_how

HOW = ["kmeans", "normalized_cut", "principal"]


def blobs(*, noise=0.05, width=11):
    """Three kinds of patches, 4, 9 and 6 of them, shuffled, and the kind of each."""
    torch.manual_seed(0)
    kinds = torch.tensor([0] * 4 + [1] * 9 + [2] * 6)[torch.randperm(19)]
    places = 3 * torch.eye(width)[:3] + 1
    return places[kinds] + noise * torch.randn(19, width), kinds


def same(one, other):
    """Whether two labelings cut the patches alike, whatever they call the parts."""
    return torch.equal(one[:, None] == one, other[:, None] == other)


@pytest.mark.parametrize("name", HOW)
def test_settings_are_frozen_values_that_json_keeps(name):
    how = find_how(name)
    assert is_dataclass(how) and type(how).__dataclass_params__.frozen
    assert from_json(json.loads(json.dumps(to_json(how)))) == how
    assert how.num_groups == 8


@pytest.mark.parametrize("patches", [1, 3, 40])
@pytest.mark.parametrize("width", [5, 21])
@pytest.mark.parametrize("name", HOW)
def test_every_patch_has_a_group_even_where_there_are_fewer_patches_than_groups(
    name, width, patches
):
    torch.manual_seed(0)
    groups = find_how(name)(torch.randn(patches, width))
    assert groups.shape == (patches,) and groups.dtype == torch.long
    assert groups.min() >= 0 and groups.max() < 8
    assert len(groups.unique()) > patches // 10


@pytest.mark.parametrize("name", HOW)
def test_the_order_of_patches_does_not_matter(name):
    patches = torch.randn(43, 17, generator=torch.Generator().manual_seed(3))
    order = torch.randperm(43, generator=torch.Generator().manual_seed(1))
    how = find_how(name, ["how.num_groups=5"])
    assert same(how(patches)[order], how(patches[order]))


@pytest.mark.parametrize("name", ["kmeans", "normalized_cut"])
def test_what_lies_apart_is_found(name):
    patches, kinds = blobs()
    assert same(find_how(name, ["how.num_groups=3"])(patches), kinds)


@pytest.mark.parametrize("name", HOW)
@pytest.mark.parametrize("value", [0.1, 0.0, -3.7])
def test_a_picture_without_differences_is_one_group(name, value):
    patches = torch.full((37, 13), value) * torch.arange(13)
    assert find_how(name)(patches).unique().tolist() == [0]


@pytest.mark.parametrize("name", HOW)
def test_one_group_takes_all(name):
    patches, _ = blobs()
    assert find_how(name, ["how.num_groups=1"])(patches).unique().tolist() == [0]


@pytest.mark.parametrize("name", HOW)
def test_no_groups_at_all_are_refused(name):
    with pytest.raises(ValueError, match=r"how.num_groups=0; take a whole number from 1 on"):
        find_how(name, ["how.num_groups=0"])


@pytest.mark.parametrize(
    ("name", "setting", "said"),
    [
        ("kmeans", "distance=city", "how.distance takes cosine or euclid; got 'city'"),
        ("principal", "centred=once", "takes both or components or patches or neither; got 'once'"),
        ("principal", "cosine=1", "takes signed or absolute"),
        ("normalized_cut", "distance=cosine", "no setting is called how.distance"),
    ],
)
def test_a_setting_that_does_not_exist_is_refused(name, setting, said):
    with pytest.raises(ValueError, match=said):
        find_how(name, [f"how.{setting}"])
