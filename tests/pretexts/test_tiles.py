"""Places that tell what a larger network makes of a part alone."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.testing import assert_close

from whatwhere.encoders.conv import Conv
from whatwhere.pretexts.tiles import Tiles
from whatwhere.records import ImageFeatures, Look, Sizes, Views

TEACHER = Conv(width=12, blocks=1, frozen=True)


def look(pictures, features):
    """At views that the encoder is known to see so."""
    views = Views(
        pictures[:, None], torch.rand(len(pictures), 1, 4), torch.zeros(len(pictures), 1) > 0
    )
    return views, Look(lambda _: ImageFeatures(features), views)


def seen_alone(pretext: Any, pictures, boxes):
    """The teacher's features of boxes (top, bottom, left, right), one picture after the other."""
    side = (pretext.settings.side,) * 2
    found = []
    for picture in pictures:
        for top, bottom, left, right in boxes:
            tile = F.interpolate(
                picture[None, :, top:bottom, left:right], side, mode="bilinear", antialias=True
            )
            found.append(pretext._teacher[0](tile).patches.mean(dim=(0, 1, 2)))
    return torch.stack(found)


def test_the_whole_is_one_tile():
    torch.manual_seed(0)
    pretext: Any = Tiles(teacher=TEACHER, most=1, side=32).build(Sizes(width=12))
    pictures, own = torch.rand(3, 3, 64, 64), torch.randn(3, 4, 4, 12)
    losses = pretext(*look(pictures, own))
    wanted = seen_alone(pretext, pictures, [(0, 64, 0, 64)])
    spread = wanted.std(dim=0, unbiased=False) + 1e-3
    expected = ((own.mean(dim=(1, 2)) - wanted) / spread).square().mean()
    assert_close(losses.total, expected, rtol=1e-4, atol=1e-4)


def test_each_tile_is_asked_for_what_the_teacher_sees_there(monkeypatch):
    """Two rows of three tiles on a grid of 4 x 8 places: middle columns share some with others."""
    torch.manual_seed(0)
    pretext: Any = Tiles(teacher=TEACHER, side=32).build(Sizes(width=12))
    monkeypatch.setattr(torch, "randint", lambda *_: torch.tensor([2, 3]))
    pictures, own = torch.rand(2, 3, 64, 128), torch.randn(2, 4, 8, 12)
    losses = pretext(*look(pictures, own))
    columns = [(0, 3), (2, 6), (5, 8)]
    places = [(2 * row, 2 * row + 2, *c) for row in range(2) for c in columns]
    found = torch.stack([one[a:b, c:d].mean(dim=(0, 1)) for one in own for a, b, c, d in places])
    wanted = seen_alone(pretext, pictures, [tuple(16 * n for n in place) for place in places])
    spread = wanted.std(dim=0, unbiased=False) + 1e-3
    assert_close(losses.total, ((found - wanted) / spread).square().mean(), rtol=1e-4, atol=1e-4)


def test_a_student_learns_not_to_look_beside():
    """Pictures of four colours: told apart by quarters only if each tile is seen alone."""
    torch.manual_seed(0)
    pretext: Any = Tiles(teacher=TEACHER, most=2, side=16).build(Sizes(width=12))
    pictures = torch.rand(16, 3, 2, 2).repeat_interleave(16, 2).repeat_interleave(16, 3)
    student = torch.nn.Conv2d(3, 12, 16, stride=16)
    adam = torch.optim.Adam(student.parameters(), lr=0.02)
    losses = []
    for _ in range(300):
        adam.zero_grad()
        loss = pretext(*look(pictures, student(pictures).movedim(1, -1))).total
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) < 0.2 * sum(losses[:20])


def test_classes_are_those_of_a_classifier(tmp_path):
    file = tmp_path / "classifier.safetensors"
    kernel, bias = torch.randn(5, 12), torch.randn(5)
    save_file({"classifier.1.weight": kernel, "classifier.1.bias": bias}, file)
    settings = Tiles(teacher=TEACHER, most=1, side=32, classes=0.5, classifier=str(file))
    pretext: Any = settings.build(Sizes(width=12))
    pictures, own = torch.rand(3, 3, 32, 32), torch.randn(3, 2, 2, 12)
    losses = pretext(*look(pictures, own))
    teachers = F.linear(seen_alone(pretext, pictures, [(0, 32, 0, 32)]), kernel, bias).softmax(-1)
    owns = F.linear(own.mean(dim=(1, 2)), kernel, bias).softmax(-1)
    apart = (teachers * (teachers.log() - owns.log())).sum(dim=1).mean()
    assert_close(losses.terms["classes"], 0.5 * apart, rtol=1e-4, atol=1e-4)


def test_the_teacher_is_in_no_checkpoint():
    pretext = Tiles(teacher=TEACHER).build(Sizes(width=12))
    assert {name.split(".")[0] for name in pretext.state_dict()} == {"standard"}
    assert not list(pretext.parameters())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Tiles(), "tiles needs a teacher"),
        (Tiles(teacher=Conv(width=12)), r"tiles.teacher.frozen=True"),
        (Tiles(teacher=Conv(width=8, frozen=True)), "features are 8 numbers and the student's 12"),
        (Tiles(teacher=TEACHER, classes=0.3), "go together"),
    ],
)
def test_what_cannot_teach_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        settings.build(Sizes(width=12))


def test_tiles_are_counted_from_one():
    with pytest.raises(ValueError, match="whole numbers from 1 on"):
        Tiles(teacher=TEACHER, most=0)
