"""The compact tower: its grids, its stages beside MobileNetV2's, and its file of weights."""

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from whatwhere.encoders.compact import Compact
from whatwhere.encoders.mobilenet_v2 import MobileNetV2
from whatwhere.records import ImageEncoder, ShowsStages, Sizes

RANDOM = Sizes(pretrained=False)  # frozen random weights are refused in a run


@pytest.fixture(scope="module")
def seen():
    """A tower whose batch norms know what pictures do to it, so that nothing fades out in it."""
    torch.manual_seed(0)
    tower = Compact(stride=32, frozen=False).build(Sizes()).train()
    for module in tower.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        tower(torch.rand(4, 3, 64, 64))
    return tower.network.state_dict()


@pytest.fixture(scope="module")
def file(seen, tmp_path_factory):
    """As `whatwhere pretrain` writes it."""
    path = tmp_path_factory.mktemp("compact") / "image.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in seen.items()}, path)
    return str(path)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_stages_have_the_widths_and_grids_of_mobilenet_v2(stride):
    small, large = (cls(stride=stride).build(RANDOM).network for cls in (Compact, MobileNetV2))
    assert isinstance(small, ShowsStages) and isinstance(large, ShowsStages)
    pixels = torch.rand(1, 3, 64, 96)
    found, wanted = small.stage_maps(pixels), large.stage_maps(pixels)
    assert [maps.shape for maps in found] == [maps.shape for maps in wanted]
    assert found[-1].shape == (1, 1280, 64 // stride, 96 // stride)


def test_patches_are_what_leaves_the_last_stage(file):
    tower = Compact(weights=file, stride=32).build(Sizes())
    assert isinstance(tower, ImageEncoder)
    images = torch.rand(2, 3, 32, 96)
    patches = tower(images).patches
    assert patches.shape == (2, *tower.grid(32, 96), tower.width) == (2, 1, 3, 1280)
    last = tower.network.stage_maps(tower.normalized(images))[-1]
    assert_close(patches, last.permute(0, 2, 3, 1))
    assert patches.std() > 0.1


@pytest.mark.parametrize("fine", [8, 16])
def test_dilation_fills_the_gaps_of_the_coarse_grid(file, fine):
    """Up to the borders, where a step outside is a step outside on both grids."""
    towers = [Compact(weights=file, stride=s).build(Sizes()).double() for s in (32, fine)]
    images = torch.rand(1, 3, 96, 160, dtype=torch.double)
    coarse, filled = (tower(images).patches for tower in towers)
    # At even sizes a "SAME" stride of 2 looks at the odd places, so two of them at every fourth.
    step = 32 // fine
    assert_close(filled[:, step - 1 :: step, step - 1 :: step], coarse)
    assert not torch.allclose(filled[:, ::step, ::step], coarse, rtol=0.1, atol=0.1)


def test_a_file_brings_all_weights_and_may_hold_them_deeper(seen, file, tmp_path):
    prefix = "model.image_encoder.trunk."
    whole = {prefix + name: tensor.contiguous() for name, tensor in seen.items()}
    save_file(whole | {"model.other": torch.ones(1)}, tmp_path / "model.safetensors")
    for path in (file, str(tmp_path / "model.safetensors")):
        found = Compact(weights=path).build(Sizes()).network.state_dict()
        assert found.keys() == seen.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in seen.items())


def test_training_moves_the_weights_only_if_not_frozen(file):
    images = torch.rand(2, 3, 64, 64)
    assert Compact(weights=file).build(Sizes()).train()(images).patches.grad_fn is None
    tower = Compact(weights=file, frozen=False).build(Sizes()).train()
    tower(images).patches.sum().backward()
    assert all(weight.grad is not None for weight in tower.parameters())


def test_a_file_of_another_network_is_refused_in_one_sentence(tmp_path):
    other = MobileNetV2().build(RANDOM).network.network.state_dict()
    save_file({k: v.contiguous() for k, v in other.items()}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"have no 'stages.0.0.0.weight' .*wrong file\?") as error:
        Compact(weights=str(tmp_path / "other.safetensors")).build(Sizes())
    assert "\n" not in str(error.value)


def test_a_frozen_tower_without_weights_is_refused():
    with pytest.raises(ValueError, match=r"shows noise; set image\.weights=FILE"):
        Compact().build(Sizes())


def test_no_file_is_read_for_a_checkpoint():
    Compact(weights="missing.safetensors").build(RANDOM)
    with pytest.raises(ValueError, match="no weights at missing"):
        Compact(weights="missing.safetensors").build(Sizes())


def test_another_stride_is_refused():
    with pytest.raises(ValueError, match="stride 4 is not one of 8, 16, 32"):
        Compact(stride=4).build(RANDOM)


def test_injecting_tokens_is_refused_with_a_reason():
    with pytest.raises(ValueError, match="convolutional"):
        Compact().build(RANDOM)(torch.rand(1, 3, 32, 48), {2: torch.rand(1, 2, 1280)})


def test_a_shrunk_picture_is_the_mean_of_its_pixels_on_the_same_grid_of_patches():
    torch.manual_seed(0)
    plain, shrunk = (
        Compact(stride=s, shrink=k, frozen=False).build(Sizes()).eval()
        for s, k in ((16, 1), (8, 2))
    )
    finer = Compact(stride=8, frozen=False).build(Sizes()).eval()
    finer.load_state_dict(shrunk.state_dict())
    images = torch.rand(1, 3, 64, 96)
    assert shrunk.grid(64, 96) == plain.grid(64, 96) == (4, 6)
    means = images.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(-1, -2))
    torch.testing.assert_close(shrunk(images).patches, finer(means).patches)
    with pytest.raises(ValueError, match="take 1"):
        Compact(shrink=0).build(Sizes())
