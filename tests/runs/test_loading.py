"""From recipe to model and from folder to segmenter."""

import json
import sys

import pytest
import torch

import whatwhere
from runs.small import small
from whatwhere.recipes import from_json, load
from whatwhere.runs.loading import build, read_recipe
from whatwhere.runs.training import run_training
from whatwhere.training import checkpoints


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    run_training(small("training.steps=2", concepts=True), out=folder)
    return folder


def test_the_same_seed_gives_the_same_weights():
    one, same, other = (build(small(f"training.seed={seed}")).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_trained_model_segments_as_it_did_when_it_was_saved(run):
    segment = whatwhere.load(run, device="cpu")
    picture = load("scenes").captions[3].open()
    found = segment(picture, "boat, tree, sky")
    assert found.labels.shape == (picture.height, picture.width)
    step = build(small(concepts=True), concepts=len(read_recipe(run)[1]["concepts"]))
    checkpoints.read_weights(checkpoints.newest(run), step)
    for name, weight in step.model.state_dict().items():
        assert torch.equal(weight, segment.model.state_dict()[name])


def test_a_checkpoint_can_be_given_instead_of_its_run(run):
    folder = checkpoints.newest(run)
    assert whatwhere.load(folder, device="cpu").reading == small().reading


def test_how_pictures_are_read_can_be_changed_when_a_model_is_loaded(run):
    assert whatwhere.load(run, overrides=["side=64"], device="cpu").reading.side == 64


def test_what_was_learned_cannot_be_changed_when_a_model_is_loaded(run):
    with pytest.raises(ValueError, match="only settings of reading and similarity can be changed"):
        whatwhere.load(run, overrides=["text.width=32"], device="cpu")


def test_a_model_with_parts_of_ones_own_is_loaded_when_they_are_named(tmp_path, monkeypatch):
    idea = tmp_path / "a_pool_of_mine.py"
    idea.write_text(MINE)
    run_training(load(f"{idea}:recipe"), out=tmp_path / "run")
    monkeypatch.delitem(sys.modules, "a_pool_of_mine")
    with pytest.raises(ValueError, match="if you trust it, import it first"):
        whatwhere.load(tmp_path / "run", device="cpu")
    segment = whatwhere.load(tmp_path / "run", device="cpu", imports=[str(idea)])
    assert type(segment.model.pool).__name__ == "Mean"
    del sys.modules["a_pool_of_mine"]


MINE = """
from dataclasses import dataclass, replace
from runs.small import small
from whatwhere.pooling.patches import PatchPool

@dataclass(frozen=True)
class Mean:
    def dim(self, width):
        return width

    def build(self, sizes):
        return self

    def __call__(self, features):
        return PatchPool("mean")(features)

recipe = replace(small("training.steps=1"), pool=Mean())
"""


def test_a_run_keeps_its_recipe_and_its_concepts(run):
    recipe, said = read_recipe(run)
    assert recipe == small("training.steps=2", concepts=True)
    assert from_json(json.loads((run / "recipe.json").read_text())) == recipe
    assert said["whatwhere"] == whatwhere.__version__ and said["step"] == 2
    assert "tree" in " ".join(said["concepts"])


@pytest.mark.parametrize(
    ("name", "said"), [("nowhere", "no model at .*nowhere"), (".", "holds no checkpoint")]
)
def test_what_is_no_model_is_an_error(tmp_path, name, said):
    with pytest.raises(ValueError, match=said):
        whatwhere.load(tmp_path / name)
