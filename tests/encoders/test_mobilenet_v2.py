"""MobileNetV2: padding, dilation, and that the shared weights recognise real photos."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from whatwhere.encoders.mobilenet_v2 import MobileNetV2, SameConv, _Halving
from whatwhere.records import ImageEncoder, Sizes
from whatwhere.transforms import to_tensor

SHARED = Path(__file__).parents[2].parent / "shared"
RANDOM = Sizes(pretrained=False)  # frozen random weights are refused in a run
WEIGHTS = SHARED / "weights" / "mobilenet_v2_imagenet1001.safetensors"


def test_recognises_most_photos_of_a_thousand_classes():
    index = SHARED / "data" / "imagenet_samples" / "index.jsonl"
    if not index.is_file() or not WEIGHTS.is_file():
        pytest.skip(f"{index} or {WEIGHTS} is missing")
    photos = [json.loads(line) for line in index.read_text().splitlines()]
    classes = sorted(photo["wnid"] for photo in photos)
    pixels, labels = [], []
    for photo in photos[::25]:
        with Image.open(index.parent / photo["image"]) as file:
            pixels.append(to_tensor(ImageOps.fit(file.convert("RGB"), (224, 224))))
        labels.append(classes.index(photo["wnid"]) + 1)  # class 0 is background
    state = load_file(WEIGHTS)
    weight, bias = (state[f"classifier.1.{name}"].float() for name in ("weight", "bias"))
    features = MobileNetV2(weights=str(WEIGHTS)).build(Sizes())(torch.stack(pixels))
    scores = F.linear(features.patches.mean(dim=(1, 2)), weight, bias)
    assert (scores.argmax(dim=1) == torch.tensor(labels)).float().mean() > 0.68


@pytest.mark.parametrize("size", [(12, 17), (11, 18)])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_is_that_of_a_slow_loop(size, dilation, stride):
    torch.manual_seed(0)
    conv = SameConv(2, 3, 3, stride=stride, dilation=dilation, bias=False)
    maps = torch.randn(1, 2, *size)
    found = conv(maps)
    rows, cols = (-(-n // stride) for n in size)
    assert found.shape == (1, 3, rows, cols)
    before = [max((-(-n // stride) - 1) * stride + 2 * dilation + 1 - n, 0) // 2 for n in size]
    expected = torch.zeros_like(found)
    for i in range(rows):
        for j in range(cols):
            for a in range(3):
                for b in range(3):
                    y = i * stride + a * dilation - before[0]
                    x = j * stride + b * dilation - before[1]
                    if 0 <= y < size[0] and 0 <= x < size[1]:
                        expected[0, :, i, j] += conv.weight[:, :, a, b] @ maps[0, :, y, x]
    assert_close(found, expected)


WIDE = (2, 8)


@pytest.mark.parametrize("expand", [(1, 6), WIDE])
@pytest.mark.parametrize("stride", [8, 16])
def test_dilation_fills_the_gaps_of_the_coarse_grid(stride, expand):
    torch.manual_seed(0)
    coarse, fine = (
        MobileNetV2(stride=s, layers=(14,), expand=expand).build(RANDOM).double()
        for s in (32, stride)
    )
    fine.load_state_dict(coarse.state_dict())
    images = torch.rand(1, 3, 96, 160, dtype=torch.double)
    step = 32 // stride
    found, wanted = fine(images).patches, coarse(images).patches
    # At even sizes a "SAME" stride of 2 looks at the odd places, so two of them at every fourth.
    assert_close(found[:, step - 1 :: step, step - 1 :: step], wanted)
    assert not torch.allclose(found[:, ::step, ::step], wanted, rtol=0.1, atol=0)


def test_layers_stand_side_by_side_on_one_grid():
    torch.manual_seed(0)
    tower = MobileNetV2(layers=(13, 18)).build(RANDOM)
    assert isinstance(tower, ImageEncoder)
    last = MobileNetV2().build(RANDOM)
    last.load_state_dict(tower.state_dict())
    images = torch.rand(2, 3, 32, 48)
    found = tower(images).patches
    assert found.shape == (2, *tower.grid(32, 48), tower.width) == (2, 2, 3, 96 + 1280)
    assert_close(found[..., 96:], last(images).patches)


def test_names_are_those_of_torchvision(tmp_path):
    vision = pytest.importorskip("torchvision.models")
    state = vision.mobilenet_v2(weights=None).state_dict()
    save_file(state, tmp_path / "mobilenet.safetensors")
    MobileNetV2(weights=str(tmp_path / "mobilenet.safetensors")).build(Sizes())


def test_training_moves_the_weights_only_if_not_frozen():
    images = torch.rand(2, 3, 32, 48)
    assert MobileNetV2().build(RANDOM).train()(images).patches.grad_fn is None
    tower = MobileNetV2(frozen=False).build(Sizes()).train()
    tower(images).patches.sum().backward()
    assert all(p.grad is not None for p in tower.parameters())


def test_a_layer_off_the_grid_is_an_error_that_names_the_good_ones():
    with pytest.raises(ValueError, match="7 to 18"):
        MobileNetV2(layers=(6, 18)).build(RANDOM)
    with pytest.raises(ValueError, match="14 to 18"):
        MobileNetV2(layers=(13,), stride=32).build(RANDOM)


def test_injecting_tokens_is_refused_with_a_reason():
    with pytest.raises(ValueError, match="convolutional"):
        MobileNetV2().build(RANDOM)(torch.rand(1, 3, 32, 48), {2: torch.rand(1, 2, 1280)})


def test_no_file_is_read_for_a_checkpoint():
    MobileNetV2(weights="missing.pth").build(Sizes(pretrained=False))
    with pytest.raises(ValueError, match="missing"):
        MobileNetV2(weights="missing.pth").build(Sizes())


def test_a_frozen_network_without_weights_is_refused():
    with pytest.raises(ValueError, match=r"shows noise; set image\.weights=FILE"):
        MobileNetV2().build(Sizes())


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_layers_that_are_wider_inside_have_the_same_widths_and_grids(stride):
    plain, wide = (MobileNetV2(stride=stride, expand=e).build(RANDOM) for e in ((1, 6), WIDE))
    pixels = torch.rand(1, 3, 64, 96)
    found, wanted = (tower.network.stage_maps(pixels) for tower in (wide, plain))
    assert [maps.shape for maps in found] == [maps.shape for maps in wanted]
    assert found[-1].shape == (1, 1280, 64 // stride, 96 // stride)
    inside = [block.conv[1][0].out_channels for block in wide.network.stages[1:4]]
    assert inside == [2 * 32, 8 * 16, 8 * 24]


def test_a_file_of_a_wider_network_brings_all_weights_and_fits_no_other(tmp_path):
    torch.manual_seed(0)
    state = MobileNetV2(expand=WIDE).build(RANDOM).network.state_dict()
    path = tmp_path / "image.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    found = MobileNetV2(weights=str(path), expand=WIDE).build(Sizes()).network.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    with pytest.raises(ValueError, match="features") as error:
        MobileNetV2(weights=str(path)).build(Sizes())
    assert "\n" not in str(error.value)


def test_a_shrunk_picture_is_the_mean_of_its_pixels_on_the_same_grid_of_patches():
    torch.manual_seed(0)
    plain, shrunk = (MobileNetV2(stride=s, shrink=k).build(RANDOM) for s, k in ((16, 1), (8, 2)))
    finer = MobileNetV2(stride=8).build(RANDOM)
    finer.load_state_dict(shrunk.state_dict())
    images = torch.rand(1, 3, 64, 96)
    assert shrunk.grid(64, 96) == plain.grid(64, 96) == (4, 6)
    means = images.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(-1, -2))
    assert_close(shrunk(images).patches, finer(means).patches)


@pytest.mark.parametrize("setting", [{"shrink": 0}, {"expand": (0, 6)}])
def test_sizes_below_one_are_refused(setting):
    with pytest.raises(ValueError, match="take whole numbers of 1 or more"):
        MobileNetV2(**setting).build(RANDOM)


@pytest.mark.parametrize("size", [(9, 9), (9, 12), (10, 11)])
def test_the_way_back_of_a_halving_convolution_is_the_librarys(size):
    torch.manual_seed(0)
    maps = torch.randn(2, 5, *size, dtype=torch.double, requires_grad=True)
    kernel = torch.randn(5, 1, 3, 3, dtype=torch.double, requires_grad=True)
    expected = F.conv2d(maps, kernel, stride=2, groups=5)
    found = _Halving.apply(maps, kernel)
    assert_close(found, expected)
    grad = torch.randn_like(expected)
    own = torch.autograd.grad(found, (maps, kernel), grad)
    assert_close(own, torch.autograd.grad(expected, (maps, kernel), grad))


def test_bfloat16_halves_the_grid_by_that_way_back_and_gives_full_gradients():
    torch.manual_seed(0)
    conv = SameConv(8, 8, 3, stride=2, groups=8, bias=False)
    maps = torch.randn(2, 8, 10, 12, requires_grad=True)
    exact = torch.autograd.grad(conv(maps).square().sum(), (maps, conv.weight))
    with torch.autocast("cpu", torch.bfloat16):
        halved = conv(maps)
    assert halved.dtype == torch.bfloat16 and "Halving" in type(halved.grad_fn).__name__
    found = torch.autograd.grad(halved.float().square().sum(), (maps, conv.weight))
    for rough, wanted in zip(found, exact, strict=True):
        assert rough.dtype == torch.float32
        assert_close(rough, wanted, rtol=0.05, atol=0.05 * wanted.abs().max().item())


@pytest.mark.parametrize("norms", ["learned", "fixed"])
def test_fixed_norms_train_their_weights_and_not_their_statistics(norms):
    torch.manual_seed(0)
    tower = MobileNetV2(norms=norms, frozen=False).build(Sizes())
    images = torch.rand(2, 3, 32, 64)
    usual = tower.eval()(images).patches
    before = {name: value.clone() for name, value in tower.named_buffers()}
    found = tower.train()(images).patches
    found.sum().backward()
    kept = all(torch.equal(before[name], value) for name, value in tower.named_buffers())
    assert torch.equal(found, usual) == kept == (norms == "fixed")
    assert all(weight.grad is not None for weight in tower.parameters())
