"""Scenes behave as a caption source and as a benchmark."""

import pickle

import numpy as np
import pytest

from whatwhere.scenes.benchmark import HELD_OUT, SceneBenchmark
from whatwhere.scenes.source import Scenes
from whatwhere.scenes.world import World

WORLD = World(height=40, width=56, kinds=("cat", "fish", "kite"), seed=4)


def test_a_pair_is_a_picture_with_its_captions():
    pairs = Scenes(WORLD, count=5, first=10, tellings=3)
    scene = WORLD.scene(12)
    pair = pickle.loads(pickle.dumps(pairs))[2]
    assert len(pairs) == 5
    assert pair.key == scene.key
    assert len(pair.captions) == 3
    assert pair.captions[0] == scene.caption
    assert pair.open().mode == "RGB"
    assert pair.open().size == (56, 40)
    assert np.array_equal(np.asarray(pair.open()), scene.image)


def test_keys_are_unique_and_the_end_is_an_end():
    pairs = Scenes(WORLD, count=7)
    assert len({pair.key for pair in pairs}) == 7  # iteration stops at IndexError
    assert pairs[-1].key == pairs[6].key
    with pytest.raises(IndexError):
        pairs[7]


def test_nothing_is_skipped():
    skipped = Scenes(WORLD, count=2).skipped
    assert (len(skipped), skipped.report(), skipped.counts) == (0, "", {})


def test_no_scenes_are_refused():
    with pytest.raises(ValueError, match="take count >= 1"):
        Scenes(WORLD, count=0)


def test_benchmark_gives_every_pixel_a_name():
    benchmark = SceneBenchmark(WORLD, count=6)
    items = list(benchmark.items())
    assert len(items) == len(benchmark) == 6
    assert benchmark.classes == WORLD.names
    assert benchmark.names[:2] == (("cat", "cats"), ("fish",))
    for item in items:
        assert item.labels.shape == (40, 56)
        assert item.labels.dtype == np.int64
        assert item.image.size == (56, 40)
        assert item.labels.max() < len(benchmark.names) <= benchmark.ignore


def test_benchmark_is_held_out_and_can_be_read_in_part():
    benchmark = SceneBenchmark(WORLD, count=6)
    some = [item.key for item in benchmark.items([4, 1])]
    every = [item.key for item in benchmark.items()]
    assert some == [every[4], every[1]]
    assert every[0] == WORLD.scene(HELD_OUT).key
