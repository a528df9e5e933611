"""Words of a caption in CLIP's templates: which words, how many, and the published draws."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from golden import FOLDER, SET

from whatwhere.concepts.prompts import clip_templates
from whatwhere.concepts.word_prompts import WordPrompts, prompted

CAPTION = "two dogs chase a tennis ball on the beach"


def words_in(texts):
    """The words that fill the templates."""
    found = []
    for text in texts:
        fits = [
            text[len(before) : len(text) - len(after)]
            for before, after in (t("\n").split("\n") for t in clip_templates("imagenet"))
            if text.startswith(before) and text.endswith(after)
        ]
        found.append(min(fits, key=len))
    return found


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("names", {"dog", "tennis ball", "beach"}),
        ("words", {"dogs", "chase", "tennis", "ball", "beach"}),
    ],
)
def test_words_of_the_caption_are_drawn_without_replacement(words, expected):
    drawn, templates = set(), set()
    for seed in range(20):
        texts = WordPrompts(words=words)("", CAPTION, np.random.default_rng(seed))
        assert len(texts) == 3
        some = words_in(texts)
        assert len(set(some)) == 3
        drawn |= set(some)
        templates |= set(texts)
    assert drawn == expected
    assert len(templates) > 30


def test_a_caption_of_too_few_words_fills_up_with_itself():
    texts = WordPrompts(count=4)("", "a dog", np.random.default_rng(0))
    assert words_in(texts[:1]) == ["dog"] and texts[1:] == ["a dog"] * 3
    assert WordPrompts(count=2)("", "of the", np.random.default_rng(0)) == ["of the"] * 2


def test_the_same_draw_gives_the_same_texts():
    one, two = (WordPrompts()("", CAPTION, np.random.default_rng(5)) for _ in range(2))
    assert one == two


def test_nltks_tags_are_those_that_the_released_code_takes(monkeypatch):
    tags = [("Two", "CD"), ("Smiths", "NNPS"), ("run", "VBP"), ("Rex", "NNP"), ("home", "NN")]
    tagger = SimpleNamespace(word_tokenize=str.split, pos_tag=lambda words: tags)
    monkeypatch.setitem(sys.modules, "nltk", tagger)
    texts = WordPrompts(words="nltk")("", "any", np.random.default_rng(0))
    assert set(words_in(texts)) == {"run", "Rex", "home"}


def test_no_prompts_at_all_are_refused():
    with pytest.raises(ValueError, match="take 1 or more"):
        WordPrompts(count=0)


def test_golden_groupvit_training_texts():
    if not FOLDER.is_dir():
        pytest.skip(f"no golden vectors: {FOLDER} is missing (set WHATWHERE_GOLDEN)")
    stored = json.loads((FOLDER / f"cocu_{SET}.json").read_text(encoding="utf-8"))
    assert stored["train_texts"]
    for item in stored["train_texts"]:
        draw = np.random.RandomState(item["np_seed"])
        words = list(item["rewrite"])  # best first
        texts = prompted(words, item["caption"], count=3, draw=draw)
        assert [item["caption"], *texts] == item["texts"]
