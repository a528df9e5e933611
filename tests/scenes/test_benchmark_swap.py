"""Things drawn on grounds that are theirs and that are not."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from whatwhere.benchmarks.grounds import OnGrounds
from whatwhere.recipes import scenes
from whatwhere.scenes.benchmark_swap import WORLD, SwappedScenes, load
from whatwhere.scenes.things import KINDS
from whatwhere.scenes.world import World

FEW = SwappedScenes(WORLD, things=25)


def pixels(benchmark, index):
    return np.asarray(next(benchmark.items([index])).image)


def test_both_pictures_show_the_same_thing_at_the_same_place():
    for thing in range(20):
        (_, one), (_, other) = (FEW._staged(thing, ground) for ground in (0, 1))
        assert (one.kind, one.pose, one.color, one.pattern) == (
            other.kind,
            other.pose,
            other.color,
            other.pattern,
        )
        assert np.array_equal(one.drawing.alpha, other.drawing.alpha)


def test_the_first_ground_is_usual_and_the_second_is_not():
    seen = {(0, True): 0, (1, False): 0}
    for thing in range(25):
        for ground in (0, 1):
            land, actor = FEW._staged(thing, ground)
            assert land.names == (actor.ground,)
            seen[ground, actor.ground in KINDS[actor.kind.name].usual] += 1
    assert seen == {(0, True): 25, (1, False): 25}


def test_kinds_take_turns_and_are_told_by_their_label():
    items = list(FEW.items())
    assert isinstance(FEW, OnGrounds) and len(items) == len(FEW) == 50
    assert Counter(item.label for item in items) == Counter([*range(10), *range(10), *range(5)] * 2)
    assert [item.ground for item in items] == [0, 1] * 25
    for thing in range(10):
        _, actor = FEW._staged(thing, 1)
        assert FEW.names[items[2 * thing].label][0] == actor.kind.name
    assert len({item.key for item in items}) == 50


def test_a_picture_depends_on_the_seed_and_its_number_alone():
    assert np.array_equal(pixels(FEW, 7), pixels(SwappedScenes(WORLD, things=4), 7))
    assert not np.array_equal(pixels(FEW, 7), pixels(FEW, 6))
    other = SwappedScenes(replace(WORLD, seed=1), things=25)
    assert not np.array_equal(pixels(FEW, 7), pixels(other, 7))
    assert load().world == WORLD and load(split="1").world.seed == 1


def test_what_is_asked_for_is_what_the_recipe_learns():
    world = scenes.recipe.captions.world
    assert (WORLD.kinds, WORLD.grounds, WORLD.scale) == (world.kinds, world.grounds, world.scale)


def test_a_world_without_another_ground_and_a_root_or_a_seed_of_words_are_refused():
    with pytest.raises(ValueError, match="leaves no ground for 'boat'"):
        SwappedScenes(World(kinds=("boat",), grounds=("water",)), things=3)
    with pytest.raises(ValueError, match="drawn, not read from here"):
        load("here")
    with pytest.raises(ValueError, match="no split 'val'; give a seed"):
        load(split="val")
