"""Ids are those of OpenAI's tokenizer, and offsets point at the characters they came from."""

import html
import json
import pickle
import string

import ftfy
import pytest
import torch
from golden import FOLDER, SET
from hypothesis import given, settings
from hypothesis import strategies as st

from whatwhere.encoders.clip_tokens import END, START, ClipTokens
from whatwhere.records import Tokenizer

TOKENS = ClipTokens()


def cases(name: str) -> list[dict]:
    file = FOLDER / f"{name}_{SET}.json"
    if not file.is_file():
        pytest.skip(f"no golden tokens: {file} is missing (set WHATWHERE_GOLDEN)")
    found = json.loads(file.read_text())
    return found["tokenizer"] if "tokenizer" in found else found["items"]


@pytest.mark.parametrize("name", ["simzss_schedule_tokens", "groupvit_tokens"])
def test_golden_simzss_and_groupvit_ids(name):
    for case in cases(name):
        assert TOKENS([TOKENS.clean(case["text"])]).ids[0].tolist() == case["ids"], case["text"]


def test_captions_get_the_ids_of_open_clip():
    tokenizer = pytest.importorskip("open_clip.tokenizer")
    file = FOLDER.parent / "data" / "flickr8k" / "captions.jsonl"
    if not file.is_file():
        pytest.skip(f"no captions: {file} is missing")
    lines = file.read_text().splitlines()[::100]
    texts = [text for line in lines for text in json.loads(line)["captions"]]
    assert len(texts) > 300
    found = TOKENS([TOKENS.clean(text) for text in texts])
    assert torch.equal(found.ids, tokenizer.SimpleTokenizer()(texts))


def test_is_a_tokenizer():
    assert isinstance(TOKENS, Tokenizer)


def test_offsets_point_at_the_cleaned_text():
    text = TOKENS.clean("Two &amp;  caf\u00e9 \U0001f642s don't!")
    assert text == "two & café 🙂s don't!"
    found = TOKENS([text])
    length = int(found.mask.sum())
    parts = [text[start:end] for start, end in found.offsets[0, :length].tolist()]
    assert parts == ["", "two", "&", "café", "🙂", "s", "don", "'t", "!", ""]
    assert not found.offsets[0, length:].any()
    assert not found.ids[0, length:].any()


def test_start_and_end_are_real_and_an_empty_caption_has_both():
    found = TOKENS(["", "a dog"])
    assert found.mask.sum(dim=1).tolist() == [2, 4]
    assert found.ids[0, :2].tolist() == [49406, 49407]


def test_a_long_caption_is_cut_and_still_ends():
    found = ClipTokens(context=5)(["one two three four five"])
    assert found.ids[0, 0] == 49406
    assert found.ids[0, 4] == 49407
    assert found.mask.all()


def test_no_captions_make_an_empty_table():
    assert TOKENS([]).offsets.shape == (0, 77, 2)


@given(st.text())
@settings(deadline=None)
def test_cleaning_twice_changes_nothing(text):
    assert TOKENS.clean(TOKENS.clean(text)) == TOKENS.clean(text)


@given(st.text(alphabet=string.printable))
@settings(deadline=None)
def test_cleaning_plain_text_agrees_with_openai(text):
    """Most captions skip ftfy, and must not be told apart by it."""
    text = text.replace("&", "and")
    assert TOKENS.clean(text) == " ".join(html.unescape(ftfy.fix_text(text)).split()).lower()


def test_pieces_are_those_of_the_ids_with_their_characters():
    text = "a caf\u00e9's t-shirt"
    pieces = TOKENS.pieces(text)
    written = [piece for piece, _, _ in pieces[:9]]
    assert written == [
        START,
        "a</w>",
        "caf\u00c3\u00a9</w>",
        "'s</w>",
        "t</w>",
        "-</w>",
        "shirt</w>",
        END,
        "!",
    ]
    assert [text[start:end] for _, start, end in pieces[1:7]] == [
        "a",
        "caf\u00e9",
        "'s",
        "t",
        "-",
        "shirt",
    ]
    assert [[start, end] for _, start, end in pieces] == TOKENS([text]).offsets[0].tolist()


def test_ids_alone_are_those_of_the_table_without_padding():
    texts = ["a small dog!", "", "! !!"]
    table = TOKENS(texts)
    for text, ids, mask in zip(texts, table.ids, table.mask, strict=True):
        assert TOKENS.ids(text) == ids[mask].tolist()


def test_words_are_the_parts_of_a_text_whatever_their_tokens():
    text = TOKENS.clean("The ocelot's  t-shirt, caf\u00e9 no. 12\U0001f642!")
    assert len(TOKENS.ids("ocelot")) == 4
    assert TOKENS.words(text) == [
        "the", "ocelot", "'s", "t", "-", "shirt", ",", "café", "no", ".", "1", "2", "🙂!",
    ]  # fmt: skip
    assert TOKENS.words("") == []


def test_a_word_that_the_context_cuts_is_none():
    assert len(TOKENS.ids("a b ocelot")) == 6
    assert ClipTokens(context=5).words("a b ocelot") == ["a", "b"]


def test_goes_through_pickle_to_workers():
    again = pickle.loads(pickle.dumps(TOKENS))
    assert torch.equal(again(["a small dog"]).ids, TOKENS(["a small dog"]).ids)
