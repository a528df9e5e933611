"""Prompts made of the words of a caption, for the multi-label objective of GroupViT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from whatwhere.concepts.nouns import table
from whatwhere.concepts.phrases import WORD, NounPhrases, parts_of_speech
from whatwhere.concepts.prompts import clip_templates

Words = Literal["names", "words", "nltk"]
Draw = np.random.Generator | np.random.RandomState

# Penn Treebank tags that the released code takes for nouns: verbs too, plural proper nouns not.
NLTK_TAGS = frozenset(("NN", "NNS", "NNP", "VB", "VBD", "VBG", "VBN", "VBP", "VBZ"))


@dataclass(frozen=True)
class WordPrompts:
    """`count` texts for a picture: words of its caption, each in one of CLIP's 80 templates.

    words   "names": the things that the caption names, "tennis ball" as one (arXiv 2202.11094,
            sec. 3.3, takes nouns). "words": every noun and every verb by itself, as the released
            code does. "nltk": the same by the tagger that it uses, whose data must be installed.

    Words are drawn without replacement; a caption of too few words fills up with itself.
    """

    count: int = 3
    words: Words = "names"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"extra_prompts.count={self.count}; take 1 or more")

    def of(self, keys: Sequence[str]) -> WordPrompts:
        """What draws the texts of these pictures; any will do."""
        return self

    def contents(self) -> str:
        """What tells apart all that texts are drawn from, beside the captions: nothing here."""
        return ""

    def __call__(self, key: str, caption: str, draw: Draw) -> list[str]:
        """Of the picture only the caption matters here; other ways to find words look it up."""
        words = FINDERS[self.words](caption)
        chosen = (
            draw.choice(len(words), min(self.count, len(words)), replace=False) if words else ()
        )
        return prompted([words[i] for i in chosen], caption, count=self.count, draw=draw)


def prompted(words: list[str], caption: str, *, count: int, draw: Draw) -> list[str]:
    """Each word in a template of its own, then the caption until there are `count` texts."""
    templates = clip_templates("imagenet")
    texts = [templates[draw.choice(len(templates))](word) for word in words[:count]]
    return texts + [caption] * (count - len(texts))


def _names(caption: str) -> list[str]:
    return [phrase.name for phrase in NounPhrases()(caption)]


def _words(caption: str) -> list[str]:
    words = WORD.findall(caption)
    letters = parts_of_speech([word.lower() for word in words])
    return [
        word
        for word, letter in zip(words, letters, strict=True)
        if letter in "nN" or (letter in "vzpg" and "verb" in table().get(word.lower(), {}))
    ]


def _nltk(caption: str) -> list[str]:
    import nltk

    try:
        tagged = nltk.pos_tag(nltk.word_tokenize(caption))
    except LookupError:
        raise ImportError(
            "words=nltk needs the data of nltk: python -m nltk.downloader punkt_tab "
            "averaged_perceptron_tagger_eng; or take words=words"
        ) from None
    return [word for word, tag in tagged if tag in NLTK_TAGS]


FINDERS = {"names": _names, "words": _words, "nltk": _nltk}
