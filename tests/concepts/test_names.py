"""Names as people type them."""

import pytest

from whatwhere.concepts.names import parse_names


def test_commas_part_names_and_bars_part_synonyms():
    typed = " dog, grass | lawn,Traffic  light"
    assert parse_names(typed) == [("dog",), ("grass", "lawn"), ("Traffic light",)]


def test_a_sequence_of_names_may_hold_commas():
    assert parse_names(["dog, brown", "sofa|couch"]) == [("dog, brown",), ("sofa", "couch")]


def test_a_synonym_twice_in_one_concept_counts_once():
    assert parse_names("sofa|couch|Sofa") == [("sofa", "couch")]


@pytest.mark.parametrize("typed", ["", " , ", []])
def test_no_names_at_all_are_refused_with_an_example(typed):
    with pytest.raises(ValueError, match="give some, like"):
        parse_names(typed)


@pytest.mark.parametrize("typed", ["dog,,cat", "dog|", "cat, -", ["dog", " "], "dog, cat,"])
def test_an_empty_name_is_refused(typed):
    with pytest.raises(ValueError, match="empty name"):
        parse_names(typed)


@pytest.mark.parametrize(
    "typed", ["dog, cat, Dog", "dog|hound, cat, hound", "t-shirt, cat, t shirt"]
)
def test_a_name_in_two_concepts_is_refused_with_both_places(typed):
    with pytest.raises(ValueError, match=r"name 1 \(.+\) and again in name 3 \(.+\); remove one"):
        parse_names(typed)
