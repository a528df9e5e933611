"""A name must fit some place of a photo well to win any."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from colours import SMALL, mosaic, painting, segmenter

from whatwhere.segmenter.presence import presence
from whatwhere.segmenter.reading import Reading, Regions

NAMES = ["red", "c0", "c1|c2", "c3", "c4"]


def test_presence_is_the_mean_over_the_best_three_percent_of_places():
    torch.manual_seed(0)
    scores = torch.randn(2, 3, 7, 10)
    best = scores.flatten(2).sort(dim=2, descending=True).values[:, :, :2]
    torch.testing.assert_close(presence(scores), best.mean(dim=2))


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_names_lose_what_their_presence_lacks_to_the_best(chunk):
    picture, weight = mosaic(16, 24), 0.7
    alone = segmenter(replace(SMALL, chunk=chunk), more=5)
    segment = segmenter(replace(SMALL, presence=weight, chunk=chunk), more=5)
    vectors, owner = segment.name_vectors([tuple(name.split("|")) for name in NAMES])
    images = alone.look(picture).seen.encoded[0]
    shown = presence(alone.model.similarity.readout.dense(images, vectors))[0]
    scores = alone.scores(picture, vectors) - weight * (shown.max() - shown)[:, None, None]
    torch.testing.assert_close(segment.scores(picture, vectors), scores)
    own = torch.stack([scores[owner == row].amax(dim=0) for row in range(len(NAMES))])
    best, label, confidence = segment.best(segment.look(picture), vectors, owner)
    assert torch.equal(label, own.argmax(dim=0))
    torch.testing.assert_close(best, own.amax(dim=0))
    shares = (segment.reading.scale * own).softmax(dim=0).amax(dim=0)
    torch.testing.assert_close(confidence, shares)


def pale_red():
    """Red, and between it a patch that white fits better than red does."""
    pixels = np.asarray(painting(["red", "red", "red", "red"], ["red"] * 4)).copy()
    pixels[:8, 8:16, 1:] = 140
    return pixels


def test_what_is_nowhere_for_sure_gets_nothing():
    without, with_presence = (
        segmenter(replace(SMALL, presence=weight))(pale_red(), "red, white").shares()
        for weight in (0.0, 1.0)
    )
    assert without["white"] > 0
    assert with_presence == {"red": 1.0, "white": 0.0}


def test_every_window_says_for_itself_what_it_shows():
    pixels = pale_red()
    pixels[:8, 16:24] = 255  # the right half shows white for sure
    labels = segmenter(replace(SMALL, window=16, stride=16, presence=1.0))(
        pixels, "red, white"
    ).labels
    assert (labels[:, :16] == 0).all()
    assert (labels[1:7, 17:23] == 1).all()


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="number from 0 on"):
        Reading(presence=-1.0)
    with pytest.raises(ValueError, match=r"set reading\.presence=0"):
        Reading(presence=1.0, regions=Regions())
