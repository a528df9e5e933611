"""Retrieval against a slow count; label maps in the ids of a benchmark."""

import numpy as np
import pytest
import torch

from runs.small import small
from segmenter.colours import painting, segmenter
from whatwhere.benchmarks.photos import Photos
from whatwhere.captions.batches import Batches
from whatwhere.runs.evaluating import benchmark_names, labeller, open_benchmark, retrieval
from whatwhere.runs.loading import build
from whatwhere.runs.watching import watch_benchmark
from whatwhere.scenes.benchmark import SceneBenchmark
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Background, Reading


def test_retrieval_agrees_with_a_slow_count():
    recipe = small("batching.batch=7")
    model = build(recipe).model.eval()
    batches = Batches(
        recipe.captions,
        recipe.batching,
        tokenizer=model.text_encoder.tokenizer,
        find_phrases=None,
        seed=0,
    )
    found = retrieval(model, (batches[step].batch for step in (0, 2)))
    for way, side in (("text", "image_to_text"), ("image", "text_to_image")):
        for k in (1, 5):
            hits = []
            for step in (0, 2):
                with torch.no_grad():
                    rows = getattr(model(batches[step].batch).pairs, side).tolist()
                for i, row in enumerate(rows):
                    better = sum(score > row[i] for score in row)
                    equal = sum(score == row[i] for score in row) - 1
                    hits.append(better + equal / 2 < k)
            assert found[f"{way}_recall_at_{k}"] == pytest.approx(sum(hits) / 14)


def benchmark(background):
    """Classes in an order in which the background is not the first."""
    classes = ("red", "nothing", "blue")
    names = (("red",), ("nothing",), ("blue", "green"))
    return Photos("paint", (), classes, names, ids=(0, 1, 2), void=(255,), background=background)


PAINTED = painting(["red", "white", "green"], block=4)


@pytest.mark.parametrize(
    "rule",
    [Background("score", 0.9), Background("names", names=("white",))],
    ids=["score", "names"],
)
def test_the_rule_says_what_is_background_and_its_name_is_never_asked_for(rule):
    label = labeller(segmenter(), benchmark(background=1), background=rule)
    assert label(PAINTED)[0, [1, 6, 10]].tolist() == [0, 1, 2]


def test_without_a_rule_no_pixel_is_background():
    labels = labeller(segmenter(), benchmark(background=1))(PAINTED)
    assert labels[0, [1, 10]].tolist() == [0, 2] and 1 not in labels


def test_the_rule_of_the_recipe_holds_where_none_is_given():
    reading = Reading(side=0, window=0, prompts="name", background=Background("score", 0.9))
    label = labeller(segmenter(reading), benchmark(background=1))
    assert label(PAINTED)[0, [1, 6, 10]].tolist() == [0, 1, 2]


def test_without_a_background_class_no_pixel_is_background():
    reading = Reading(side=0, window=0, prompts="name", background=Background("score", 0.9))
    label = labeller(segmenter(reading), benchmark(background=None))
    assert set(np.unique(label(PAINTED))) <= {0, 1, 2}
    with pytest.raises(ValueError, match="paint has no background class"):
        labeller(segmenter(), benchmark(background=None), background=reading.background)


def test_benchmarks_are_the_files_that_load():
    assert {"voc", "voc20", "folder"} <= set(benchmark_names())
    assert "score" not in benchmark_names() and "photos" not in benchmark_names()


def test_a_typo_in_a_benchmark_names_the_right_one():
    with pytest.raises(ValueError, match=r"did you mean voc20\? \(there are .*folder"):
        open_benchmark("vok20", root=".", split="val")


def test_watching_measures_photos_from_all_of_a_benchmark_and_draws_some(tmp_path):
    recipe = small()
    everything = SceneBenchmark(recipe.captions.world, count=9)
    watch = watch_benchmark(everything, tmp_path / "pictures", limit=3, pictures=2)
    found = watch(Segmenter(build(recipe).model, recipe.reading), 40)
    assert found.keys() == {"miou", "pixel_accuracy"}
    assert 0 <= found["miou"] <= 100 and 0 < found["pixel_accuracy"] <= 100
    drawn = sorted(file.name for file in (tmp_path / "pictures" / "step-00000040").iterdir())
    first, last = (item.key for item in everything.items([0, 4]))
    assert drawn == [f"{first}.jpg", f"{last}.jpg"]
