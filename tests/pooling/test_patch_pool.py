"""Maximum, mean and CLS of patches, against loops; where their gradients go."""

import pytest
import torch

from whatwhere.pooling.patches import PatchPool
from whatwhere.records import ImageFeatures, Sizes


@pytest.fixture
def features():
    torch.manual_seed(0)
    return ImageFeatures(torch.randn(2, 3, 4, 5, requires_grad=True), torch.randn(2, 5))


@pytest.mark.parametrize("with_cls", [False, True])
@pytest.mark.parametrize("how", ["max", "mean"])
def test_agrees_with_a_slow_loop(features, how, with_cls):
    found = PatchPool(how, with_cls).build(Sizes())(features).image
    for picture in range(2):
        for channel in range(5):
            values = [
                features.patches[picture, row, col, channel].item()
                for row in range(3)
                for col in range(4)
            ]
            values += [features.cls[picture, channel].item()] if with_cls else []
            expected = max(values) if how == "max" else sum(values) / len(values)
            assert found[picture, channel].item() == pytest.approx(expected, abs=1e-6)


def test_cls_is_taken_as_it_is(features):
    assert torch.equal(PatchPool("cls")(features).image, features.cls)


def test_regions_are_the_patches_row_by_row(features):
    pooled = PatchPool()(features)
    assert pooled.where is None
    assert torch.equal(pooled.regions[:, 2 * 4 + 1], features.patches[:, 2, 1])


def test_order_of_the_patches_does_not_matter(features):
    turned = ImageFeatures(features.patches.flip(1).mT.mT.flip(2), features.cls)
    for how in ("max", "mean"):
        torch.testing.assert_close(PatchPool(how)(features).image, PatchPool(how)(turned).image)


def test_the_gradient_of_a_channel_reaches_one_patch_only(features):
    PatchPool("max")(features).image.sum().backward()
    reached = (features.patches.grad != 0).sum(dim=(1, 2))
    assert torch.equal(reached, torch.ones(2, 5, dtype=torch.long))


@pytest.mark.parametrize(
    "pool", [PatchPool("cls"), PatchPool("max", True), PatchPool("mean", True)]
)
def test_an_encoder_without_cls_cannot_pool_it(features, pool):
    with pytest.raises(ValueError, match=r"no CLS token; use pool\.how"):
        pool(ImageFeatures(features.patches))


def test_an_encoder_without_cls_can_pool_patches(features):
    found = PatchPool("mean")(ImageFeatures(features.patches)).image
    torch.testing.assert_close(found, features.patches.mean(dim=(1, 2)))
