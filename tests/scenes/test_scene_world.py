"""The world keeps its promises: same number, same scene; what captions say is true."""

import pickle
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from whatwhere.scenes.languages import de, en, fr
from whatwhere.scenes.scene import Scene
from whatwhere.scenes.things import KINDS
from whatwhere.scenes.world import World

TALKATIVE = World(count=(2, 5), attributes=0.8, relations=1.0, long=True, seed=5)
RANDOM = replace(TALKATIVE, background="random", long=False)
SHORT = World(height=64, width=80, seed=11)


@cache
def scenes(world: World, number: int = 40) -> tuple[Scene, ...]:
    return tuple(world.scene(index) for index in range(number))


def visible(scene: Scene, thing: int) -> np.ndarray:
    return scene.instances == thing + 1


def same(one: Scene, two: Scene) -> bool:
    arrays = ("image", "labels", "instances", "ground", "whole")
    rest = ("key", "things", "caption", "mentions", "relations", "mentioned", "omitted")
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in arrays) and all(
        getattr(one, name) == getattr(two, name) for name in rest
    )


def test_a_scene_is_the_same_in_any_order_and_after_pickling():
    backwards = {index: SHORT.scene(index) for index in (7, 3, 0)}
    again = pickle.loads(pickle.dumps(SHORT))
    assert again == SHORT
    assert all(same(again.scene(index), scene) for index, scene in backwards.items())


def test_scenes_and_seeds_differ():
    assert not np.array_equal(SHORT.scene(0).image, SHORT.scene(1).image)
    assert not np.array_equal(SHORT.scene(0).image, replace(SHORT, seed=12).scene(0).image)
    assert len({scene.caption for scene in scenes(SHORT)}) > 35


@pytest.mark.parametrize(
    "change",
    [{"omit": 0.7}, {"language": "de"}, {"long": True}, {"attributes": 0.0, "relations": 1.0}],
)
def test_settings_of_captions_leave_the_picture_alone(change):
    for index in range(4):
        one, two = SHORT.scene(index), replace(SHORT, **change).scene(index)
        assert np.array_equal(one.image, two.image)
        assert np.array_equal(one.labels, two.labels)
        assert one.things == two.things


def test_captions_without_painting_are_those_of_the_scene():
    told = [SHORT.captions(index, tellings=3) for index in range(5)]
    assert [captions[0] for captions in told] == [SHORT.scene(index).caption for index in range(5)]
    assert any(len(set(captions)) > 1 for captions in told)


def test_every_pixel_has_the_label_of_its_thing_or_ground():
    for scene in scenes(SHORT):
        assert scene.image.shape == (64, 80, 3)
        assert scene.labels.shape == (64, 80)
        assert scene.ground.min() >= len(SHORT.kinds)
        assert scene.ground.max() < len(SHORT.names)
        expected = scene.ground.copy()
        for number, thing in enumerate(scene.things):
            expected[visible(scene, number)] = SHORT.names.index(thing.name)
        assert np.array_equal(scene.labels, expected)


def test_things_in_front_hide_those_behind():
    for scene in scenes(RANDOM, 60):
        front = np.zeros_like(scene.instances)
        for number in range(len(scene.things)):
            front = np.where(scene.whole[number], number + 1, front)
        assert np.array_equal(scene.instances, front)


def test_every_thing_can_be_seen_and_its_box_is_tight():
    for scene in scenes(RANDOM, 60):
        assert 2 <= len(scene.things) <= 5
        for number, thing in enumerate(scene.things):
            mask = visible(scene, number)
            assert mask.sum() >= max(0.004 * mask.size, 0.4 * scene.whole[number].sum())
            rows, cols = np.nonzero(mask)
            assert thing.box == (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)


def holds(scene: Scene, how: str, one: int, two: int) -> bool:
    """By the pixels alone, in words that a person would agree with."""
    (ys, xs), (yo, xo) = (np.nonzero(visible(scene, thing)) for thing in (one, two))
    if how in ("front", "behind"):
        hider, hidden = (one, two) if how == "front" else (two, one)
        both = scene.whole[hider] & scene.whole[hidden]
        return both.any() and not (scene.instances[both] == hidden + 1).any()
    if how == "near":
        rows = set(ys) & set(yo)
        gap = max(xs.min(), xo.min()) - min(xs.max(), xo.max()) - 1
        return bool(rows) and gap <= 0.1 * scene.labels.shape[1]
    right, down = xs.mean() - xo.mean(), ys.mean() - yo.mean()
    if how in ("left", "right"):
        return abs(right) > abs(down) and (right < 0) == (how == "left")
    return abs(down) > abs(right) and (down < 0) == (how == "above")


def test_every_stated_relation_is_true_in_the_masks():
    kinds = Counter()
    for scene in scenes(TALKATIVE, 60) + scenes(RANDOM, 60):
        for relation in scene.relations:
            assert holds(scene, relation.how, relation.subject, relation.object), scene.caption
            kinds[relation.how] += 1
    assert set(kinds) == {"left", "right", "above", "below", "front", "behind", "near"}


def test_stated_relations_are_in_the_text_between_their_two_things():
    said = 0
    for scene in scenes(RANDOM, 60):
        for relation in scene.relations:
            subject, other = (
                next(m for m in scene.mentions if m.things == (thing,))
                for thing in (relation.subject, relation.object)
            )
            between = scene.caption[subject.end : other.start].strip()
            assert between in en.RELATIONS[relation.how], scene.caption
            said += 1
    assert said > 15


def test_mentions_point_at_their_words():
    for scene in scenes(TALKATIVE, 60):
        for mention in scene.mentions:
            words = scene.caption[mention.start : mention.end].lower()
            assert words.endswith(en.NOUNS[mention.name][len(mention.things) > 1])
            assert words == words.strip()


def test_counts_in_captions_are_those_of_the_instances():
    several = 0
    for scene in scenes(TALKATIVE, 60):
        there = Counter(thing.name for thing in scene.things)
        told: dict[str, set[int]] = {}
        for mention in scene.mentions:
            if mention.things:
                number = scene.caption[mention.start : mention.end].lower().split()[0]
                count = 1 if number in ("a", "an", "the") else en.NUMBERS.index(number) + 2
                assert count == len(mention.things), scene.caption
                told.setdefault(mention.name, set()).update(mention.things)
                several += count > 1
        for name, things in told.items():
            assert len(things) == there[name], scene.caption
            assert all(scene.things[thing].name == name for thing in things)
    assert several > 10


def test_attributes_that_are_said_are_true_of_every_thing_meant():
    for scene in scenes(TALKATIVE, 60):
        for mention in scene.mentions:
            for thing in mention.things:
                assert set(mention.attributes) <= set(scene.things[thing].attributes)


def test_a_ground_is_only_said_to_carry_the_things_on_it():
    places = {place for choices in en.PLACES.values() for place in choices}
    checked = 0
    for scene in scenes(RANDOM, 60):
        meant, end = [], 0
        for mention in scene.mentions:
            if mention.things:
                meant += mention.things
            elif scene.caption[end : mention.start].strip() in places:  # also of all named before
                assert {scene.things[thing].ground for thing in meant} == {mention.name}
                meant, checked = [], checked + 1
            end = mention.end
    assert checked > 20


def test_mentioned_and_omitted_are_what_is_there():
    for scene in scenes(SHORT):
        assert {mention.name for mention in scene.mentions} == set(scene.mentioned)
        assert not set(scene.mentioned) & set(scene.omitted)
        assert {thing.name for thing in scene.things} <= set(scene.mentioned + scene.omitted)
        there = {SHORT.names[label] for label in np.unique(scene.labels)}
        assert set(scene.mentioned) <= there
        for name in there - set(scene.mentioned + scene.omitted):  # a sliver of ground
            assert (scene.labels == SHORT.names.index(name)).mean() < 0.004


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_things_are_omitted_at_the_rate_asked_for(rate):
    world = replace(SHORT, omit=rate)
    omitted = [
        name in scene.omitted
        for scene in scenes(world, 90 if 0 < rate < 1 else 20)
        for name in {thing.name for thing in scene.things}
    ]
    error = np.sqrt(rate * (1 - rate) / len(omitted))
    assert abs(np.mean(omitted) - rate) <= 3.5 * error


def test_no_words_are_lost_when_nothing_is_left_to_say():
    world = replace(SHORT, omit=1.0, omit_grounds=1.0)
    for scene in scenes(world, 20):
        assert len(scene.mentioned) == 1
        assert scene.mentioned[0] in world.grounds


def anchor(scene: Scene, thing: int) -> int:
    """The ground label where the thing is: under its foot, or behind its middle if it floats."""
    rows, cols = np.nonzero(scene.whole[thing])
    floats = KINDS[scene.things[thing].name].floats
    row = round((rows.min() + rows.max()) / 2) if floats else rows.max()
    return scene.ground[row, round((cols.min() + cols.max()) / 2)]


@pytest.mark.parametrize(("background", "usual"), [("usual", True), ("swapped", False)])
def test_things_are_where_the_background_setting_wants_them(background, usual):
    world = replace(SHORT, background=background)
    agree = []
    for scene in scenes(world):
        for number, thing in enumerate(scene.things):
            assert (thing.ground in KINDS[thing.name].usual) == usual
            agree.append(world.names[anchor(scene, number)] == thing.ground)
    assert np.mean(agree) > 0.93  # a foot cut by the frame or on a wavy edge may be a pixel off


def test_every_kind_and_every_ground_appears():
    world = World(count=(2, 4))
    staged = [world._staged(index) for index in range(120)]
    seen = Counter(thing.name for scene in staged for thing in scene.things)
    assert set(seen) == set(world.kinds)
    assert min(seen.values()) > 2
    assert {name for scene in staged for name in scene.grounds} == set(world.grounds)


def test_no_kind_is_known_by_its_color():
    every = Counter(color for kind in KINDS.values() for color in kind.colors)
    assert min(every.values()) > 1
    assert all(len(kind.colors) > 1 for kind in KINDS.values())


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_names_of_the_language_are_in_its_captions(language):
    world = replace(SHORT, language=language, long=True)
    concepts = dict(zip(world.names, world.concepts, strict=True))
    for scene in scenes(world, 30):
        for mention in scene.mentions:
            words = scene.caption[mention.start : mention.end].lower()
            assert any(form.lower() in words for form in concepts[mention.name])


def test_german_follows_gender_and_case():
    small_red = ("small", "red")

    def some(name, count, after):
        return "".join(de.some(name, count=count, attributes=small_red, after=after))

    assert some("ball", 1, "") == "ein kleiner roter Ball"
    assert some("cat", 1, "") == "eine kleine rote Katze"
    assert some("house", 1, "man sieht") == "man sieht ein kleines rotes Haus"
    assert some("ball", 1, "man sieht") == "man sieht einen kleinen roten Ball"
    assert some("cat", 1, "links von") == "links von einer kleinen roten Katze"
    assert some("house", 3, "mit") == "mit drei kleinen roten Häusern"
    assert some("cat", 2, "") == "zwei kleine rote Katzen"
    assert "".join(de.the("water", attributes=(), after="in")) == "im Wasser"
    assert "".join(de.the("road", attributes=("gray",), after="auf")) == "auf der grauen Straße"
    assert "".join(de.the("ball", attributes=(), after="links von")) == "links vom Ball"
    assert de.the("ball", attributes=(), after="links von")[1] == "Ball"


def test_french_agrees_and_elides():
    def some(name, count, attributes, after=""):
        return "".join(fr.some(name, count=count, attributes=attributes, after=after))

    assert some("ball", 1, ("small", "red", "striped")) == "un petit ballon rouge à rayures"
    assert some("house", 2, ("big", "white")) == "deux grandes maisons blanches"
    assert some("flower", 2, ("orange",)) == "deux fleurs orange"
    assert some("cat", 1, (), "à gauche de") == "à gauche d'un chat"
    assert some("cat", 2, (), "une image de") == "une image de deux chats"
    assert "".join(fr.the("cat", attributes=(), after="à gauche de")) == "à gauche du chat"
    assert "".join(fr.the("grass", attributes=("green",), after="sur")) == "sur l'herbe verte"
    assert "".join(fr.the("tree", attributes=(), after="près de")) == "près de l'arbre"
    assert "".join(fr.the("sun", attributes=(), after="")) == "le soleil"


@pytest.mark.parametrize("language", [de, en, fr])
def test_a_language_has_words_for_everything(language):
    world = World()
    assert set(language.NOUNS) == set(world.names)
    assert set(language.PLACES) == set(language.ASIDES) == set(world.grounds)
    assert set(language.RELATIONS) == set(en.RELATIONS)
    for kind in KINDS.values():
        for color in kind.colors:
            words = ("small", "big", color, "striped", "spotted")
            assert len(language.predicate(kind.name, words)) == 5


def test_english_takes_an_before_vowels():
    assert en.some("ball", count=1, attributes=("orange",), after="")[1] == "an orange ball"
    assert en.some("umbrella", count=1, attributes=(), after="")[1] == "an umbrella"
    assert en.some("umbrella", count=1, attributes=("red",), after="")[1] == "a red umbrella"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": ("cat", "dragon")}, "kinds has dragon; choose from house"),
        ({"kinds": ()}, "kinds is empty"),
        ({"grounds": ("grass", "grass")}, "names one twice"),
        ({"grounds": ("grass",), "kinds": ("fish",)}, "leaves no ground for 'fish'"),
        ({"background": "swapped", "kinds": ("fish",), "grounds": ("water",)}, "no ground"),
        ({"background": "upside down"}, "choose from usual, random, swapped"),
        ({"language": "tlh"}, "use one of de, en, fr"),
        ({"omit": 1.5}, "omit=1.5 is no probability"),
        ({"count": (3, 2)}, "is no range of things"),
        ({"scale": 4.0}, "take 0.5 to 1.8"),
        ({"height": 8}, "too small to draw"),
        ({"kinds": ("sun", "moon"), "count": (3, 3)}, "one sun and one moon at most"),
    ],
)
def test_impossible_worlds_are_refused_with_advice(settings, message):
    with pytest.raises(ValueError, match=message):
        World(**settings)


def test_more_things_than_fit_are_refused_with_advice():
    crowded = World(height=40, width=52, kinds=("house",), grounds=("grass",), count=(10, 10))
    with pytest.raises(ValueError, match="10 things do not fit into 40x52"):
        crowded.scene(0)


def test_scenes_grow_with_the_picture():
    small, large = World(seed=2), World(height=144, width=192, seed=2)

    def share(world):
        return np.mean([(scene.instances > 0).mean() for scene in scenes(world, 15)])

    assert share(large) == pytest.approx(share(small), rel=0.35)
    assert share(replace(small, scale=1.5)) > 1.4 * share(small)
