"""The matcher against a slow search by regular expressions, and its rules one by one."""

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatwhere.concepts.bank import Bank
from whatwhere.concepts.nouns import singular
from whatwhere.records import Span


def spans(names, text):
    found = Bank.parse(names).matcher()(text)
    return [(text[span.start : span.end], span.concept) for span in found]


def test_all_occurrences_are_found_with_their_characters():
    text = "Dog, grass; and a dog on the GRASS."
    assert Bank.parse(["grass", "dog"]).matcher()(text) == [
        Span(0, 3, 1),
        Span(5, 10, 0),
        Span(18, 21, 1),
        Span(29, 34, 0),
    ]


def test_the_longest_name_wins_and_no_word_is_used_twice():
    names = ["ball", "tennis ball", "ball boy", "tennis"]
    assert spans(names, "a tennis ball boy, tennis") == [("tennis ball", 1), ("tennis", 3)]


def test_a_long_name_that_breaks_off_leaves_the_short_one_and_what_follows():
    names = ["hot", "hot air balloon", "air", "dog"]
    assert spans(names, "hot air dog") == [("hot", 0), ("air", 2), ("dog", 3)]


def test_synonyms_are_one_concept():
    assert spans(["grass|lawn", "sofa|couch"], "a couch on a lawn") == [("couch", 1), ("lawn", 0)]


def test_the_last_word_may_be_plural():
    names = ["traffic light", "person", "leaf", "wine glass"]
    text = "people, traffic lights, wine glasses, leaves"
    assert [concept for _, concept in spans(names, text)] == [1, 0, 3, 2]


def test_only_the_last_word_may_be_plural():
    assert spans(["car park"], "cars park") == []


def test_a_name_in_the_bank_goes_before_its_singular():
    assert spans(["glass", "glasses"], "glass glasses") == [("glass", 0), ("glasses", 1)]
    assert spans(["leaf", "leaves"], "a leaf of leaves") == [("leaf", 0), ("leaves", 1)]


def test_a_plural_name_finds_its_singular_unless_that_is_another_name():
    assert spans(["clouds"], "one cloud") == [("cloud", 0)]
    assert spans(["clouds", "cloud"], "one cloud") == [("cloud", 1)]


@pytest.mark.parametrize("text", ["a t-shirt", "a T-Shirt", "two t shirts", "two t-shirts"])
def test_hyphens_are_blanks(text):
    for name in ("t-shirt", "T shirt"):
        [(found, concept)] = spans([name], text)
        assert (found.lower(), concept) in {(text.split(maxsplit=1)[1].lower(), 0)}


@pytest.mark.parametrize(
    "text", ["a dog-like man", "hotdog", "a sea-dog", "hot, dog", "hot - dog", "d o g", "dog_1"]
)
def test_no_name_begins_or_ends_inside_a_word_or_crosses_a_sign(text):
    assert spans(["hot dog", "sea"], text) == []
    assert spans(["dog"], text) in ([], [("dog", 0)])


def test_a_possessive_mentions_its_owner():
    assert spans(["man", "dog"], "the man's dog, the man\u2019s dogs") == [
        ("man", 0),
        ("dog", 1),
        ("man", 0),
        ("dogs", 1),
    ]


@pytest.mark.parametrize("text", ["a bull's eye", "a bull\u2019s eye"])
def test_signs_in_a_name_are_found_as_written(text):
    assert spans(["bull's eye", "bull"], text) == [(text[2:], 0)]


def test_offsets_survive_letters_that_grow_when_lowered():
    assert spans(["dog", "café"], "İİ DOG 🐕 CAFÉ") == [("DOG", 0), ("CAFÉ", 1)]


@pytest.mark.parametrize("text", ["", " ", "...", "nothing here"])
def test_captions_without_concepts_have_no_spans(text):
    assert spans(["dog"], text) == []


def test_a_pickled_matcher_finds_the_same():
    matcher = Bank.parse(["dog", "tennis ball"]).matcher()
    text = "dogs with a tennis ball"
    assert pickle.loads(pickle.dumps(matcher))(text) == matcher(text) != []


def test_words_seen_before_are_found_again():
    matcher = Bank.parse(["dog", "hot dog", "wine glass"]).matcher()
    text = "hot dogs, a dog-like hot house dog and wine glasses"
    assert matcher(text) == matcher(text)
    assert [span.concept for span in matcher(text)] == [1, 0, 2]


NAMES = ["dog", "hot dog", "dog house", "house", "hot house dog", "geese", "goose egg"]
WORDS = ["dog", "Dogs", "hot", "house", "houses", "goose", "geese", "egg", "a", ",", "dog-house"]


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_agrees_with_a_slow_search(words):
    text = " ".join(words)
    assert Bank.parse(NAMES).matcher()(text) == slow_search(NAMES, text)


def slow_search(names, text):
    """Every start, every end, longest first: no trie."""
    tokens = [(m.start(), m.end(), m.group().lower()) for m in re.finditer(r"[\w-]+|,", text)]
    exact = {name: row for row, name in enumerate(names)}
    folded = {}
    for name, row in exact.items():
        folded.setdefault(singular(name), row)
    found, first = [], 0
    while first < len(tokens):
        for last in range(len(tokens) - 1, first - 1, -1):
            phrase = " ".join(t[2] for t in tokens[first : last + 1]).replace("-", " ")
            row = exact.get(phrase, folded.get(phrase, folded.get(singular(phrase))))
            if row is not None:
                found.append(Span(tokens[first][0], tokens[last][1], row))
                first = last
                break
        first += 1
    return found
