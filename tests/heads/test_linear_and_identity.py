"""The two heads that learn nothing from pictures alone."""

import pytest
import torch

from whatwhere.heads.identity import Identity
from whatwhere.heads.linear import Linear
from whatwhere.records import ImageFeatures, Sizes


def test_identity_changes_nothing():
    features = ImageFeatures(torch.randn(2, 3, 4, 5), torch.randn(2, 5))
    head = Identity().build(Sizes())
    head.fit(iter([]))
    assert Identity().dim(5) == 5
    assert head(features) is features
    assert not list(head.parameters())


def test_linear_maps_every_patch_and_cls_alike():
    torch.manual_seed(0)
    cls_vectors = torch.randn(2, 5)
    features = ImageFeatures(torch.randn(2, 3, 4, 5), cls_vectors)
    assert Linear(size=7).dim(5) == 7
    head = Linear(size=7).build(Sizes(dim=7, width=5))
    head.fit(iter([]))
    found = head(features)
    weight = head.project.weight
    torch.testing.assert_close(found.patches[1, 2, 3], weight @ features.patches[1, 2, 3])
    expected = torch.stack([weight @ cls for cls in torch.unbind(cls_vectors)])
    torch.testing.assert_close(found.cls, expected)
    assert head(ImageFeatures(features.patches)).cls is None


def test_linear_can_learn_a_class_token_for_towers_without_one():
    torch.manual_seed(0)
    head = Linear(size=8, cls=True).build(Sizes(dim=8, width=5))
    patches = torch.randn(2, 3, 4, 5)
    found = head(ImageFeatures(patches))
    assert head.cls is not None
    torch.testing.assert_close(found.patches, head.project(patches))
    torch.testing.assert_close(found.cls, head.cls(found.patches))
    found.cls.square().sum().backward()
    assert head.cls.token.grad is not None
    with pytest.raises(ValueError, match=r"class token of its own; set head\.cls=False"):
        head(ImageFeatures(patches, torch.randn(2, 5)))
