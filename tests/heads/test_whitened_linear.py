"""A learned map that sees whitened patches: what it computes, and which half learns from what."""

import pytest
import torch

from heads.test_whiten import patches
from whatwhere.heads.whiten import Whiten
from whatwhere.heads.whitened_linear import WhitenedLinear
from whatwhere.records import ImageFeatures, Sizes


def fitted(vectors, *, size, between):
    torch.manual_seed(0)
    settings = WhitenedLinear(size=size, whiten=Whiten(size=between))
    head = settings.build(Sizes(dim=settings.dim(vectors.shape[-1]), width=vectors.shape[-1]))
    head.fit(ImageFeatures(some) for some in vectors.split(2))
    return head


def test_it_is_a_linear_map_of_what_whiten_makes_of_the_patches():
    vectors = patches()
    head = fitted(vectors, size=3, between=5)
    alone = Whiten(size=5).build(Sizes(dim=5, width=9))
    alone.fit(ImageFeatures(some) for some in vectors.split(2))
    white = alone(ImageFeatures(vectors, vectors[:, 0, 0]))
    found = head(ImageFeatures(vectors, vectors[:, 0, 0]))
    torch.testing.assert_close(found.patches, white.patches @ head.linear.project.weight.mT)
    torch.testing.assert_close(found.cls, found.patches[:, 0, 0])


def test_patches_without_features_lie_in_one_direction_whatever_the_noise():
    """What the map is for: `Linear` would leave their direction to the noise."""
    seen = patches(mean=0.0).abs()
    head = fitted(seen, size=4, between=9)
    nothing = torch.rand(1, 5, 5, 9) * 1e-3

    def alike(vectors):
        flat = torch.nn.functional.normalize(vectors.flatten(0, 2), dim=-1)
        return (flat @ flat.mT).min()

    assert alike(head(ImageFeatures(nothing)).patches) > 0.98
    assert alike(nothing @ torch.randn(9, 4)) < 0.9


def test_pictures_fit_the_whitening_and_captions_the_map():
    head = fitted(patches(), size=3, between=5)
    assert not head.fixed
    assert head.pictures == Whiten().pictures
    assert [name for name, _ in head.named_parameters()] == ["linear.project.weight"]
    assert {name for name, _ in head.named_buffers()} == {"whiten.mean", "whiten.matrix"}


def test_more_directions_than_features_are_refused():
    with pytest.raises(ValueError, match=r"10 directions of 9 features; use <= 9"):
        WhitenedLinear(whiten=Whiten(size=10)).build(Sizes(dim=4, width=9))
