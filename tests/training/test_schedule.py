"""Learning rates that can be written down, and which weights decay."""

import json
import math
from dataclasses import replace

import pytest
import torch
from golden import FOLDER, SET
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from whatwhere.training.schedule import for_data, lr_at, optimizer
from whatwhere.training.settings import Training


def test_the_first_step_already_learns_and_the_warm_up_ends_at_the_full_rate():
    settings = Training(steps=50, lr=0.3, warmup=4.0)
    assert [lr_at(s, settings) for s in range(4)] == pytest.approx([0.075, 0.15, 0.225, 0.3])
    assert lr_at(4, settings) == pytest.approx(0.3)


def test_half_of_the_rest_halves_the_rate_and_the_end_is_zero():
    settings = Training(steps=50, lr=0.3, warmup=10.0)
    assert lr_at(30, settings) == pytest.approx(0.15)
    assert lr_at(20, settings) == pytest.approx(0.3 * (1 + math.sqrt(0.5)) / 2)
    assert lr_at(50, settings) == pytest.approx(0.0)


def test_a_share_of_the_steps_is_as_good_as_their_number():
    share, number = (Training(steps=70, lr=0.1, warmup=w) for w in (0.1, 7.0))
    assert [lr_at(s, share) for s in range(70)] == [lr_at(s, number) for s in range(70)]


def test_without_warm_up_the_first_rate_is_the_full_one():
    assert lr_at(0, Training(lr=0.2, warmup=0.0)) == 0.2


@given(steps=st.integers(1, 300), warmup=st.one_of(st.floats(0, 0.99), st.integers(1, 300)))
def test_every_step_has_a_rate_above_zero_that_never_exceeds_the_full_one(steps, warmup):
    settings = Training(steps=steps, lr=0.5, warmup=float(warmup))
    assert all(0 < lr_at(step, settings) <= 0.5 for step in range(steps))


def test_epochs_become_steps_rounded_up_once():
    settings = Training(steps=0, epochs=2.5)
    assert [for_data(settings, samples=10, batch=b).steps for b in (1, 4, 5, 60)] == [25, 7, 5, 1]
    assert for_data(Training(steps=7), samples=10, batch=4).steps == 7


def test_the_rate_grows_with_the_batch_from_the_batch_it_is_given_for():
    settings = Training(lr=3e-5, lr_for=256)
    rates = [for_data(settings, samples=9, batch=b).lr for b in (256, 512, 64)]
    assert rates == pytest.approx([3e-5, 6e-5, 7.5e-6])
    assert for_data(Training(lr=3e-5), samples=9, batch=512).lr == 3e-5


def test_what_is_worked_out_once_stays_as_it_is():
    done = for_data(Training(steps=0, epochs=3.0, lr=0.1, lr_for=2), samples=11, batch=4)
    assert for_data(done, samples=50, batch=8) == done
    assert replace(done, steps=1000, lr=0.1) == replace(Training(), lr=0.1)


def test_golden_simzss_schedule():
    """The steps of an epoch are not compared: theirs follow from their loader (see `for_data`)."""
    if not FOLDER.is_dir():
        pytest.skip(f"no golden vectors: {FOLDER} is missing (set WHATWHERE_GOLDEN)")
    stored = json.loads((FOLDER / f"simzss_schedule_tokens_{SET}.json").read_text())
    for case in stored["schedules"]:
        settings = Training(steps=case["total"], lr=case["base_lr"], warmup=float(case["warmup"]))
        rates = [lr_at(step, settings) for step in range(case["total"])]
        assert rates == pytest.approx(case["lr"], rel=1e-12, abs=1e-18)
    for case in stored["batches"]:  # the same number of pictures, up to what rounding adds
        steps = for_data(
            Training(steps=0, epochs=1.0), samples=case["num_samples"], batch=case["global_batch"]
        ).steps
        assert steps <= case["batches_per_epoch"] < steps + case["workers"]


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.map = nn.Linear(3, 5)
        self.norm = nn.LayerNorm(5)
        self.relative_attention_bias = nn.Embedding(7, 2)  # T5's name for a matrix of biases
        self.scale = nn.Parameter(torch.zeros(1))
        self.fixed = nn.Linear(3, 5).requires_grad_(False)


def test_only_matrices_that_are_no_biases_decay_and_what_is_fixed_is_left_out():
    parts = Parts()
    decayed, plain = optimizer(parts, Training(weight_decay=0.3)).param_groups
    names = {id(weight): name for name, weight in parts.named_parameters()}
    assert [names[id(w)] for w in decayed["params"]] == ["map.weight"]
    assert [names[id(w)] for w in plain["params"]] == [
        "scale",
        "map.bias",
        "norm.weight",
        "norm.bias",
        "relative_attention_bias.weight",
    ]
    assert decayed["weight_decay"] == 0.3 and plain["weight_decay"] == 0


def test_decay_shrinks_a_weight_without_gradient_by_rate_times_decay():
    parts = Parts()
    adam = optimizer(parts, Training(lr=0.1, weight_decay=0.3))
    before = {name: weight.clone() for name, weight in parts.named_parameters()}
    for weight in parts.parameters():
        weight.grad = torch.zeros_like(weight)
    adam.step()
    for name, weight in parts.named_parameters():
        kept = 1 - 0.1 * 0.3 if name == "map.weight" else 1.0
        torch.testing.assert_close(weight, kept * before[name])


def test_nothing_to_train_is_an_error():
    with pytest.raises(ValueError, match="nothing to train"):
        optimizer(nn.Linear(2, 3).requires_grad_(False), Training())


@pytest.mark.parametrize(("steps", "epochs"), [(5, 2.0), (0, 0.0)])
def test_either_steps_or_epochs_say_how_long(steps, epochs):
    with pytest.raises(ValueError, match="one of them says how long"):
        for_data(Training(steps=steps, epochs=epochs), samples=10, batch=2)
