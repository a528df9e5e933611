"""A run on a folder of pictures: what is read, mined, cached, left out and told."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from runs.small import outcome, small
from whatwhere.captions.cached import Caching
from whatwhere.captions.sources import open_pairs, split
from whatwhere.concepts.bank import Concepts
from whatwhere.encoders.clip_tokens import ClipTokens
from whatwhere.heads.whiten import Whiten
from whatwhere.recipes import override
from whatwhere.runs.loading import read_recipe
from whatwhere.runs.training import run_training
from whatwhere.training import checkpoints
from whatwhere.training.logs import read_log


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures with their captions, one broken picture, one without a caption."""
    scenes = small().captions
    home = tmp_path / "photos"
    home.mkdir()
    for i in range(12):
        scenes[i].open().save(home / f"{i:02d}.png")
        (home / f"{i:02d}.txt").write_text("\n".join(scenes[i].captions))
    (home / "broken.png").write_bytes(b"no picture")
    (home / "broken.txt").write_text("a boat on the water")
    scenes[12].open().save(home / "silent.png")
    return home


RECIPE = replace(small("training.steps=4", "training.checkpoint_every=0"), captions=None)


def test_a_folder_of_pictures_and_texts_is_enough(folder, tmp_path):
    finished = run_training(RECIPE, captions=str(folder), out=tmp_path / "run")
    assert checkpoints.newest(finished.run).name == "step-00000004"
    assert {"loss", "validation/text_recall_at_1", "lr"} <= finished.report.keys()
    assert "1 broken image: broken.png" in finished.skipped
    assert "1 missing caption: silent.png" in finished.skipped


def test_a_run_is_not_resumed_on_other_pictures(folder, tmp_path):
    run_training(RECIPE, captions=str(folder), out=tmp_path / "run")
    (folder / "03.png").unlink()
    with pytest.raises(ValueError, match="was trained on other pictures or captions than these 12"):
        run_training(RECIPE, captions=str(folder), out=tmp_path / "run", resume=True)


def test_tokens_are_kept_for_the_captions_that_are_trained_on_and_for_the_prompts(folder, tmp_path):
    (folder / "05.txt").write_text("the photo shows a nebula")
    held = {sample.key for sample in split(open_pairs(folder), held_out=0.25, seed=0).held_out}
    assert 0 < len(held) < 12
    recipe = override(RECIPE, ["text.kept=200", "training.steps=1"])
    run_training(recipe, captions=str(folder), out=tmp_path / "run")
    state = load_file(checkpoints.newest(tmp_path / "run") / "model.safetensors")
    texts = ["a photo of an"]
    for file in folder.glob("*.txt"):
        texts += [] if file.with_suffix(".png").name in held else file.read_text().splitlines()
    ids = {token for text in texts for token in ClipTokens(24).ids(ClipTokens(24).clean(text))}
    kept = state["model.text_encoder.kept_ids"]
    assert set(kept.tolist()) == ids | {-1}
    assert state["model.text_encoder.token_embedding.weight"].shape[0] == 200 > len(ids) + 1


def test_concepts_are_mined_from_the_captions_that_are_trained_on(folder, tmp_path):
    recipe = replace(small("training.steps=1", concepts=True), captions=None)
    run_training(recipe, captions=str(folder), out=tmp_path / "run")
    concepts = read_recipe(tmp_path / "run")[1]["concepts"]
    assert 1 < len(concepts) <= 20
    captions = "\n".join(text.read_text() for text in folder.glob("*.txt"))
    assert all(name.split("|")[0].split()[-1] in captions for name in concepts)


def test_concepts_can_be_read_from_a_file(folder, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("tree|trees\nboat\nsky # above\n")
    recipe = replace(small("training.steps=1", concepts=True), captions=None)
    recipe = replace(recipe, concepts=Concepts(path=str(names)))
    run_training(recipe, captions=str(folder), out=tmp_path / "run")
    said = read_recipe(tmp_path / "run")[1]
    assert said["concepts"] == ["tree|trees", "boat", "sky"]
    assert said["overlap"]["voc"] == {"named": 1, "classes": 20, "shared": 1, "concepts": 3}
    assert said["overlap"]["ade20k"] == {"named": 3, "classes": 150, "shared": 3, "concepts": 3}


@pytest.mark.parametrize("parser", ["strict", "strict chunks"])
def test_the_reference_parser_can_train(folder, tmp_path, parser):
    recipe = replace(small("training.steps=1", concepts=True), captions=None)
    recipe = replace(recipe, concepts=Concepts(path="benchmarks", parser=parser))
    report = run_training(recipe, captions=str(folder), out=tmp_path / "run").report
    assert report["phrases"] > 0


def test_names_are_mined_from_mended_captions(folder, tmp_path):
    for i in range(12):
        (folder / f"{i:02d}.txt").write_text("a boat &amp; a tree")
    recipe = replace(small("training.steps=1", concepts=True), captions=None)
    run_training(recipe, captions=str(folder), out=tmp_path / "run")
    names = read_recipe(tmp_path / "run")[1]["concepts"]
    assert names[:2] == ["boat", "tree"] and "amp" not in names


def test_cached_features_teach_what_pictures_teach(folder, tmp_path):
    """The tower is frozen and pictures are not cropped, so only the rounding of bf16 differs."""
    recipe = replace(RECIPE, image=replace(RECIPE.image, frozen=True), head=Whiten(size=8))
    caching = Caching(folder=str(tmp_path / "cache"), precision="bf16", batch=5)
    (folder / "broken.png").unlink()  # a cache leaves it out, pictures replace it by the next one
    for name, changed in (("plain", recipe), ("cached", replace(recipe, caching=caching))):
        run_training(changed, captions=str(folder), out=tmp_path / name)
    plain, cached = (
        load_file(checkpoints.newest(tmp_path / name) / "model.safetensors")
        for name in ("plain", "cached")
    )
    for name in plain:
        torch.testing.assert_close(cached[name], plain[name], rtol=0.02, atol=0.02)
    assert (plain["model.head.matrix"] != torch.eye(16, 8)).any()


def test_a_cached_run_tells_of_broken_pictures(folder, tmp_path):
    frozen = replace(RECIPE.image, frozen=True)
    recipe = replace(RECIPE, image=frozen, caching=Caching(folder=str(tmp_path / "cache")))
    finished = run_training(recipe, captions=str(folder), out=tmp_path / "run")
    assert "1 broken image: broken.png" in finished.skipped


def test_only_a_frozen_tower_can_be_cached(folder, tmp_path):
    recipe = replace(RECIPE, caching=Caching(folder=str(tmp_path / "cache")))
    with pytest.raises(ValueError, match=r"only of a frozen image encoder; image\.frozen=True"):
        run_training(recipe, captions=str(folder), out=tmp_path / "run")


def test_a_cached_run_says_that_it_sees_no_crops_and_learns_without_them(folder, tmp_path, capsys):
    caching = Caching(folder=str(tmp_path / "cache"))
    cropped = replace(RECIPE.batching, crop=(0.5, 1.0))
    frozen = replace(RECIPE.image, frozen=True)
    whole = replace(RECIPE, image=frozen, caching=caching)
    run_training(whole, captions=str(folder), out=tmp_path / "whole")
    assert "cached features" not in capsys.readouterr().err
    recipe = replace(whole, batching=cropped)
    run_training(recipe, captions=str(folder), out=tmp_path / "run")
    assert "batching.crop=(0.5, 1.0) and mirror=False are not used" in capsys.readouterr().err
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a_cached_run_learns_from_the_views_that_it_keeps(folder, tmp_path, capsys):
    caching = Caching(folder=str(tmp_path / "cache"), views=3)
    frozen = replace(RECIPE.image, frozen=True)
    plain = replace(RECIPE, image=frozen, caching=caching)
    with pytest.raises(
        ValueError, match=r"caching\.views=3 keeps random crops, but batching\.crop="
    ):
        run_training(plain, captions=str(folder), out=tmp_path / "plain")
    recipe = replace(plain, batching=replace(RECIPE.batching, crop=(0.5, 1.0)))
    run_training(recipe, captions=str(folder), out=tmp_path / "run")
    assert "not used" not in capsys.readouterr().err
    one = replace(recipe, caching=replace(caching, views=1))
    run_training(one, captions=str(folder), out=tmp_path / "one")
    assert outcome(tmp_path / "run") != outcome(tmp_path / "one")


def test_epochs_and_the_rate_follow_from_the_data_and_survive_an_interruption(tmp_path):
    """24 pictures, 6 held out: two and a half times 18 pictures are 12 batches of 4."""
    plain = ("held_out=6", "validate_every=7", "warmup=0")
    recipe = small("training.steps=0", "training.epochs=2.5", "training.lr_for=8", *plain)
    run_training(recipe, out=tmp_path / "whole", watch=lambda segment, done: {})
    rows = read_log(tmp_path / "whole" / "log.csv")
    rates = [value for _, name, value in rows if name == "lr"]
    assert len(rates) == 12 and rates[0] == pytest.approx(recipe.training.lr / 2)

    def interrupt(segment, done):
        if done == 7:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, out=tmp_path / "run", watch=interrupt)
    run_training(recipe, out=tmp_path / "run", watch=lambda segment, done: {}, resume=True)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_every_caption_may_be_shown_in_an_epoch(tmp_path):
    """Two tellings of each of 18 pictures: nine batches of 4 instead of five."""
    for captions, steps in (("sampled", 5), ("each", 9)):
        recipe = small(
            "training.steps=0", "training.epochs=1", f"batching.captions={captions}", "held_out=6"
        )
        run_training(recipe, out=tmp_path / captions)
        assert checkpoints.newest(tmp_path / captions).name == f"step-{steps:08d}"


def test_nothing_held_out_is_nothing_validated(tmp_path):
    report = run_training(small("held_out=0"), out=tmp_path / "run").report
    assert "loss" in report and not [name for name in report if "validation" in name]


def test_a_few_held_out_pictures_are_drawn_under_the_concepts_they_mention(tmp_path):
    run_training(small("training.steps=3", concepts=True), out=tmp_path / "run")
    drawn = sorted((tmp_path / "run" / "pictures").rglob("*.jpg"))
    shown = [f"{file.parent.name}/{file.name}" for file in drawn]
    assert shown == [f"step-{step:08d}/{i}.jpg" for step in (0, 3) for i in range(4)]


def test_a_run_whose_optimizer_is_damaged_is_told_which_checkpoint_to_move_away(tmp_path):
    recipe = small()
    run_training(recipe, out=tmp_path / "run")
    file = checkpoints.newest(tmp_path / "run") / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"state in .*step-00000006 is damaged"):
        run_training(recipe, out=tmp_path / "run", resume=True)
    file.unlink()  # as an exported model has none
    with pytest.raises(ValueError, match="exported without what training needs"):
        run_training(recipe, out=tmp_path / "run", resume=True)


def test_a_batch_larger_than_the_data_names_one_that_fits(folder, tmp_path):
    recipe = replace(RECIPE, batching=replace(RECIPE.batching, batch=64))
    with pytest.raises(ValueError, match=r"do not fill a batch of 64; use batching\.batch="):
        run_training(recipe, captions=str(folder), out=tmp_path / "run")


def test_a_recipe_without_captions_asks_for_them(tmp_path):
    with pytest.raises(ValueError, match="say where yours are: --captions"):
        run_training(RECIPE, out=tmp_path / "run")


def test_a_watch_is_asked_before_at_every_validation_and_at_the_end(tmp_path):
    asked = []

    def watch(segment, done):
        asked.append((done, segment.model.training, torch.is_grad_enabled()))
        return {"seen": float(done)}

    report = run_training(small(), out=tmp_path / "run", watch=watch).report
    assert asked == [(step, False, False) for step in (0, 3, 6)]
    assert report["validation/seen"] == 6
