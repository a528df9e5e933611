"""The reference parser against the golden cases, its flaws one by one, and our parse behind it."""

import json
import pickle

import pytest
from golden import FOLDER, SET
from hypothesis import given
from hypothesis import strategies as st

from whatwhere.concepts.bank import Bank, Concepts
from whatwhere.concepts.phrases import NounPhrases
from whatwhere.concepts.strict import Parse, Strict, by_rules, from_doc, in_bank, mentions
from whatwhere.encoders.clip_tokens import ClipTokens

CLIP = ClipTokens()


def golden_cases():
    file = FOLDER / f"simzss_concepts_{SET}.json"
    if not FOLDER.is_dir():
        return [pytest.param(None, marks=pytest.mark.skip(f"no golden vectors: {FOLDER}"))]
    cases = json.loads(file.read_text(encoding="utf-8"))["cases"]
    return [pytest.param(case, id=case["clean"][:40]) for case in cases]


def given_parse(case):
    chunks = tuple(tuple(chunk) for chunk in case["noun_chunks_start_end_root"])
    columns = (tuple(case[key]) for key in ("words", "spaces", "lemmas", "deps", "heads"))
    return Parse(*columns, chunks)


def pieces_of(text):
    return [piece for piece, _, _ in CLIP.pieces(text)]


@pytest.mark.parametrize("case", golden_cases())
def test_golden_simzss_mentions_are_the_reference_tables(case):
    assert CLIP.clean(case["caption"]) == case["clean"]
    assert CLIP([case["clean"]]).ids[0].tolist() == case["token_ids"]
    found = mentions(given_parse(case), pieces_of(case["clean"]))
    assert {
        "nouns": [m.chunk for m in found],
        "concepts": [m.name for m in found],
        "noun_token_indices": [list(m.chunk_tokens) for m in found],
        "concept_token_indices": [list(m.name_tokens) for m in found],
    } == case["raw"]


@pytest.mark.parametrize("case", golden_cases())
def test_golden_simzss_mentions_in_the_bank_are_the_reference_tables(case):
    names = json.loads((FOLDER / "simzss_bank.json").read_text(encoding="utf-8"))
    rows = {name: row for row, name in enumerate(names)}
    found = in_bank(mentions(given_parse(case), pieces_of(case["clean"])), rows)
    assert {
        "nouns": [m.chunk for m, _ in found],
        "concept_ids": [row for _, row in found],
        "noun_token_indices": [list(m.chunk_tokens) for m, _ in found],
        "concept_token_indices": [list(m.name_tokens) for m, _ in found],
    } == case["filtered"]


@pytest.mark.parametrize("case", golden_cases())
def test_a_spacy_document_of_golden_simzss_gives_the_same_parse(case):
    spacy = pytest.importorskip("spacy", reason="spaCy is not installed")
    keys = ("words", "spaces", "lemmas", "pos", "deps", "heads")
    doc = spacy.tokens.Doc(spacy.blank("en").vocab, **{key: case[key] for key in keys})
    assert from_doc(doc) == given_parse(case)


def parse(*chunks, text, compounds=()):
    """A parse of words by their numbers; compounds are (word, its head)."""
    words = tuple(text.split())
    deps, heads = [""] * len(words), list(range(len(words)))
    for word, head in compounds:
        deps[word], heads[word] = "compound", head
    return Parse(words, (True,) * len(words), words, tuple(deps), tuple(heads), chunks)


def found_in(text, *chunks, compounds=()):
    found = mentions(parse(*chunks, text=text, compounds=compounds), pieces_of(text))
    return [(m.chunk, m.name, m.chunk_tokens, m.name_tokens) for m in found]


def test_the_last_compound_and_the_head_are_the_name():
    text, compounds = "a dog house door", [(1, 3), (2, 3)]
    expected = ("a dog house door", "house door", (1, 2, 3, 4), (3, 4))
    assert found_in(text, (0, 4, 3), compounds=compounds) == [expected]


def test_a_compound_of_another_word_does_not_count():
    [(_, name, _, _)] = found_in("a dog house door", (0, 4, 3), compounds=[(1, 2)])
    assert name == "door"


def test_the_first_equal_word_is_taken_even_outside_the_chunk():
    text = "orange light and an orange"
    assert found_in(text, (3, 5, 4)) == [("an orange", "orange", (4, 5), (1,))]


def test_a_word_that_begins_another_hides_it():
    """ "cat" could be the first half of "catfish", so the scanner swallows both."""
    assert found_in("cat catfish dog", (1, 2, 1)) == []
    assert found_in("a cat dog catfish", (3, 4, 3)) == [("catfish", "catfish", (4,), (4,))]


def test_a_name_not_found_ends_the_caption_and_a_chunk_not_found_only_its_scanner():
    assert found_in("a dog in a café and a cat", (0, 2, 1), (3, 5, 4), (6, 8, 7)) == [
        ("a dog", "dog", (1, 2), (2,))
    ]
    chunks = found_in("a naïve dog and a cat", (0, 3, 2), (4, 6, 5))
    assert [(found[2], found[3]) for found in chunks] == [((1,), (5,)), ((), (8,))]


def test_a_chunk_of_sixteen_tokens_is_not_stored_and_one_of_fifteen_is():
    for extra, stored in ((13, 2), (14, 1)):
        text = f"a {'big ' * extra}dog by a cat"
        last = extra + 1
        found = found_in(text, (0, last + 1, last), (last + 2, last + 4, last + 3))
        assert len(found) == stored and found[-1][1] == "cat"


def test_no_more_than_thirty_two_chunks_are_stored():
    text = " ".join(["dog"] * 40)
    assert len(found_in(text, *[(i, i + 1, i) for i in range(40)])) == 32


def test_a_word_cut_off_at_the_last_token_is_not_found():
    text = f"{'big ' * 74}skateboarder dog"
    assert pieces_of(text)[75] != "skateboarder</w>"
    assert found_in(text, (74, 75, 74)) == []


def strict(names, text, covers="name"):
    concepts = Bank.parse(names).concepts
    return Strict(concepts, pieces=CLIP.pieces, find=NounPhrases(), covers=covers)(text)


def test_spans_are_the_characters_of_the_name_or_of_its_chunk():
    text = "two dogs watch a yellow tennis ball"
    names = ["tennis ball", "dog"]
    for covers, expected in (("name", ["dogs", "tennis ball"]), ("chunk", [text[:8], text[15:]])):
        spans = strict(names, text, covers=covers)
        assert [text[s.start : s.end] for s in spans] == expected
        assert [(s.concept, s.parts) for s in spans] == [(1, ()), (0, ())]


def test_what_lies_between_the_words_of_a_name_is_no_part_of_it():
    text = "a man in a t-shirt"
    [span] = strict(["t shirt|shirt"], text)
    assert [text[start:end] for start, end in span.parts] == ["t", "shirt"]
    assert text[span.start : span.end] == "t-shirt"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["person"], "a man and a boy"),
        (["sky-lift"], "a sky lift"),
        (["ball"], "a tennis ball"),
        (["dog"], "dog-like"),
        (["dog"], ""),
        (["dog"], "🐕 !"),
    ],
)
def test_only_exactly_the_name_counts(names, text):
    assert strict(names, text) == []


def test_capital_letters_change_nothing():
    assert strict(["dog"], "A DOG") == strict(["dog"], "a dog") != []


def test_a_pickled_parser_finds_the_same():
    parser = Concepts(parser="strict").finder(Bank.parse(["dog"]), pieces=CLIP.pieces)
    assert pickle.loads(pickle.dumps(parser))("a dog") == parser("a dog") != []


def test_rules_parse_as_spacy_does_where_the_reference_looks():
    found = by_rules("the t-shirts and two tennis balls by a man's dog")
    assert found.words[1:4] == ("t", "-", "shirts")
    assert [i for i, dep in enumerate(found.deps) if dep] == [1, 6]
    assert (found.heads[1], found.heads[6]) == (3, 7)
    assert found.chunks == ((0, 4, 3), (5, 8, 7), (9, 13, 12))  # one chunk for owner and owned
    assert [found.lemmas[root] for _, _, root in found.chunks] == ["shirt", "ball", "dog"]


WORDS = [
    "a",
    "can't",
    "dog's",
    "t-shirt",
    "🐕",
    "3.5",
    "isn't",
    "grass",
    "-",
    "café",
    "tennis",
    "İ",
]


@given(st.one_of(st.text(max_size=50), st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)))
def test_any_caption_gives_spans_inside_it(text):
    for covers in ("name", "chunk"):
        for span in strict(["grass", "tennis", "t shirt", "dog"], text, covers=covers):
            assert 0 <= span.start < span.end <= len(text)
