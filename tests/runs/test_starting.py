"""A run that begins with what another one learned."""

import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from runs.processes import ctrl_c, quietly, stop_at
from runs.small import outcome, small
from whatwhere.objectives.concept_presence import ConceptPresence
from whatwhere.records import Sizes
from whatwhere.runs.training import run_training
from whatwhere.training import checkpoints

STILL = ("training.steps=1", "training.lr=1e-30", "training.weight_decay=0.0")


def weights(run):
    """By name without what tells a frozen tower from another."""
    stored = load_file(checkpoints.newest(run) / "model.safetensors")
    return {name.replace("trunk.trunk.", "trunk."): tensor for name, tensor in stored.items()}


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True), (False, False)])
def test_it_begins_with_all_that_the_other_learned_frozen_or_not(tmp_path, before, after):
    run_training(small(f"image.frozen={before}"), out=tmp_path / "first", watch=quietly)
    recipe = small(f"image.frozen={after}", "training.seed=9", *STILL)
    run_training(recipe, out=tmp_path / "second", start=tmp_path / "first", watch=quietly)
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert first.keys() == second.keys()
    assert any("logit_scale" in name for name in first)
    for name, tensor in first.items():
        if ".readout." not in name:  # means of the vectors seen, which go on
            torch.testing.assert_close(second[name], tensor, msg=name)


def test_objectives_that_the_other_run_did_not_have_begin_anew(tmp_path):
    run_training(small(), out=tmp_path / "first", watch=quietly)
    recipe = small(*STILL, concepts=True)
    run_training(recipe, out=tmp_path / "second", start=tmp_path / "first", watch=quietly)
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert second.keys() > first.keys()
    shared = [name for name in first if ".readout." not in name]
    assert all(torch.equal(first[name], second[name]) for name in shared)


def test_an_objective_goes_on_with_what_it_learned_but_not_with_what_it_counted(tmp_path):
    def step():
        objective = ConceptPresence(unsaid=True).build(Sizes(dim=2, concepts=3))
        return nn.ModuleDict({"model": nn.Linear(2, 2), "objective": objective})

    first, second = step(), step()
    for tensor in first.state_dict().values():
        tensor.fill_(3)
    save_file(first.state_dict(), tmp_path / "model.safetensors")
    checkpoints.read_start(tmp_path, second)
    found = {name: set(tensor.flatten().tolist()) for name, tensor in second.state_dict().items()}
    counts = {"objective.mentions", "objective.pictures"}
    assert {name for name, numbers in found.items() if numbers == {3}} == found.keys() - counts
    assert found["objective.mentions"] == {0}


def test_one_that_was_stopped_ends_as_if_left_alone(tmp_path):
    run_training(small(), out=tmp_path / "first", watch=quietly)
    recipe, start = small("training.seed=9"), tmp_path / "first"
    run_training(recipe, out=tmp_path / "whole", start=start, watch=quietly)
    run = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, out=run, start=start, watch=stop_at(3, ctrl_c))
    shutil.rmtree(start)  # all of it is in the run
    run_training(recipe, out=run, resume=True, watch=quietly)
    assert outcome(run) == outcome(tmp_path / "whole")
    assert checkpoints.read_about(checkpoints.newest(run))["start"] == str(start)


def test_the_tokens_kept_are_those_of_the_other_and_words_without_are_told(tmp_path, capsys):
    run_training(small("text.kept=20"), out=tmp_path / "first", watch=quietly)
    other = small("text.kept=20", "captions.first=500", *STILL)
    run_training(other, out=tmp_path / "second", start=tmp_path / "first", watch=quietly)
    told = capsys.readouterr().err
    assert re.search(r"\d+ words of these captions are not among those .* not learned: \w+, ", told)
    kept = [weights(tmp_path / run)["model.text_encoder.kept_ids"] for run in ("first", "second")]
    assert torch.equal(*kept)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("text.width=32", r"is \(24, 16\) there and \(24, 32\) here"),
        ("image.cls=True", "is missing there"),
    ],
)
def test_another_size_is_refused_before_anything_is_trained(tmp_path, change, why):
    run_training(small(), out=tmp_path / "first", watch=quietly)
    with pytest.raises(ValueError, match=f"cannot start this recipe: model.* {why}; start"):
        run_training(small(change), out=tmp_path / "second", start=tmp_path / "first")
    assert not (tmp_path / "second").exists()


def test_a_misspelt_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no model at tinny; did you mean tiny"):
        run_training(small(), out=tmp_path / "run", start="tinny")
