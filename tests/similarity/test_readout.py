"""Dense scores, what centring takes away, and the running means it takes."""

import pytest
import torch
import torch.nn.functional as F

from whatwhere.records import EncodedImages, EncodedTexts
from whatwhere.similarity.readout import Readout


def unit(x):
    return F.normalize(x, dim=-1)


def images_of(regions, grid, where=None):
    return EncodedImages(unit(regions.mean(1)), unit(regions), where, grid)


def test_a_score_is_the_cosine_of_the_patch_at_its_place():
    torch.manual_seed(0)
    images, names = images_of(torch.randn(2, 15, 4), (3, 5)), unit(torch.randn(6, 4))
    readout = Readout(4, calibration="none", momentum=0.9)
    found = readout.dense(images, readout.names(names))
    assert found.shape == (2, 6, 3, 5)
    for row in range(3):
        for col in range(5):
            expected = images.regions[:, row * 5 + col] @ names.mT
            torch.testing.assert_close(found[:, :, row, col], expected)


def test_regions_are_spread_over_patches_by_their_shares():
    torch.manual_seed(0)
    where = torch.randn(2, 7, 15).softmax(dim=1)
    images, names = images_of(torch.randn(2, 7, 4), (3, 5), where), unit(torch.randn(6, 4))
    found = Readout(4, calibration="none", momentum=0.9).dense(images, names)
    expected = sum(
        (images.regions[:, i] @ names.mT)[..., None] * where[:, i, None] for i in range(7)
    )
    torch.testing.assert_close(found.flatten(2), expected)


def test_context_gives_every_region_so_much_of_its_picture():
    torch.manual_seed(0)
    images, names = images_of(torch.randn(2, 15, 4), (3, 5)), unit(torch.randn(6, 4))
    found = Readout(4, calibration="none", momentum=0.9, context=0.7).dense(images, names)
    for picture in range(2):
        for patch in range(15):
            mixed = images.regions[picture, patch] + 0.7 * images.image[picture]
            expected = names @ mixed / mixed.norm()
            torch.testing.assert_close(found[picture, :, patch // 5, patch % 5], expected)


def test_smoothing_averages_a_patch_with_those_around_it():
    torch.manual_seed(0)
    images, names = images_of(torch.randn(2, 15, 4), (3, 5)), unit(torch.randn(6, 4))
    found = Readout(4, calibration="none", momentum=0.9, smooth=3).dense(images, names)
    patches = images.regions.view(2, 3, 5, 4)
    for row in range(3):
        for col in range(5):
            around = patches[:, max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2]
            expected = unit(around.mean(dim=(1, 2))) @ names.mT
            torch.testing.assert_close(found[:, :, row, col], expected)


def test_smoothing_needs_a_middle_and_neighbours():
    with pytest.raises(ValueError, match="odd number"):
        Readout(4, calibration="none", momentum=0.9, smooth=2)
    grouped = images_of(torch.randn(2, 7, 4), (3, 5), torch.rand(2, 7, 15))
    with pytest.raises(ValueError, match="have no neighbours"):
        Readout(4, calibration="none", momentum=0.9, smooth=3).regions(grouped)


def test_centring_takes_away_what_all_have_in_common():
    """Regions and captions that share one strong direction each score as if they did not."""
    torch.manual_seed(0)
    common = 20 * torch.randn(2, 8)
    regions, captions = 0.1 * torch.randn(40, 9, 8), 0.1 * torch.randn(40, 8)
    images = images_of(regions + common[0], (3, 3))
    texts = EncodedTexts(unit(captions[:, None] + common[1]), unit(captions + common[1]))
    readout = Readout(8, calibration="centred", momentum=0.5)
    readout.watch(images, texts)
    names = readout.names(texts.caption[:6])
    found = readout.dense(images, names)
    torch.testing.assert_close(names.norm(dim=1), torch.ones(6))
    assert found.abs().max() <= 1 + 1e-5
    assert found.std() > 0.2
    assert found.mean().abs() < 0.1
    plain = Readout(8, calibration="none", momentum=0.5).dense(images, texts.caption[:6])
    assert plain.std() < 0.01


def test_without_calibration_means_are_watched_but_not_used():
    torch.manual_seed(0)
    images = images_of(torch.randn(3, 4, 5) + 2, (2, 2))
    texts = EncodedTexts(unit(torch.randn(3, 1, 5)), unit(torch.randn(3, 5)))
    readout = Readout(5, calibration="none", momentum=0.9)
    before = readout.dense(images, readout.names(texts.caption))
    readout.watch(images, texts)
    assert readout.region_mean.any()
    assert torch.equal(readout.dense(images, readout.names(texts.caption)), before)


def batches(count):
    torch.manual_seed(0)
    for size in range(2, 2 + count):
        regions = torch.randn(size, 3, 4) + 1
        yield (
            images_of(regions, (1, 3)),
            EncodedTexts(unit(torch.randn(size, 2, 4)), unit(torch.randn(size, 4))),
        )


def test_at_the_start_the_running_means_are_plain_means():
    readout = Readout(4, calibration="centred", momentum=0.9)
    regions, captions = [], []
    for images, texts in batches(10):  # 1 / (1 - momentum)
        readout.watch(images, texts)
        regions.append(images.regions.mean(dim=(0, 1)))
        captions.append(texts.caption.mean(dim=0))
        torch.testing.assert_close(readout.region_mean, torch.stack(regions).mean(dim=0))
        torch.testing.assert_close(readout.caption_mean, torch.stack(captions).mean(dim=0))


def test_later_the_past_fades_at_the_momentum():
    readout = Readout(4, calibration="centred", momentum=0.5)
    expected = torch.zeros(4)
    for i, (images, texts) in enumerate(batches(6)):
        readout.watch(images, texts)
        pace = 1.0 if i == 0 else 0.5
        expected = (1 - pace) * expected + pace * texts.caption.mean(dim=0)
        torch.testing.assert_close(readout.caption_mean, expected)


@pytest.mark.parametrize("calibration", ["none", "centred"])
def test_watching_keeps_no_graph_and_means_travel_with_the_weights(calibration):
    images, texts = next(batches(1))
    images.regions.requires_grad_()
    readout = Readout(4, calibration=calibration, momentum=0.9)
    readout.watch(images, texts)
    assert not readout.region_mean.requires_grad
    other = Readout(4, calibration=calibration, momentum=0.9)
    other.load_state_dict(readout.state_dict())
    assert torch.equal(other.region_mean, readout.region_mean)
    assert other.seen.item() == 1
