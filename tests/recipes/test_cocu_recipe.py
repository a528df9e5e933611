"""A run draws its prompts from a sidecar while it trains; pictures and captions stay untouched."""

import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest

from runs.small import outcome, small
from whatwhere.concepts.prompts import clip_templates
from whatwhere.curation.sidecar import Borrowed, write_sidecar
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.objectives.multi_label import MultiLabel
from whatwhere.recipes import load, override
from whatwhere.recipes.cocu import BorrowedPrompts
from whatwhere.runs.training import run_training
from whatwhere.training import checkpoints
from whatwhere.training.schedule import for_data

pytest.importorskip("pyarrow")
NAMES = ("boat", "cat", "tree")


def sidecar(folder, keys, seed=0):
    """Every picture may borrow a cat and a boat, in clusters of their own."""
    draw = np.random.default_rng(seed)
    table = np.tile([1, 0, -1], (len(keys), 1))
    held = Borrowed(
        table, draw.random(table.shape).astype(np.float32), np.where(table < 0, -1, table)
    )
    write_sidecar(folder, keys, NAMES, lambda _: held, decides={})
    return str(folder)


def said(word):
    return {template(word) for template in clip_templates("imagenet")}


def test_prompts_name_what_is_borrowed_and_fill_up_with_the_caption(tmp_path):
    prompts = BorrowedPrompts(sidecar(tmp_path / "s", ["a", "b"]))
    one, two, three = prompts("a", "hm", np.random.default_rng(0))
    assert one in said("cat") and two in said("boat") and three == "hm"
    assert prompts("unknown", "hm", np.random.default_rng(0)) == ["hm"] * 3


@pytest.mark.parametrize("how", ["top", "softmax", "cluster"])
def test_prompts_follow_from_the_generator(tmp_path, how):
    prompts = BorrowedPrompts(sidecar(tmp_path / "s", ["a"]), how=how)
    drawn = [prompts("a", "hm", np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_training_joins_a_sidecar_on_the_fly_and_can_be_repeated(tmp_path):
    recipe = small("training.steps=3")
    keys = [sample.key for sample in recipe.captions]
    prompts = BorrowedPrompts(sidecar(tmp_path / "s", keys), how="softmax", count=2)
    recipe = replace(recipe, objectives=(Contrastive(), MultiLabel()), extra_prompts=prompts)
    for name in ("one", "two"):
        run_training(recipe, out=tmp_path / name)
    assert outcome(tmp_path / "one") == outcome(tmp_path / "two")
    log = (tmp_path / "one" / "log.csv").read_text()
    assert "multi_label" in log


def test_a_sidecar_of_other_pictures_is_refused_and_a_partial_one_told_once(tmp_path, capsys):
    keys = [f"{i}.jpg" for i in range(20)]
    prompts = BorrowedPrompts(sidecar(tmp_path / "s", keys[:2]))
    capsys.readouterr()
    with pytest.raises(
        ValueError, match=r"knows 1 of the 19 .* such as '0.jpg', theirs .* '1.jpg'"
    ):
        prompts.of(keys[1:])
    assert prompts.of(keys[:2]) == prompts and capsys.readouterr().err == ""
    assert prompts.of(keys) == prompts
    assert "knows 2 of the 20 training pictures; the others" in capsys.readouterr().err


def test_a_run_with_a_sidecar_of_other_pictures_does_not_start(tmp_path):
    prompts = BorrowedPrompts(sidecar(tmp_path / "s", ["other.jpg"]))
    recipe = replace(small(), objectives=(Contrastive(), MultiLabel()), extra_prompts=prompts)
    with pytest.raises(ValueError, match="knows 0 of the 14 training pictures"):
        run_training(recipe, out=tmp_path / "run")


def stopped(folder, prompts):
    """A run that was stopped after two of its three steps."""
    recipe = replace(
        small("training.steps=3"),
        objectives=(Contrastive(), MultiLabel()),
        extra_prompts=prompts,
    )

    def stop(segment, done):
        if done == 2:
            signal.raise_signal(signal.SIGINT)
        return {}

    recipe = override(recipe, ["training.validate_every=2"])
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, out=folder, watch=stop)
    return recipe


def test_a_run_is_not_resumed_when_its_sidecar_was_rewritten(tmp_path):
    keys = [sample.key for sample in small().captions]
    prompts = BorrowedPrompts(sidecar(tmp_path / "s", keys))
    recipe = stopped(tmp_path / "run", prompts)
    shutil.rmtree(tmp_path / "s")
    sidecar(tmp_path / "s", keys, seed=1)
    with pytest.raises(
        ValueError, match=r"other contents than BorrowedPrompts\(sidecar=.* has now"
    ):
        run_training(recipe, out=tmp_path / "run", resume=True)
    shutil.rmtree(tmp_path / "s")
    sidecar(tmp_path / "s", keys)
    run_training(recipe, out=tmp_path / "run", resume=True)
    assert checkpoints.newest(tmp_path / "run").name == "step-00000003"


def test_a_checkpoint_that_does_not_tell_its_sidecar_can_still_be_resumed(tmp_path):
    keys = [sample.key for sample in small().captions]
    recipe = stopped(tmp_path / "run", BorrowedPrompts(sidecar(tmp_path / "s", keys)))
    about = checkpoints.newest(tmp_path / "run") / "about.json"
    said = json.loads(about.read_text())
    assert said.pop("prompts")
    about.write_text(json.dumps(said))
    run_training(recipe, out=tmp_path / "run", resume=True)


def test_the_next_run_of_a_process_reads_a_sidecar_that_was_rewritten(tmp_path):
    prompts = BorrowedPrompts(sidecar(tmp_path / "s", ["a"]))
    assert prompts.of(["a"])("a", "hm", np.random.default_rng(0))[2] == "hm"
    shutil.rmtree(tmp_path / "s")
    sidecar(tmp_path / "s", ["b"])
    assert prompts.of(["b"])("a", "hm", np.random.default_rng(0)) == ["hm"] * 3


# pictures, and the updates that were published; theirs leave out the rest of every epoch
@pytest.mark.parametrize(
    ("name", "pictures", "updates"),
    [("cocu-cc3m", 2_751_755, 80_610), ("cocu", 26_985_925, 790_590)],
)
def test_both_published_models_are_recipes_of_their_length_and_rate(name, pictures, updates):
    recipe = load(name)
    training = for_data(recipe.training, samples=pictures, batch=recipe.batching.batch)
    assert training.lr == pytest.approx(4e-4)
    assert updates <= training.steps < updates + 30, "up to one more in each of 30 epochs"


def test_the_recipe_is_groupvit_s_with_prompts_and_batch_of_its_own():
    cocu, groupvit = load("cocu"), load("groupvit")
    again = replace(cocu, extra_prompts=groupvit.extra_prompts, batching=groupvit.batching)
    assert again == groupvit and cocu.batching.batch == 1024
    with pytest.raises(ValueError, match="write a sidecar with `whatwhere curate` and name it"):
        cocu.extra_prompts("a", "hm", np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"extra_prompts.count=0; take 1 or more"):
        BorrowedPrompts(count=0)
