"""Prompts: how many, which name they carry, and the article of the plain one."""

import pytest

from whatwhere.concepts.prompts import Prompts, with_article


@pytest.mark.parametrize(
    ("how", "count"),
    [("name", 1), ("photo", 1), ("article", 1), ("sentence", 1), ("seven", 7), ("imagenet", 80)],
)
def test_each_set_has_its_size_and_every_prompt_says_the_name(how, count):
    prompts = Prompts(how)("zebra")
    assert len(set(prompts)) == count
    assert all("zebra" in prompt for prompt in prompts)


def test_the_seven_are_among_the_eighty():
    assert len(set(Prompts("seven")("fox")) & set(Prompts("imagenet")("fox"))) >= 5


def test_the_bare_name_stays_as_it_is():
    assert Prompts("name")("Golden Gate") == ["Golden Gate"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dog", "a dog"),
        ("umbrella", "an umbrella"),
        ("unicycle", "a unicycle"),
        ("one-way sign", "a one-way sign"),
        ("hourglass", "an hourglass"),
        ("SUV", "an SUV"),
        ("bus", "a bus"),
        ("traffic light", "a traffic light"),
        ("people", "people"),
        ("stairs", "stairs"),
        ("wild geese", "wild geese"),
        ("grass", "grass"),
        ("wine glass", "wine glass"),
    ],
)
def test_articles(name, expected):
    assert with_article(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Aeroplane", "a photo of an aeroplane"),
        ("umbrella", "a photo of an umbrella"),
        ("unicycle", "a photo of an unicycle"),
        ("grass", "a photo of a grass"),
        ("shelves", "a photo of a shelves"),
    ],
)
def test_the_released_article_goes_by_the_first_letter_alone(name, expected):
    assert Prompts("article")(name) == [expected]


def test_an_unknown_set_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="name, photo, article, sentence, seven, imagenet"):
        Prompts("eighty")
