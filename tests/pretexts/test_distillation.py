"""Patches that tell what a larger network sees."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from whatwhere.encoders.conv import Conv
from whatwhere.pretexts.distillation import Distillation
from whatwhere.records import ImageFeatures, Look, Sizes, Views

TEACHER = Conv(width=12, blocks=1, frozen=True)


def views(size=(32, 48)):
    return Views(torch.rand(3, 1, 3, *size), torch.rand(3, 1, 4), torch.zeros(3, 1) > 0)


def look(features, looked=None):
    """At views that the encoder is known to see so."""
    looked = views() if looked is None else looked
    return looked, Look(lambda pictures: features, looked)


def test_the_loss_is_the_mean_square_from_the_teachers_standardised_features():
    torch.manual_seed(0)
    pretext: Any = Distillation(teacher=TEACHER).build(Sizes(width=5))
    looked, own = views(), ImageFeatures(torch.randn(3, 4, 6, 5))
    losses = pretext(*look(own, looked))
    seen = pretext._teacher[0](looked.pictures[:, 0]).patches.flatten(0, 2)
    target = (seen - seen.mean(0)) / (seen.var(0, unbiased=False) + 1e-5).sqrt()
    expected = (pretext.predict(own.patches).flatten(0, 2) - target).square().mean()
    assert_close(losses.terms["distillation"], expected)


def test_a_coarser_student_is_asked_for_the_mean_of_what_it_covers():
    pretext: Any = Distillation(teacher=TEACHER).build(Sizes(width=5))
    looked = views()
    pretext(*look(ImageFeatures(torch.randn(3, 2, 3, 5)), looked))
    seen = pretext._teacher[0](looked.pictures[:, 0]).patches
    assert pretext.standard.running_mean.shape == (12,) and seen.shape == (3, 4, 6, 12)
    mean = seen.mean(dim=(0, 1, 2))  # the resize keeps it, nearly: borders weigh a little less
    assert_close(pretext.standard.running_mean / 0.01, mean, rtol=0.2, atol=0.2)


def test_the_teacher_learns_nothing_and_is_in_no_checkpoint():
    pretext: Any = Distillation(teacher=TEACHER).build(Sizes(width=5))
    before = [weight.clone() for weight in pretext._teacher[0].parameters()]
    adam = torch.optim.SGD(pretext.parameters(), lr=1.0)
    pretext(*look(ImageFeatures(torch.randn(3, 4, 6, 5)))).total.backward()
    adam.step()
    assert all(map(torch.equal, before, pretext._teacher[0].parameters()))
    assert {name.split(".")[0] for name in pretext.state_dict()} == {"predict", "standard"}


def test_a_student_learns_to_see_as_its_teacher_does():
    """Its features carry what is asked for, so one linear map is enough."""
    torch.manual_seed(0)
    pretext: Any = Distillation(teacher=TEACHER).build(Sizes(width=12))
    looked = views()
    own = ImageFeatures(pretext._teacher[0](looked.pictures[:, 0]).patches)
    adam = torch.optim.Adam(pretext.parameters(), lr=0.03)
    first = last = pretext(*look(own, looked)).total
    for _ in range(150):
        adam.zero_grad()
        last = pretext(*look(own, looked)).total
        last.backward()
        adam.step()
    assert last < 0.1 * first


def test_a_teacher_is_needed_and_must_be_frozen():
    with pytest.raises(ValueError, match="needs a teacher"):
        Distillation().build(Sizes(width=5))
    with pytest.raises(ValueError, match=r"teacher.frozen=True"):
        Distillation(teacher=Conv(width=12)).build(Sizes(width=5))


def test_a_coarser_student_learns_in_bfloat16_too():
    """Torch has no antialiased resize of it on CPU."""
    pretext: Any = Distillation(teacher=TEACHER).build(Sizes(width=5))
    with torch.autocast("cpu", torch.bfloat16):
        losses = pretext(*look(ImageFeatures(torch.randn(3, 2, 3, 5))))
    assert losses.total.isfinite()


def test_dropped_patches_have_no_places():
    pretext: Any = Distillation(teacher=TEACHER).build(Sizes(width=5))
    with pytest.raises(ValueError, match=r"image.patch_drop=0"):
        pretext(*look(ImageFeatures(torch.randn(3, 1, 12, 5), sampled=True)))
