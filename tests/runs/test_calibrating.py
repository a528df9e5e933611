"""A model with the rule that its held-out captions teach, from training to reading."""

import json

import pytest

from runs.small import small
from whatwhere.runs.calibrating import calibrate
from whatwhere.runs.loading import load, read_recipe
from whatwhere.runs.training import run_training
from whatwhere.scenes.source import Scenes
from whatwhere.scenes.world import World


@pytest.fixture(scope="module")
def captions(tmp_path_factory):
    home = tmp_path_factory.mktemp("captions")
    scenes = Scenes(World(height=32, width=48), count=24, tellings=2)
    lines = []
    for number in range(24):
        scenes[number].open().save(home / f"{number}.png")
        lines.append(
            json.dumps({"image": f"{number}.png", "captions": list(scenes[number].captions)})
        )
    (home / "captions.jsonl").write_text("\n".join(lines))
    return home


@pytest.fixture(scope="module")
def run(captions, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "mine"
    run_training(small(concepts=True), captions=str(captions), out=out)
    return out


def test_the_model_that_is_written_abstains_by_the_learned_rule(run, captions, tmp_path):
    learned = calibrate(run, str(captions), out=tmp_path / "out", overrides=["reading.side=64"])
    assert -1 < learned.threshold < 1 and 0 <= learned.error <= 1
    assert 0 < learned.pictures < 24
    reading = load(tmp_path / "out").reading
    assert reading.background.rule == "score" and reading.side == 64
    assert reading.background.threshold == pytest.approx(learned.threshold, abs=1e-4)
    assert calibrate(run, str(captions), overrides=["reading.side=64"]) == learned
    assert read_recipe(run)[0].reading.background.rule == "none", "the run stays as it was"


def test_nothing_is_overwritten(run, captions, tmp_path):
    with pytest.raises(ValueError, match="exists already"):
        calibrate(run, str(captions), out=tmp_path)


def test_a_model_without_concepts_cannot_be_asked(captions, tmp_path):
    run_training(small(), captions=str(captions), out=tmp_path / "plain")
    with pytest.raises(ValueError, match="learned no concepts"):
        calibrate(tmp_path / "plain", str(captions))
