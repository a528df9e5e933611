"""Whitened patches have no mean and no preferred direction, also where the numbers are awkward."""

import pytest
import torch

from whatwhere.heads.whiten import Whiten
from whatwhere.records import ImageFeatures, Sizes


def patches(count=6, rows=30, cols=40, width=9, rank=9, mean=3.0, seed=0):
    """Vectors with a mean, very unequal spreads, and `rank` directions."""
    torch.manual_seed(seed)
    mix = torch.randn(rank, width) * torch.logspace(0, -1.5, rank)[:, None]
    return torch.randn(count, rows, cols, rank) @ mix + mean


def fitted(vectors, **settings):
    head = Whiten(**settings).build(Sizes(dim=settings["size"], width=vectors.shape[-1]))
    head.fit(ImageFeatures(some) for some in vectors.split(2))
    return head, head(ImageFeatures(vectors)).patches.reshape(-1, settings["size"])


def covariance(vectors):
    return torch.cov(vectors.mT.double(), correction=0).float()


@pytest.mark.parametrize("size", [9, 4])
def test_the_covariance_of_whitened_patches_is_the_identity(size):
    _, white = fitted(patches(), size=size)
    torch.testing.assert_close(white.mean(dim=0), torch.zeros(size), atol=1e-3, rtol=0)
    torch.testing.assert_close(covariance(white), torch.eye(size), atol=5e-3, rtol=0)


def test_without_power_patches_are_centred_and_turned_only():
    vectors = patches()
    _, turned = fitted(vectors, size=9, power=0.0)
    flat = vectors.reshape(-1, 9)
    centred = flat - flat.mean(dim=0)
    pairs = slice(0, 50)
    torch.testing.assert_close(
        turned[pairs] @ turned[pairs].mT, centred[pairs] @ centred[pairs].mT, atol=1e-3, rtol=1e-3
    )
    found = covariance(turned)
    assert (found.diagonal().diff() <= 0).all()  # the leading direction first
    torch.testing.assert_close(found, found.diag().diag(), atol=1e-3, rtol=0)


def test_power_between_keeps_some_of_the_spread():
    """A direction of spread s is left with s^(1 - 2 * power)."""
    vectors = patches()
    spread = torch.linalg.eigvalsh(covariance(vectors.reshape(-1, 9))).flip(0)
    _, half = fitted(vectors, size=5, power=0.25)
    torch.testing.assert_close(covariance(half).diag(), spread[:5].sqrt(), rtol=1e-2, atol=0)


def test_the_leading_directions_are_kept():
    vectors = patches(width=7, rank=2)
    head, _ = fitted(vectors, size=2, power=0.0)
    flat = vectors.reshape(-1, 7)
    back = (flat - head.mean) @ head.matrix @ head.matrix.mT + head.mean
    torch.testing.assert_close(back, flat, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("mean", [0.0, 30.0])
def test_directions_without_spread_are_not_blown_up(mean):
    """Also far from the origin, where towers that end in a rectifier are."""
    _, white = fitted(patches(rank=3, mean=mean), size=6)
    spread = covariance(white).diag()
    torch.testing.assert_close(spread[:3], torch.ones(3), atol=1e-2, rtol=0)
    assert spread[3:].max() < 1e-2


def test_a_mean_far_from_the_origin_costs_no_precision():
    _, white = fitted(patches(mean=30.0), size=9)
    torch.testing.assert_close(covariance(white), torch.eye(9), atol=2e-2, rtol=0)


def test_how_pictures_are_batched_does_not_matter():
    vectors = patches()
    one, two = (Whiten(size=5).build(Sizes(dim=5, width=9)) for _ in range(2))
    one.fit(ImageFeatures(some) for some in vectors.split(1))
    two.fit(iter([ImageFeatures(vectors[:4]), ImageFeatures(vectors[4:])]))
    torch.testing.assert_close(one.mean, two.mean)
    torch.testing.assert_close(one.matrix.abs(), two.matrix.abs(), rtol=1e-3, atol=1e-4)


def test_cls_goes_through_the_same_map():
    vectors = patches()
    head, _ = fitted(vectors, size=4)
    found = head(ImageFeatures(vectors, vectors[:, 2, 3]))
    torch.testing.assert_close(found.cls, found.patches[:, 2, 3])


def test_what_was_fitted_travels_with_the_weights():
    head, white = fitted(patches(), size=4)
    other = Whiten(size=4).build(Sizes(dim=4, width=9))
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(ImageFeatures(patches())).patches.reshape(-1, 4), white)


def test_nothing_to_fit_on_is_an_error():
    with pytest.raises(ValueError, match="no pictures"):
        Whiten(size=2).build(Sizes(dim=2, width=3)).fit(iter([]))


def test_patches_that_are_all_the_same_are_an_error():
    with pytest.raises(ValueError, match="all patches are the same"):
        fitted(torch.ones(4, 3, 5, 6), size=2)


def test_more_directions_than_features_are_refused():
    with pytest.raises(ValueError, match="use <= 64"):
        Whiten(size=65).dim(64)
    assert Whiten(size=64).dim(64) == 64
