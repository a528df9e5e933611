"""The loop itself: gradients are clipped, losses checked, numbers told, in either precision."""

from dataclasses import dataclass, replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from whatwhere.heads.identity import Identity
from whatwhere.model import Model
from whatwhere.pooling.patches import PatchPool
from whatwhere.records import Batch, ImageFeatures, Losses, Sizes, TextFeatures, Tokens
from whatwhere.similarity.cosine import Cosine
from whatwhere.training import Step, autocast, checkpoints, train
from whatwhere.training.logs import read_log
from whatwhere.training.settings import Training

SETTINGS = Training(
    steps=5, lr=0.01, warmup=0.0, weight_decay=0.0, clip=0.0, device="cpu", log_every=1
)


class Pixels(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 6))
        self.types: list[torch.dtype] = []

    def forward(self, images, inject=None):
        patches = images.movedim(1, -1) @ self.weight
        self.types.append(patches.dtype)
        return ImageFeatures(patches)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(9, 6)

    def embed(self, ids):
        return self.table(ids)

    def encode(self, embeddings, mask, inject=None):
        return TextFeatures(embeddings, (embeddings * mask[..., None]).sum(dim=1))


@dataclass(frozen=True)
class Slope:
    """A loss whose gradient is known: `size` times the sum of the map from colours to patches."""

    model: Pixels
    size: float = 1.0
    breaks_at: int = -1

    def __call__(self, batch, encoded):
        loss = self.size * self.model.weight.sum() + 0 * encoded.pairs.image_to_text.sum()
        if len(self.model.types) - 1 == self.breaks_at:
            loss = loss * float("nan")
        single = torch.tensor(float(loss.dtype == torch.float32))
        return Losses({"slope": loss}, {"single": single, "drawn": torch.rand(())})


class Calls(nn.Module):
    def __init__(self, objective):
        super().__init__()
        self.objective = objective

    def forward(self, batch, encoded):
        return self.objective(batch, encoded)


def step_of(size=1.0, breaks_at=-1):
    torch.manual_seed(0)
    pixels = Pixels()
    similarity = Cosine().build(Sizes(dim=6))
    model = Model(pixels, Identity().build(Sizes()), PatchPool(), Words(), similarity)
    return Step(model, Calls(Slope(pixels, size, breaks_at)))


def batches(first, last):
    for step in range(first, last):
        draw = torch.Generator().manual_seed(step)
        ids = torch.randint(9, (2, 4), generator=draw)
        tokens = Tokens(ids, ids > 0, torch.zeros(2, 4, 2, dtype=torch.long))
        yield Batch(tokens, images=torch.rand(2, 3, 5, 7, generator=draw))


def moment(run):
    """The first moment of the colour map after one step: a tenth of its gradient (beta 0.9)."""
    file = checkpoints.newest(run) / "optimizer.safetensors"
    return load_file(file)["model.image_encoder.weight/exp_avg"]


@pytest.mark.parametrize(("clip", "norm"), [(0.0, 50 * 18**0.5), (3.0, 3.0), (1e4, 50 * 18**0.5)])
def test_the_gradient_is_clipped_to_its_largest_norm(tmp_path, clip, norm):
    settings = replace(SETTINGS, steps=1, clip=clip, betas=(0.9, 0.98))
    train(step_of(size=50.0), batches, settings, run=tmp_path, about={})
    assert (moment(tmp_path).norm() / 0.1).item() == pytest.approx(norm, rel=1e-4)


def test_every_step_walks_at_its_learning_rate(tmp_path):
    """A constant gradient moves Adam by the rate itself in each step."""
    step = step_of()
    before = step.model.image_encoder.weight.detach().clone()
    train(step, batches, replace(SETTINGS, warmup=2.0), run=tmp_path, about={})
    rates = [value for _, name, value in read_log(tmp_path / "log.csv") if name == "lr"]
    assert rates == pytest.approx([0.005, 0.01, 0.01, 0.0075, 0.0025])
    moved = before - step.model.image_encoder.weight
    torch.testing.assert_close(moved, torch.full((3, 6), sum(rates)), rtol=1e-3, atol=0)


@pytest.mark.parametrize("every", [0, 2, 3])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_what_was_learned(tmp_path, every):
    settings = replace(SETTINGS, checkpoint_every=every)
    with pytest.raises(ValueError, match=r"not finite in step 3 .*nan.* are kept"):
        train(step_of(breaks_at=3), batches, settings, run=tmp_path, about={})
    folder = checkpoints.newest(tmp_path)
    assert folder.name == "step-00000003"
    weights = load_file(folder / "model.safetensors")
    assert all(weight.isfinite().all() for weight in weights.values())


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_gradient_that_is_no_number_does_not_reach_the_weights(tmp_path, clip):
    step = step_of()
    step.model.image_encoder.weight.register_hook(
        lambda grad: grad / 0 if len(step.model.image_encoder.types) == 4 else grad
    )
    settings = replace(SETTINGS, checkpoint_every=1, clip=clip)
    with pytest.raises(ValueError, match=r"the gradient is not finite in step 3 .* are kept"):
        train(step, batches, settings, run=tmp_path, about={})
    folder = checkpoints.newest(tmp_path)
    assert folder.name == "step-00000003"
    weights = load_file(folder / "model.safetensors")
    assert all(weight.isfinite().all() for weight in weights.values())


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_bf16_halves_the_products_but_not_weights_scores_and_losses(tmp_path, precision, dtype):
    step = step_of()
    report = train(step, batches, replace(SETTINGS, precision=precision), run=tmp_path, about={})
    assert set(step.model.image_encoder.types) == {dtype}
    assert step.model.image_encoder.weight.dtype == torch.float32
    assert report["single"] == 1.0
    assert moment(tmp_path).dtype == torch.float32


@pytest.mark.parametrize(("can", "dtype"), [({"avx512_bf16": True}, torch.bfloat16), ({}, None)])
def test_auto_is_bf16_where_the_processor_multiplies_it(monkeypatch, can, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    with autocast(torch.device("cpu"), Training(precision="auto")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (dtype or torch.float32)


def drawn(run):
    return [value for _, name, value in read_log(run / "log.csv") if name == "drawn"]


def test_chance_follows_from_seed_and_step_and_so_survives_an_interruption(tmp_path):
    whole, other, stopped = (tmp_path / name for name in ("whole", "other", "stopped"))
    train(step_of(), batches, SETTINGS, run=whole, about={})
    train(step_of(), batches, replace(SETTINGS, seed=1), run=other, about={})
    settings = replace(SETTINGS, checkpoint_every=2)
    with pytest.raises(ValueError, match="not finite"):
        train(step_of(breaks_at=3), batches, settings, run=stopped, about={})
    torch.manual_seed(77)
    train(step_of(), batches, settings, run=stopped, about={}, resume=True)
    assert len(set(drawn(whole) + drawn(other))) == 10
    assert drawn(stopped) == drawn(whole)


def test_what_was_lost_is_told_with_its_step(tmp_path):
    settings = replace(SETTINGS, log_every=2)
    report = train(step_of(), batches, settings, run=tmp_path, about={})
    rows = read_log(tmp_path / "log.csv")
    assert [step for step, name, _ in rows if name == "loss"] == [2, 4, 5]
    assert {"loss", "slope", "single", "drawn", "lr", "samples_per_second"} == report.keys()
    assert dict((name, value) for step, name, value in rows if step == 5) == report


def test_validation_sees_the_model_at_rest_and_is_logged(tmp_path):
    seen = []

    step = step_of()

    def validate(done):
        seen.append((done, step.training, torch.is_grad_enabled()))
        return {"validation/miou": float(done)}

    settings = replace(SETTINGS, validate_every=2)
    report = train(step, batches, settings, run=tmp_path, about={}, validate=validate)
    assert seen == [(done, False, False) for done in (0, 2, 4, 5)]
    assert step.training and report["validation/miou"] == 5
    rows = read_log(tmp_path / "log.csv")
    assert [row for row in rows if row[1] == "validation/miou"] == [
        (done, "validation/miou", float(done)) for done in (0, 2, 4, 5)
    ]


def test_tensorboard_gets_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboard", reason="needs the extra `track`")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(step_of(), batches, SETTINGS, run=tmp_path, about={})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    shown = [(event.step, event.value) for event in events.Scalars("loss")]
    rows = read_log(tmp_path / "log.csv")
    expected = [(step, value) for step, name, value in rows if name == "loss"]
    assert [step for step, _ in shown] == [1, 2, 3, 4, 5]
    assert [value for _, value in shown] == pytest.approx([value for _, value in expected])
