"""MobileNetV2: padding, dilation, and that the shared weights recognise real photos."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from whatwhere.encoders.mobilenet_v2 import MobileNetV2, SameConv
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


def test_dilation_fills_the_gaps_of_the_coarse_grid():
    torch.manual_seed(0)
    coarse, fine = (MobileNetV2(stride=s, layers=(14,)).build(RANDOM) for s in (32, 16))
    fine.load_state_dict(coarse.state_dict())
    images = torch.rand(1, 3, 96, 160)
    # At even sizes a "SAME" stride of 2 looks at the odd places.
    assert_close(fine(images).patches[:, 1::2, 1::2], coarse(images).patches)


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
