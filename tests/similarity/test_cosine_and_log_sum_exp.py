"""The two faces of a comparison agree with loops, and the soft maximum with its limits."""

import math

import pytest
import torch
import torch.nn.functional as F

from whatwhere.records import EncodedImages, EncodedTexts, Sizes
from whatwhere.similarity.cosine import Cosine
from whatwhere.similarity.log_sum_exp import LogSumExp, soft_maximum


def unit(x):
    return F.normalize(x, dim=-1)


@pytest.fixture
def encoded():
    torch.manual_seed(0)
    images = EncodedImages(unit(torch.randn(3, 8)), unit(torch.randn(3, 10, 8)), None, (2, 5))
    return images, EncodedTexts(unit(torch.randn(3, 4, 8)), unit(torch.randn(3, 8)))


def test_cosine_pairs_are_those_of_two_loops(encoded):
    images, texts = encoded
    pairs = Cosine().build(Sizes(dim=8)).pairs(images, texts)
    for i in range(3):
        for j in range(3):
            cosine = (images.image[i] @ texts.caption[j]).item()
            assert pairs.image_to_text[i, j].item() == pytest.approx(cosine, abs=1e-6)
            assert pairs.text_to_image[j, i].item() == pytest.approx(cosine, abs=1e-6)
    assert pairs.first == 0


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_the_soft_maximum_is_that_of_a_loop(encoded, temperature):
    images, texts = encoded
    pairs = LogSumExp(temperature).build(Sizes(dim=8)).pairs(images, texts)
    for i in range(3):
        for j in range(3):
            cosines = [(region @ texts.caption[j]).item() for region in images.regions[i]]
            powers = sum(math.exp(c / temperature) for c in cosines) / len(cosines)
            expected = temperature * math.log(powers)
            assert pairs.image_to_text[i, j].item() == pytest.approx(expected, abs=1e-5)
            assert pairs.text_to_image[j, i].item() == pytest.approx(expected, abs=1e-5)


def test_hot_is_the_mean_and_cold_is_the_maximum(encoded):
    images, texts = encoded
    cosines = torch.einsum("ird,td->itr", images.regions, texts.caption)
    hot, cold = (soft_maximum(images.regions, texts.caption, temperature=t) for t in (1e3, 1e-4))
    torch.testing.assert_close(hot, cosines.mean(dim=-1), atol=1e-3, rtol=0)
    torch.testing.assert_close(cold, cosines.amax(dim=-1), atol=1e-3, rtol=0)


def test_the_soft_maximum_lies_between_mean_and_maximum(encoded):
    images, texts = encoded
    cosines = torch.einsum("ird,td->itr", images.regions, texts.caption)
    found = soft_maximum(images.regions, texts.caption, temperature=0.1)
    assert (cosines.mean(dim=-1) <= found).all() and (found <= cosines.amax(dim=-1)).all()


def test_one_region_alone_is_the_cosine(encoded):
    images, texts = encoded
    found = soft_maximum(images.regions[:, :1], texts.caption, temperature=0.1)
    torch.testing.assert_close(found, images.regions[:, 0] @ texts.caption.mT)


def test_order_of_the_regions_does_not_matter(encoded):
    images, texts = encoded
    one, two = (
        soft_maximum(regions, texts.caption, temperature=0.1)
        for regions in (images.regions, images.regions.flip(1))
    )
    torch.testing.assert_close(one, two)
