"""Captions mention concepts by whole words; plurals, hyphens and case do not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whatwhere.concepts.nouns import singular
from whatwhere.curation.mentions import Finder, Mentions, inside

lists = st.lists(st.lists(st.integers(0, 6), max_size=4, unique=True), max_size=5)


def names_in(caption, names, **settings):
    return [names[row] for row in Finder([(name,) for name in names], **settings)(caption)]


def test_names_inside_other_words_are_not_mentioned():
    names = ["man", "car", "tree", "ox"]
    assert names_in("A woman on the street left a box on the carpet", names) == []
    assert names_in("A man, a car; (tree)! An ox's yoke", names) == names


def test_all_runs_of_words_count_in_the_order_in_which_they_begin():
    names = ["dog", "house", "tree house", "hot dog", "tree"]
    assert names_in("hot dog near a tree house", names) == [
        "hot dog",
        "dog",
        "tree",
        "tree house",
        "house",
    ]


def test_a_name_may_have_any_number_of_words():
    names = ["two three", "one two three four five", "two three four five six seven"]
    assert names_in("one two three four five six sevens", names, singular=singular) == [
        "one two three four five",
        "two three",
        "two three four five six seven",
    ]


@pytest.mark.parametrize("caption", ["two geese", "many wine glasses", "Wine-Glasses"])
def test_plurals_count_only_when_a_singular_is_given(caption):
    names = ["goose", "wine glass"]
    assert len(names_in(caption, names, singular=singular)) == 1
    assert names_in(caption, names) == []


def test_a_name_is_taken_as_it_is_written_before_its_singular():
    names = ["glass", "glasses"]
    assert names_in("a man with glasses", names, singular=singular) == ["glasses"]


def test_a_concept_said_twice_or_by_two_names_counts_once():
    find = Finder([("sofa", "couch"), ("dog",)])
    assert find("a couch beside a sofa, a dog and a dog") == [0, 1]


@settings(deadline=None)
@given(lists, st.lists(st.integers(-1, 4), max_size=7))
def test_places_are_what_a_loop_collects(rows, asked):
    rows += [[]] * (5 - len(rows))
    found = Mentions.of(rows)
    who, place = found.places(np.array(asked, dtype=np.int64))
    expected = [(i, concept) for i, row in enumerate(asked) if row >= 0 for concept in rows[row]]
    assert list(zip(who.tolist(), found.concept[place].tolist(), strict=True)) == expected
    assert found.picture.tolist() == [i for i, row in enumerate(rows) for _ in row]


@settings(deadline=None)
@given(lists, lists)
def test_through_replaces_every_concept_by_its_list(rows, other):
    other += [[]] * (7 - len(other))
    found = Mentions.of(rows).through(Mentions.of(other))
    expected = [sorted({to for concept in row for to in other[concept]}) for row in rows]
    assert len(found) == len(rows)
    for i, row in enumerate(expected):
        assert found.concept[found.start[i] : found.start[i + 1]].tolist() == row


def test_inside_lists_names_letter_by_letter():
    found = inside(["man", "woman", "car", "carpet"])
    assert found.start.tolist() == [0, 1, 3, 4, 6]
    assert found.concept.tolist() == [0, 0, 1, 2, 2, 3]
