"""Stages that learn what a larger network's do."""

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from einops import rearrange
from safetensors.torch import load_file, save_file
from torch import nn

from whatwhere.encoders.conv import Conv
from whatwhere.encoders.mobilenet_v2 import MobileNetV2
from whatwhere.encoders.tower import ImageTower
from whatwhere.pretexts.stagewise import Stagewise, class_divergence
from whatwhere.pretexts.teachers import SEEN, Standard
from whatwhere.recipes import Pretraining, load, override
from whatwhere.records import ImageFeatures, Look, Sizes, Views
from whatwhere.runs.pretraining import run_pretraining
from whatwhere.scenes.source import Scenes
from whatwhere.scenes.world import World

SIZES = Sizes(width=1280)


class Steps(nn.Module):
    """Stages that each halve the grid."""

    def __init__(self, widths, stride):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, stride, stride), nn.ReLU())
            for before, after in zip((3, *widths), widths, strict=False)
        )

    def stage_maps(self, pixels):
        maps = [pixels]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]

    def forward(self, pixels, inject=None):
        maps = self.stage_maps(pixels)[-1]
        return ImageFeatures(rearrange(maps, "batch width rows cols -> batch rows cols width"))


@dataclass(frozen=True)
class Toy:
    widths: tuple[int, ...] = (4, 6)
    stride: int = 2
    frozen: bool = True

    def build(self, sizes):
        return ImageTower(
            Steps(self.widths, self.stride),
            mean=(0.5, 0.25, 0.5),
            std=(0.5, 0.5, 0.25),
            patch=self.stride ** len(self.widths),
            size=16,
            width=self.widths[-1],
            frozen=self.frozen,
        )


def views(pictures):
    photos = len(pictures)
    return Views(pictures[:, None], torch.rand(photos, 1, 4), torch.zeros(photos, 1) > 0)


def learn(pretext, student, pictures):
    looked = views(pictures)
    return pretext(looked, Look(student, looked))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a random MobileNetV2 whose batch norms know its maps, so that nothing fades out in it."""
    torch.manual_seed(0)
    tower: Any = MobileNetV2(stride=32, frozen=False).build(Sizes()).train()
    for module in tower.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        tower(torch.rand(4, 3, 64, 64))
    state = tower.network.network.state_dict()
    path = tmp_path_factory.mktemp("teacher") / "mobilenet.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return str(path)


LAYERS = 19
WIDE: Any = MobileNetV2(stride=32, expand=(2, 8), frozen=False)


@pytest.mark.parametrize("number", [0, 4, 18])
def test_a_stage_that_is_the_teachers_loses_nothing_whatever_the_others_do(weights, number):
    torch.manual_seed(1)
    teacher = MobileNetV2(weights=weights, stride=32)
    pretext: Any = Stagewise(teacher=teacher).build(SIZES).train()
    student: Any = WIDE.build(Sizes())
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):  # so that both round alike
        learn(pretext, student, pictures)
        student.network.stages[number] = deepcopy(pretext._teacher[0].network.stages[number])
        pretext.eval()
        report = learn(pretext, student, pictures).report
    lost = [report[f"stage_{i}"] for i in range(LAYERS)]
    assert lost.pop(number) < 1e-3
    assert min(lost) > 0.2


def test_the_first_batches_say_what_mean_and_spread_are():
    """Counted anew over all their places; what comes later changes nothing."""
    torch.manual_seed(0)
    pretext: Any = Stagewise(teacher=Toy(), weight=0.5).build(Sizes(width=6)).train()
    student: Any = Toy(frozen=False).build(Sizes())
    for weight in student.parameters():
        nn.init.zeros_(weight)  # so that what is lost is the square of what is asked for
    batches = [torch.rand(2, 3, 8, 12) for _ in range(SEEN)]
    for pictures in batches:
        learn(pretext, student, pictures)
    fixed = {name: value.clone() for name, value in pretext.state_dict().items()}
    later = torch.rand(3, 3, 8, 12) ** 4
    losses = learn(pretext, student, later)
    assert all(torch.equal(fixed[name], value) for name, value in pretext.state_dict().items())
    (teacher,) = pretext._teacher

    @torch.no_grad()
    def taught(pictures, stage):
        maps = teacher.network.stage_maps(teacher.normalized(pictures))[stage]
        return rearrange(maps.double(), "batch width rows cols -> (batch rows cols) width").numpy()

    expected = []
    for stage in (0, 1):
        spread = np.concatenate([taught(pictures, stage) for pictures in batches]).std(axis=0)
        spread = np.maximum(spread, np.quantile(spread, 0.5, method="lower") / 10) + 1e-3
        expected.append(((taught(later, stage) / spread) ** 2).mean())
        assert losses.report[f"stage_{stage}"].item() == pytest.approx(expected[-1], rel=1e-3)
    assert losses.total.item() == pytest.approx(0.5 * sum(expected), rel=1e-3)


def test_a_channel_that_never_changes_does_not_outweigh_the_others():
    standard = Standard(3).train()
    maps = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    maps[:, 1] = 5.0
    standard(maps)
    usual = standard.spread().median().item()
    assert standard.spread()[1].item() == pytest.approx(usual / 10, rel=0.02)
    assert standard.scaled(maps + usual)[:, 1].abs().max() < 11


@pytest.mark.parametrize(("feed", "reached"), [("teacher", False), ("own", True)])
def test_the_last_stages_loss_teaches_the_first_only_if_fed_its_own(feed, reached):
    """With weights of zero in the last stage, nothing comes back through it."""
    torch.manual_seed(0)
    pretext: Any = Stagewise(teacher=Toy(), feed=feed).build(Sizes(width=6)).train()
    student: Any = Toy(frozen=False).build(Sizes())
    first, last = (stage[0] for stage in student.network.stages)
    pictures = torch.rand(2, 3, 8, 12)
    learn(pretext, student, pictures)
    pretext.eval()
    gradients = []
    for _ in range(2):
        student.zero_grad()
        learn(pretext, student, pictures).total.backward()
        gradients.append(first.weight.grad.clone())
        nn.init.zeros_(last.weight)
    assert gradients[1].abs().sum() > 0
    assert torch.equal(*gradients) != reached


def test_the_teacher_learns_nothing_and_is_in_no_checkpoint():
    pretext: Any = Stagewise(teacher=Toy()).build(Sizes(width=6)).train()
    student: Any = Toy(frozen=False).build(Sizes())
    before = [weight.clone() for weight in pretext._teacher[0].parameters()]
    learn(pretext, student, torch.rand(2, 3, 8, 12)).total.backward()
    torch.optim.SGD([*pretext.parameters(), *student.parameters()], lr=1.0).step()
    assert all(map(torch.equal, before, pretext._teacher[0].parameters()))
    assert list(pretext.parameters()) == []
    assert set(pretext.state_dict()) == {
        f"standards.{stage}.{name}" for stage in (0, 1) for name in ("seen", "mean", "square")
    }


def test_strides_that_differ_are_told():
    pretext = Stagewise(teacher=Toy()).build(Sizes(width=6))
    student = Toy(stride=4, frozen=False).build(Sizes())
    said = r"gives \(4, 4, 4\) .* teacher's \(4, 8, 8\); set the same stride for both"
    with pytest.raises(ValueError, match=said):
        learn(pretext, student, torch.rand(1, 3, 16, 16))


@pytest.mark.parametrize(
    ("student", "count"),
    [(Conv(width=6, blocks=1), "no stages"), (Toy((4, 6, 8), frozen=False), "3 stages")],
    ids=["without stages", "with others"],
)
def test_a_student_of_other_stages_is_told(student, count):
    pretext = Stagewise(teacher=Toy()).build(Sizes(width=6))
    with pytest.raises(ValueError, match=rf"has {count} to teach and the teacher 2; set image="):
        learn(pretext, student.build(Sizes()), torch.rand(1, 3, 16, 16))


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        (None, "needs a teacher"),
        (Toy(frozen=False), r"set stagewise.teacher.frozen=True"),
        (Conv(width=6, blocks=1, frozen=True), "Conv does not show its stages"),
    ],
    ids=["none", "learning", "without stages"],
)
def test_a_teacher_is_needed_is_frozen_and_shows_its_stages(teacher, said):
    with pytest.raises(ValueError, match=said):
        Stagewise(teacher=teacher).build(SIZES)


def test_a_tower_learns_its_stages_first_and_then_as_a_whole(weights, tmp_path):
    photos = []
    scenes = Scenes(World(height=64, width=64), count=4)
    for number in range(4):
        scene = scenes[number]
        photos.append(tmp_path / f"{number}.png")
        scene.open().save(photos[-1])

    def run(name, *settings):
        small = (
            f"stagewise.teacher.weights={weights}",
            "viewing.batch=2",
            "viewing.size=(64, 64)",
            "viewing.workers=0",
            "training.device=cpu",
            "training.precision=fp32",
            "training.steps=2",
        )
        recipe = override(load(name, Pretraining), [*small, *settings])
        return run_pretraining(recipe, photos=photos, out=tmp_path / name)

    stages = run("tiny-stages")
    learned = load_file(stages.weights)
    tower = replace(WIDE, weights=str(stages.weights), frozen=True).build(Sizes())
    found = tower.network.state_dict()
    assert found.keys() == learned.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in learned.items())
    whole = run("tiny-tower", f"image.weights={stages.weights}")
    moved = load_file(whole.weights)
    assert not torch.equal(
        moved["network.features.0.0.weight"], learned["network.features.0.0.weight"]
    )
    assert {f"stage_{i}" for i in range(LAYERS)} <= stages.report.keys() & whole.report.keys()


def test_classes_are_told_apart_as_the_teacher_tells_them():
    torch.manual_seed(0)
    own, teachers = torch.rand(3, 5, 1, 2), torch.rand(3, 5, 1, 2)
    kernel, bias = torch.randn(4, 5), torch.randn(4)
    found = class_divergence(own, teachers, kernel=kernel, bias=bias)
    expected = 0.0
    for picture in range(3):
        looks = [
            (maps[picture].mean(dim=(1, 2)), *maps[picture, :, 0].T) for maps in (own, teachers)
        ]
        apart = []
        for mine, wanted in zip(*looks, strict=True):
            p, q = ((kernel @ x + bias).softmax(0) for x in (wanted, mine))
            apart.append((p * (p / q).log()).sum().item())
        expected += (apart[0] + (apart[1] + apart[2]) / 2) / 3
    assert found.item() == pytest.approx(expected, rel=1e-4)
    same = class_divergence(teachers, teachers, kernel=kernel, bias=bias)
    assert same.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("setting", [{"classes": 1.0}, {"classifier": "somewhere.safetensors"}])
def test_classes_need_a_classifier_and_the_other_way_round(setting, weights):
    with pytest.raises(ValueError, match="go together"):
        Stagewise(teacher=MobileNetV2(weights=str(weights)), **setting).build(SIZES)
