"""A run draws its prompts from a sidecar while it trains; pictures and captions stay untouched."""

from dataclasses import replace

import numpy as np
import pytest

from runs.small import outcome, small
from whatwhere.concepts.prompts import clip_templates
from whatwhere.curation.sidecar import Borrowed, write_sidecar
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.objectives.multi_label import MultiLabel
from whatwhere.recipes import load
from whatwhere.recipes.cocu import BorrowedPrompts
from whatwhere.runs.training import run_training

pytest.importorskip("pyarrow")
NAMES = ("boat", "cat", "tree")


def sidecar(folder, keys):
    """Every picture may borrow a cat and a boat, in clusters of their own."""
    draw = np.random.default_rng(0)
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


def test_the_recipe_is_groupvit_s_with_prompts_and_batch_of_its_own():
    cocu, groupvit = load("cocu"), load("groupvit")
    again = replace(cocu, extra_prompts=groupvit.extra_prompts, batching=groupvit.batching)
    assert again == groupvit and cocu.batching.batch == 1024
    with pytest.raises(ValueError, match="write a sidecar with `whatwhere curate` and name it"):
        cocu.extra_prompts("a", "hm", np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"extra_prompts.count=0; take 1 or more"):
        BorrowedPrompts(count=0)
