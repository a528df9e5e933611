"""A run that was stopped, killed or crashed ends bit for bit like one that was left alone."""

import os
import signal

import pytest

from runs.processes import ctrl_c, ended, quietly, start, stop_at
from runs.small import outcome, small
from whatwhere.recipes import override
from whatwhere.runs.training import run_training
from whatwhere.training import checkpoints
from whatwhere.training.logs import read_log


@pytest.mark.parametrize("concepts", [False, True], ids=["contrastive", "concepts"])
def test_a_run_stopped_by_ctrl_c_ends_as_if_left_alone(tmp_path, concepts):
    recipe = small(concepts=concepts)
    run_training(recipe, out=tmp_path / "whole", watch=quietly)
    run = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, out=run, watch=stop_at(3, ctrl_c))
    assert checkpoints.newest(run).name == "step-00000003"
    run_training(recipe, out=run, resume=True, watch=quietly)
    assert outcome(run) == outcome(tmp_path / "whole")


def test_a_run_that_keeps_few_tokens_ends_as_if_left_alone(tmp_path):
    recipe = small("text.kept=20")
    run_training(recipe, out=tmp_path / "whole", watch=quietly)
    run = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, out=run, watch=stop_at(3, ctrl_c))
    run_training(recipe, out=run, resume=True, watch=quietly)
    assert outcome(run) == outcome(tmp_path / "whole")


def test_a_run_that_drops_patches_ends_as_if_left_alone(tmp_path):
    """Words look at the patches that are left, and the same ones are dropped again."""
    vit = "image=whatwhere.encoders.timm_model:Timm"
    sizes = ("image.name=test_vit", "image.frozen=False", "image.patch_drop=0.5")
    recipe = small(concepts=True)
    recipe = override(recipe, [vit, *sizes])
    run_training(recipe, out=tmp_path / "whole", watch=quietly)
    run = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, out=run, watch=stop_at(3, ctrl_c))
    run_training(recipe, out=run, resume=True, watch=quietly)
    assert outcome(run) == outcome(tmp_path / "whole")


def test_ctrl_c_means_what_it_meant_before_when_a_run_is_over(tmp_path):
    run_training(small("training.steps=1"), out=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(step, recipe, run):
    run_training(recipe, out=run, watch=stop_at(step, kill))


def test_a_killed_run_goes_on_from_its_checkpoint_and_ends_as_if_left_alone(tmp_path):
    recipe = small(concepts=True)
    run_training(recipe, out=tmp_path / "whole", watch=quietly)
    run = tmp_path / "killed"
    assert ended(start(kill_at, 3, recipe, run)) == -signal.SIGKILL
    assert checkpoints.newest(run).name == "step-00000002"
    assert max(step for step, _, _ in read_log(run / "log.csv")) == 3
    run_training(recipe, out=run, resume=True, watch=quietly)
    assert outcome(run) == outcome(tmp_path / "whole")


def ctrl_c_for_all():
    os.killpg(os.getpgid(0), signal.SIGINT)


def stop_all_at(step, recipe, run):
    run_training(recipe, out=run, watch=stop_at(step, ctrl_c_for_all))


def test_ctrl_c_in_a_terminal_reaches_the_workers_too_and_loses_no_step(tmp_path):
    recipe = small("batching.workers=1")
    run_training(small(), out=tmp_path / "whole", watch=quietly)
    run = tmp_path / "stopped"
    assert ended(start(stop_all_at, 3, recipe, run)) == 1
    assert checkpoints.newest(run).name == "step-00000003"
    run_training(recipe, out=run, resume=True, watch=quietly)
    assert outcome(run) == outcome(tmp_path / "whole")


def test_a_run_killed_in_its_first_checkpoint_can_be_started_again(tmp_path):
    run = tmp_path / "run"
    half = run / "checkpoints" / ".step-00000002.4711"
    half.mkdir(parents=True)
    (half / "model.safetensors").write_bytes(b"half of it")
    run_training(small("training.steps=2"), out=run)
    assert [f.name for f in (run / "checkpoints").iterdir()] == ["step-00000002"]


def test_a_run_is_not_overwritten(tmp_path):
    run_training(small("training.steps=1"), out=tmp_path / "run")
    with pytest.raises(ValueError, match="holds a run already; go on with --resume"):
        run_training(small("training.steps=1"), out=tmp_path / "run")


def test_a_run_is_not_resumed_with_other_settings(tmp_path):
    run_training(small("training.steps=1"), out=tmp_path / "run")
    with pytest.raises(ValueError, match="was started with other settings"):
        run_training(small("training.steps=2"), out=tmp_path / "run", resume=True)


def test_how_often_a_run_is_looked_at_may_change_when_it_is_resumed(tmp_path):
    run_training(small(), out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_training(small(), out=tmp_path / "run", watch=stop_at(3, ctrl_c))
    other = small("validate_every=1", "checkpoint_every=3", "log_every=4", "reading.chunk=7")
    run_training(other, out=tmp_path / "run", resume=True)
    assert outcome(tmp_path / "run")[:3] == outcome(tmp_path / "whole")[:3]


def test_a_finished_run_that_is_resumed_stays_as_it_is(tmp_path):
    recipe = small("training.steps=2")
    run_training(recipe, out=tmp_path / "run")
    before = outcome(tmp_path / "run")
    run_training(recipe, out=tmp_path / "run", resume=True)
    assert outcome(tmp_path / "run") == before


def test_nothing_to_resume_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint to go on from; start the run without"):
        run_training(small(), out=tmp_path / "nothing", resume=True)


def test_a_run_is_not_resumed_with_a_cache_that_it_did_not_have(tmp_path):
    run_training(small("image.frozen=True", "training.steps=2"), out=tmp_path / "run")
    cached = ["image.frozen=True", "training.steps=2", f"caching.folder={tmp_path / 'cache'}"]
    with pytest.raises(ValueError, match="other settings"):
        run_training(small(*cached), out=tmp_path / "run", resume=True)
