"""Contrast of pictures and of places."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from whatwhere.pretexts.dense_contrast import DenseContrast, same_place
from whatwhere.records import ImageFeatures, Look, Sizes, Views
from whatwhere.transforms import View

ROWS, COLS, WIDTH = 4, 6, 10
BOXES = [  # of two views of three photos: overlapping, mirrored both ways, apart
    ((0.0, 0.0, 40.0, 60.0), False, (10.0, 10.0, 20.0, 50.0), False),
    ((5.0, 0.0, 30.0, 45.0), True, (0.0, 9.0, 40.0, 60.0), False),
    ((0.0, 0.0, 10.0, 10.0), False, (20.0, 20.0, 10.0, 10.0), True),
]


def views(boxes=BOXES):
    both = torch.tensor([[first, second] for first, _, second, _ in boxes])
    mirrored = torch.tensor([[a, b] for _, a, _, b in boxes])
    return Views(torch.rand(len(boxes), 2, 3, 8, 8), both, mirrored)


def features(count=3):
    torch.manual_seed(0)
    return ImageFeatures(torch.randn(2 * count, ROWS, COLS, WIDTH))


def look(features, looked=None):
    """At views that the encoder is known to see so."""
    looked = views() if looked is None else looked
    return looked, Look(lambda pictures: features, looked)


def test_a_place_is_where_the_transform_puts_its_pixel():
    """`View.boxes` moves points of the photo into a view; so the partner can be looked up there."""
    found, shown = same_place(views(), rows=ROWS, cols=COLS)
    seen = 0
    for photo, (box, mirrored, other, other_mirrored) in enumerate(BOXES):
        top, left, height, width = box
        into = View(other, (ROWS, COLS), other_mirrored)
        for row in range(ROWS):
            for col in range(COLS):
                across = COLS - 0.5 - col if mirrored else col + 0.5
                y, x = top + (row + 0.5) / ROWS * height, left + across / COLS * width
                inside = 0 <= y - other[0] < other[2] and 0 <= x - other[1] < other[3]
                patch = row * COLS + col
                assert shown[photo, patch] == inside
                if inside:
                    there = into.boxes(np.array([[y, x, y, x]]))[0]
                    assert found[photo, patch] == int(there[0]) * COLS + int(there[1])
                    seen += 1
    assert seen > 20 and not shown[2].any()


def test_equal_views_with_one_place_each_are_plain_contrast_of_everything():
    box = (0.0, 0.0, 1.0, 1.0)
    pretext = DenseContrast(places=1, temperature=0.2).build(Sizes(width=WIDTH))
    one = torch.randn(3, 1, 1, WIDTH)
    same = ImageFeatures(one.repeat_interleave(2, dim=0))
    losses = pretext(*look(same, views([(box, False, box, False)] * 3)))
    for name, head in (("places", pretext.place_head), ("wholes", pretext.whole_head)):
        vectors = F.normalize(head(one.flatten(1)), dim=-1)
        expected = F.cross_entropy(vectors @ vectors.mT / 0.2, torch.arange(3))
        assert losses.terms[name].item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses.report["place_accuracy"] == 1


def test_neighbours_in_the_same_photo_are_no_contrast():
    """Two rows and two columns are all neighbours, so nothing is left to tell apart."""
    box = (0.0, 0.0, 8.0, 8.0)
    pretext = DenseContrast(places=4).build(Sizes(width=WIDTH))
    alone = ImageFeatures(torch.randn(2, 2, 2, WIDTH))
    losses = pretext(*look(alone, views([(box, False, box, False)])))
    assert losses.terms["places"].item() == pytest.approx(0, abs=1e-6)
    far = ImageFeatures(torch.randn(2, 2, 3, WIDTH))
    losses = pretext(*look(far, views([(box, False, box, False)])))
    assert losses.terms["places"] > 0.1


def test_views_that_share_no_place_lose_nothing_by_places_and_give_gradients():
    pretext = DenseContrast().build(Sizes(width=WIDTH))
    losses = pretext(*look(features(2), views(BOXES[2:] * 2)))
    assert losses.terms["places"] == 0 and losses.terms["wholes"] > 0
    losses.total.backward()
    assert all(weight.grad is not None for weight in pretext.parameters())


def test_places_are_drawn_by_the_seed_and_differ_between_seeds():
    pretext = DenseContrast(places=3).build(Sizes(width=WIDTH))
    values = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        seen = ImageFeatures(torch.ones(6, 4, 6, 1) * SPREAD)
        values.append(pretext(*look(seen)).total.item())
    assert values[0] == values[1] != values[2]


SPREAD = torch.linspace(-1, 1, WIDTH) * torch.arange(1, 25).view(1, 4, 6, 1).sin()


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_views_is_refused(count):
    pretext = DenseContrast().build(Sizes(width=WIDTH))
    some = Views(torch.rand(2, count, 3, 8, 8), torch.rand(2, count, 4), torch.zeros(2, count) > 0)
    with pytest.raises(ValueError, match=r"viewing.views=2"):
        pretext(*look(ImageFeatures(torch.randn(2 * count, 2, 2, WIDTH)), some))


@pytest.mark.parametrize("setting", [{"places": 0}, {"temperature": 0.0}])
def test_settings_say_what_they_take(setting):
    with pytest.raises(ValueError, match="take 1 place or more"):
        DenseContrast(**setting).build(Sizes(width=WIDTH))


def test_dropped_patches_have_no_places():
    pretext = DenseContrast().build(Sizes(width=WIDTH))
    with pytest.raises(ValueError, match=r"image.patch_drop=0"):
        pretext(*look(ImageFeatures(torch.randn(6, 1, 12, WIDTH), sampled=True)))
