"""Regions are named before pixels: the scores, whose pixels are whose, and the background."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from colours import RGB, SMALL, code, painting, segmenter
from torch import nn
from torch.testing import assert_close

from whatwhere.records import EncodedImages, Pooled, Sizes
from whatwhere.segmenter.reading import Background, Regions
from whatwhere.segmenter.regions import name_regions, region_scores
from whatwhere.similarity.cosine import Cosine

RULE = Regions(scale=6.0, keep=3)
NAMED = replace(SMALL, regions=Regions(scale=20.0))
SCENE = (["red", "red", "green", "blue", "blue"], ["red", "green", "green", "blue", "white"])


def unit(*shape):
    return F.normalize(torch.randn(*shape), dim=-1)


@pytest.fixture
def images():
    torch.manual_seed(0)
    where = torch.randn(2, 4, 15).mul(3).softmax(dim=1)
    return EncodedImages(unit(2, 8), unit(2, 4, 8), where, (3, 5))


def test_a_region_is_scored_among_all_names_and_among_those_that_fit_the_window(images):
    names = unit(7, 8)
    found = region_scores(images, names, rule=RULE)
    for b in range(2):
        fits = (names @ images.image[b]).tolist()
        kept = sorted(range(7), key=lambda k: -fits[k])[:3]
        for j in range(4):
            powers = [math.exp(6 * (name @ images.regions[b, j]).item()) for name in names]
            for k in range(7):
                among_all = powers[k] / sum(powers)
                among_kept = powers[k] / sum(powers[i] for i in kept) if k in kept else 0
                assert found[b, j, k].item() == pytest.approx(among_all * among_kept, abs=1e-6)


def test_an_equal_synonym_changes_no_score(images):
    names = unit(7, 8)
    alone = region_scores(images, names, rule=RULE)
    twice = names[[0, 0, 1, 2, 3, 3, 3, 4, 5, 6]]
    owner = torch.tensor([0, 0, 1, 2, 3, 3, 3, 4, 5, 6])
    assert_close(region_scores(images, twice, rule=RULE, owner=owner), alone)


def test_fewer_names_than_are_kept_all_count(images):
    found = region_scores(images, unit(2, 8), rule=RULE)
    assert (found > 0).all()


def test_a_pixel_belongs_to_the_region_with_the_largest_share_once_upsampled(images):
    found: Any = name_regions(images, unit(7, 8), rule=RULE, size=(13, 21))
    shares = F.interpolate(images.where.unflatten(2, (3, 5)), (13, 21), mode="bilinear")
    assert found.grid == (13, 21)
    owned = found.where.unflatten(2, (13, 21))
    assert_close(owned.sum(dim=1), torch.ones(2, 13, 21))
    assert torch.equal(owned.argmax(dim=1), shares.argmax(dim=1))


def test_regions_that_are_patches_keep_their_places():
    torch.manual_seed(0)
    images = EncodedImages(unit(2, 8), unit(2, 15, 8), None, (3, 5))
    found = name_regions(images, unit(7, 8), rule=RULE, size=(13, 21))
    assert found.where is None and found.grid == (3, 5)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 2.0])
def test_the_background_is_where_no_name_fits_and_never_the_best_region(images, threshold):
    names = unit(7, 8)
    best = region_scores(images, names, rule=RULE).amax(dim=2)
    found = name_regions(images, names, rule=RULE, size=(13, 21), threshold=threshold)
    none = found.regions[:, :, -1]
    for b in range(2):
        bound = min(threshold, best[b].max().item())
        assert none[b].tolist() == [float(value < bound) for value in best[b].tolist()]
        assert none[b, best[b].argmax()] == 0
    assert bool(none.any()) == (threshold > 0)


class ByColour(nn.Module):
    """Four regions, the pure colours and white; a patch's shares are its likeness to each."""

    def forward(self, features):
        colours = code(torch.tensor(list(RGB.values())).float())
        patches = features.patches.flatten(1, 2)
        where = (20 * patches @ colours.mT).softmax(dim=2).mT
        regions = (where @ patches) / where.sum(dim=2, keepdim=True)
        return Pooled(patches.mean(dim=1), regions, where)


def by_colour(reading=NAMED, **more):
    segment = segmenter(reading, **more)
    segment.model.pool = ByColour()
    return segment


@pytest.mark.parametrize("chunk", [1, 2, 32])
@pytest.mark.parametrize("window", [0, 16])
def test_every_pixel_gets_the_name_of_its_colour(chunk, window):
    names = ["green", "white", "red", "blue"]
    segment = by_colour(replace(NAMED, chunk=chunk, window=window, stride=8))
    found = segment(painting(*SCENE), names)
    expected = np.array([[names.index(name) for name in row] for row in SCENE])
    patches = found.labels[1::4, 1::4]  # their centres
    assert np.array_equal(patches, expected.repeat(2, axis=0).repeat(2, axis=1))


def test_chunks_of_names_and_the_order_of_names_do_not_matter():
    picture, names = painting(*SCENE), ["red", "c1", "blue|c2", "c3", "white", "green", "c0"]
    rule = Background("region", 0.6)
    one = by_colour(more=4)(picture, names, background=rule)
    two = by_colour(replace(NAMED, chunk=1), more=4)(picture, names[::-1], background=rule)
    lower, upper = one.labels, two.labels
    assert np.array_equal(lower, np.where(upper == 0, 0, 8 - upper))
    np.testing.assert_allclose(one.confidence, two.confidence, rtol=1e-4)


def test_a_colour_without_a_name_is_background():
    """Its region is torn between names, while others are sure of theirs."""
    found = by_colour()(painting(*SCENE), "red, green", background=Background("region", 0.9))
    expected = np.array([[{"red": 1, "green": 2}.get(name, 0) for name in row] for row in SCENE])
    assert found.names == ("background", "red", "green")
    patches = found.labels[1::4, 1::4]
    assert np.array_equal(patches, expected.repeat(2, axis=0).repeat(2, axis=1))


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match=r"reading\.regions=whatwhere"):
        segmenter()(painting(["red"]), "red, blue", background=Background("region", 0.5))
    centred = Cosine(calibration="centred").build(Sizes(dim=6))
    with pytest.raises(ValueError, match=r"set similarity\.calibration=none"):
        segmenter(NAMED, similarity=centred)
    for scale, keep in ((0.0, 5), (1.0, 0), (None, 0)):
        with pytest.raises(ValueError, match=r"reading\.regions\.scale="):
            Regions(scale, keep)
