"""Runs that differ by their seed as one wider model, whose cosines are the mean of theirs."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from runs.small import small
from whatwhere.heads.linear import Linear
from whatwhere.recipes import override
from whatwhere.runs.ensembling import ensemble
from whatwhere.runs.loading import build, load, read_recipe, restore
from whatwhere.runs.training import run_training
from whatwhere.training import checkpoints
from whatwhere.weights import write

NAMES = ["red disc", "blue square", "green"]
LOOKS_UP = ("text.layers=0", "image.frozen=True", "caching.folder=none")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def recipe(home):
    """Words that are looked up, on a frozen image encoder that comes from a file."""
    tower = home / "tower.safetensors"
    write(build(small()).model.image_encoder.network.state_dict(), tower)
    found = small(*LOOKS_UP, f"image.weights={tower}", concepts=True)
    return replace(found, head=Linear(size=12))


@pytest.fixture(scope="module")
def runs(recipe, home):
    found = [home / "a", home / "b"]
    for seed, out in enumerate(found):
        training = replace(recipe.training, seed=seed)
        run_training(replace(recipe, training=training), out=out)
    return found


@torch.no_grad()
def vectors(path):
    """Of all patches of three pictures, and of names, as they leave the encoders."""
    model = restore(path).step.model.eval()
    pictures = torch.rand(3, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    tokens = model.text_encoder.tokenizer(NAMES)
    patches = model.head(model.image_encoder(pictures)).patches.flatten(0, 2)
    return patches, model.text_encoder(tokens.ids, tokens.mask).caption


def cosines(patches, names):
    return F.normalize(patches, dim=1) @ F.normalize(names, dim=1).T


def test_a_cosine_is_the_mean_of_the_runs(runs, home):
    """Each run's counts by the lengths of its two vectors, which are made alike in the mean."""
    out = ensemble(runs, home / "both")
    patches, names = vectors(out)
    found = cosines(patches, names)
    own = [cosines(*vectors(run)) for run in runs]
    halves = zip(patches.chunk(2, dim=1), names.chunk(2, dim=1), strict=True)
    weight = torch.stack([p.norm(dim=1)[:, None] * n.norm(dim=1) for p, n in halves])
    whole = patches.norm(dim=1)[:, None] * names.norm(dim=1)
    assert_close(found, (weight * torch.stack(own)).sum(dim=0) / whole, rtol=0, atol=1e-5)
    assert (weight[0] / weight[1]).log().abs().mean() < 0.5
    assert (own[0] - own[1]).abs().max() > 0.05, "the runs do differ"


def test_an_ensemble_may_be_a_member(runs, home):
    both = ensemble(runs, home / "two")
    four = ensemble([both, both], home / "four")
    assert read_recipe(four)[0].text.members == 4
    assert_close(cosines(*vectors(four)), cosines(*vectors(both)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("positions", [True, False])
def test_a_run_beside_itself_is_that_run(runs, recipe, home, positions):
    one = runs[0]
    if not positions:
        one = home / "placeless"
        run_training(override(recipe, ["text.positions=False"]), out=one)
    twice = ensemble([one, one], home / f"twice-{positions}")
    assert_close(cosines(*vectors(twice)), cosines(*vectors(one)), rtol=0, atol=1e-5)


def test_it_is_a_run_that_reads_photos_and_trains_on(runs, recipe, home):
    out = ensemble(runs, home / "again")
    wide, said = read_recipe(out)
    assert wide.head.size == 24 and wide.text.width == 32 and said["concepts"]
    labels = load(out)(wide.captions[0].open(), NAMES).labels
    assert labels.shape == (32, 48)
    further = replace(recipe, head=wide.head, text=wide.text)
    run_training(further, out=home / "further", start=out)
    assert vectors(home / "further")[1].shape == (3, 24)


def test_unlike_runs_are_refused(runs, recipe, home):
    other = replace(recipe, training=replace(recipe.training, steps=2, seed=5))
    longer = replace(other, batching=replace(recipe.batching, batch=5))
    run_training(longer, out=home / "longer")
    with pytest.raises(ValueError, match="of different recipes; only settings of training"):
        ensemble([runs[0], home / "longer"], home / "none")
    elsewhere = replace(other, image=replace(recipe.image, weights=None))
    run_training(elsewhere, out=home / "elsewhere")
    with pytest.raises(ValueError, match=r"differ in model\.image_encoder.*same frozen image"):
        ensemble([runs[0], home / "elsewhere"], home / "none")
    shutil.copytree(runs[1], home / "taught")
    about = checkpoints.newest(home / "taught") / "about.json"
    said = json.loads(about.read_text())
    about.write_text(json.dumps(said | {"concepts": said["concepts"][::-1]}))
    with pytest.raises(ValueError, match="learned other concepts; train them on the same captions"):
        ensemble([runs[0], home / "taught"], home / "none")
    with pytest.raises(ValueError, match="two runs or more"):
        ensemble(runs[:1], home / "none")
    with pytest.raises(ValueError, match="exists already"):
        ensemble(runs, runs[0])
    assert not (home / "none").exists()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ("text.layers=1", "only looks words up"),
        ("head.cls=True", "without a class token"),
    ],
)
def test_parts_that_cannot_stand_side_by_side_are_refused(recipe, home, tmp_path, changed, why):
    run_training(override(recipe, [changed, "training.steps=1"]), out=tmp_path / "one")
    with pytest.raises(ValueError, match=why):
        ensemble([tmp_path / "one", tmp_path / "one"], tmp_path / "none")
