"""The singular of English nouns, against a list written by hand."""

import pytest

from whatwhere.concepts.nouns import is_plural, singular

GOLD = """
people person, leaves leaf, men man, women woman, children child, geese goose, mice mouse,
feet foot, teeth tooth, oxen ox, wolves wolf, knives knife, shelves shelf, scarves scarf,
calves calf, loaves loaf, wives wife, hooves hoof, roofs roof, cliffs cliff, chefs chef,
gloves glove, olives olive, waves wave, buses bus, glass glass, grass grass, bus bus, gas gas,
tennis tennis, canvas canvas, dress dress, dresses dress, mattress mattress, princess princess,
cross cross, circus circus, octopus octopus, cactus cactus, cacti cactus, walrus walrus, iris iris,
lens lens, compass compass, thermos thermos, rhinoceros rhinoceros, sheep sheep, deer deer,
fish fish, salmon salmon, aircraft aircraft, series series, cattle cattle, police police,
scissors scissors, stairs stairs, sunglasses sunglasses, glasses glasses, jeans jeans, pants pants,
shorts shorts, goggles goggles, pajamas pajamas, binoculars binoculars, headphones headphones,
clothes clothes, woods woods, bleachers bleachers, gymnastics gymnastics, graffiti graffiti,
puppies puppy, cherries cherry, skies sky, monkeys monkey, valleys valley, toys toy, ties tie,
pies pie, cookies cookie, movies movie, wheelies wheelie, shoes shoe, canoes canoe, tomatoes tomato,
potatoes potato, photos photo, pianos piano, boxes box, foxes fox, benches bench, churches church,
brushes brush, houses house, horses horse, vases vase, axes axe, skis ski, taxis taxi,
bikinis bikini, frisbees frisbee, t-shirts t-shirt, policemen policeman, snowboarders snowboarder,
dog dog, skateboarders skateboarder, bmxers bmxer, kiteboarders kiteboarder, selfies selfie
"""


@pytest.mark.parametrize("pair", GOLD.replace("\n", " ").split(","), ids=str.strip)
def test_singular_agrees_with_the_list(pair):
    noun, expected = pair.split()
    assert singular(noun) == expected


def test_the_list_is_long_enough_to_mean_something():
    assert len(GOLD.split(",")) >= 80


def test_only_the_last_word_of_a_phrase_changes():
    assert singular("sports cars") == "sports car"
    assert singular("traffic lights") == "traffic light"


def test_drinking_glasses_are_glasses_and_not_spectacles():
    assert singular("wine glasses") == "wine glass"
    assert singular("reading glasses") == "reading glasses"


def test_every_singular_is_its_own_singular():
    words = {singular(pair.split()[0]) for pair in GOLD.split(",")}
    assert words == {singular(word) for word in words}


@pytest.mark.parametrize("word", ["", "s", "us", "4s", "🐕", "'s", "-", "x-", "rock 'n' roll"])
def test_odd_words_stay(word):
    assert singular(word) == word


def test_plural_only_words_are_plural_and_words_in_s_are_not():
    assert is_plural("Stairs")
    assert is_plural("two dogs")
    assert not is_plural("bus")
