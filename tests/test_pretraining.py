"""Views of photos, step by step."""

from dataclasses import dataclass, replace

import pytest
import torch
from PIL import Image

from whatwhere.captions.samples import BrokenImage
from whatwhere.objectives.together import Together
from whatwhere.pretraining import Learner, ViewBatches, Viewing
from whatwhere.records import ImageFeatures, Losses
from whatwhere.scenes.source import Scenes
from whatwhere.scenes.world import World

SCENES = Scenes(World(), count=10)
VIEWING = Viewing(batch=4, size=(24, 32))


def batches(**changed):
    return ViewBatches(SCENES, VIEWING, seed=0, **changed)


def test_a_step_is_the_same_whenever_it_is_asked_for():
    first, again = batches(), batches()
    later = list(again.from_step(3, last=5))
    for step, prepared in zip((3, 4), later, strict=True):
        views = first[step].views
        assert torch.equal(views.pictures, prepared.views.pictures)
        assert torch.equal(views.boxes, prepared.views.boxes)
    assert not torch.equal(later[0].views.pictures, later[1].views.pictures)


def test_two_processes_share_what_one_would_see():
    whole = batches()[1].views
    halves = [batches(rank=rank, world=2)[1].views for rank in (0, 1)]
    assert len(whole) == 4 and whole.pictures.shape == (4, 2, 3, 24, 32)
    assert torch.equal(torch.cat([half.pictures for half in halves]), whole.pictures)


def test_an_epoch_shows_every_photo_once():
    @dataclass(frozen=True)
    class Plain:
        key: str
        captions: tuple[str, ...] = ()

        def open(self):
            return Image.new("RGB", (8, 8), (int(self.key), 0, 0))

    plain = [Plain(str(20 * i)) for i in range(8)]
    settings = replace(VIEWING, colour=0.0, views=1)
    made = ViewBatches(plain, settings, seed=3)
    for epoch in (0, 1):
        seen = torch.cat([made[2 * epoch + half].views.pictures[:, 0, 0, 0, 0] for half in (0, 1)])
        assert sorted((seen * 255).round().tolist()) == [20 * i for i in range(8)]


def test_colours_change_within_bounds_and_only_when_asked():
    grey = [_Grey()] * 4
    for colour, apart in ((0.0, 0.0), (0.3, 0.3)):
        settings = replace(VIEWING, colour=colour)
        pictures = ViewBatches(grey, settings, seed=0)[0].views.pictures
        change = (pictures - 128 / 255).abs().max() / (128 / 255)
        assert change <= apart + 0.01 and (change > 0.02) == bool(colour)


def test_an_encoder_looks_once_for_all_pretexts_that_ask_and_else_never():
    seen = []

    def encoder(pictures):
        seen.append(pictures)
        return ImageFeatures(pictures.movedim(1, -1))

    def level(views, look):
        return Losses({"level": look.features.patches.mean()})

    def spread(views, look):
        return Losses({"spread": look.features.patches.std()})

    def photos(views, look):
        return Losses({"photos": torch.tensor(float(len(views)))})

    views = batches()[0].views
    Learner(encoder, Together([photos]))(views)
    assert seen == []
    losses = Learner(encoder, Together([photos, level, spread]))(views)
    assert losses.terms.keys() == {"photos", "level", "spread"} and len(seen) == 1
    in_a_row = [view for photo in views.pictures for view in photo]
    assert torch.equal(seen[0], torch.stack(in_a_row))


@dataclass(frozen=True)
class _Grey:
    key: str = "grey"
    captions: tuple[str, ...] = ()

    def open(self):
        return Image.new("RGB", (64, 64), (128, 128, 128))


@dataclass(frozen=True)
class _Torn(_Grey):
    key: str = "torn.jpg"

    def open(self):
        raise BrokenImage(self.key, "empty file")


def test_a_broken_photo_is_replaced_and_told():
    settings = replace(VIEWING, batch=2)
    made = ViewBatches([_Torn(), _Grey()], settings, seed=0)[0]
    assert made.broken == (("torn.jpg", "empty file"),) and len(made.views) == 2
    with pytest.raises(ValueError, match="none of the 2 photos can be opened: empty file"):
        ViewBatches([_Torn(), _Torn()], settings, seed=0)[0]


@pytest.mark.parametrize(
    "setting",
    [
        {"batch": 0},
        {"views": 0},
        {"size": (0, 8)},
        {"workers": -1},
        {"crop": (0.0, 1.0)},
        {"colour": 1.0},
    ],
)
def test_settings_say_what_they_take(setting):
    with pytest.raises(ValueError, match="take"):
        Viewing(**setting)


def test_a_batch_must_fit_photos_and_processes():
    with pytest.raises(ValueError, match=r"use viewing.batch=10"):
        ViewBatches(SCENES, replace(VIEWING, batch=11), seed=0)
    with pytest.raises(ValueError, match=r"use viewing.batch=3"):
        ViewBatches(SCENES, VIEWING, seed=0, world=3)
