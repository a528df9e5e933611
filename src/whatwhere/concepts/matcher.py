"""Finds a bank's names in captions fast enough to do it while training."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from whatwhere.concepts.nouns import IRREGULAR, singular
from whatwhere.records import Span

# Words keep their hyphens, every other sign stands alone, and blanks fall between the pieces.
_PIECES = re.compile(r"(\w+(?:-\w+)*|[^\w\s])")
_END = ""  # no word is empty, so this key of a node holds the concept that ends there
_NONE, _LONGER = -1, -2  # beside concepts: a word that begins no name, or maybe a longer one


class Matcher:
    """Called with a cleaned caption: where it mentions which concept, left to right.

    All occurrences, the longest name first, never two on one word. Rules:
    - Case does not matter. Words of a name may be apart by blanks, not by a comma.
    - A hyphen is a blank ("T-shirt" finds "t shirt"), but no name begins or ends inside a
      hyphenated word: "dog-like" mentions no dog.
    - Other signs must be as in the name ("bull's eye"); "man's" mentions "man", without the 's.
    - The last word may be plural. A name in the bank is found as it is before its singular is
      looked up, so a bank may hold both "glass" and "glasses"; a plural name also finds its
      singular, if that is no other name.
    It reads words, not sentences: "a man watches" mentions a watch, if the bank has one.
    """

    def __init__(self, concepts: Iterable[Sequence[str]]):
        self._root: dict[str, Any] = {}
        self._first: dict[str, int] = {}
        ways = [(_words(name), row) for row, names in enumerate(concepts) for name in names]
        for words, row in ways:
            self._add(words, row)
        rows = {" ".join(words): row for words, row in ways}
        for plural, one in IRREGULAR.items():
            if one in rows:
                self._add(_words(plural), rows[one])
        for words, row in ways:
            self._add([*words[:-1], singular(words[-1])], row)

    def _add(self, words: list[str], row: int) -> None:
        node = self._root
        for word in words:
            node = node.setdefault(word, {})
        node.setdefault(_END, row)

    def __call__(self, text: str) -> list[Span]:
        pieces = _PIECES.split(in_place_lower(text))
        words = pieces[1::2]
        ends = list(accumulate(map(len, pieces)))
        spans = []
        free = 0  # the first word that no span has
        for i, word in enumerate(words):
            if i < free:
                continue
            concept = self._first.get(word)
            if concept is None:
                concept = self._look_up(word)
            if concept == _NONE:
                continue
            last = i
            if concept == _LONGER:
                found = self._longest(words, i)
                if found is None:
                    continue
                last, concept = found
            spans.append(Span(ends[2 * i], ends[2 * last + 1], concept))
            free = last + 1
        return spans

    def _look_up(self, word: str) -> int:
        """What a name that begins with `word` can be, remembered: captions repeat their words."""
        node = self._root.get(word.split("-")[0] or word)
        if node is None:
            node = self._root.get(singular(word))
            known = _NONE if node is None else node.get(_END, _NONE)
        else:
            known = node[_END] if node.keys() == {_END} and "-" not in word else _LONGER
        if len(self._first) >= 1 << 17:
            self._first.clear()  # all captions of the web have more words than memory should hold
        self._first[word] = known
        return known

    def _longest(self, words: list[str], first: int) -> tuple[int, int] | None:
        """The last word and the concept of the longest name that begins at word `first`."""
        node, found = self._root, None
        for last in range(first, len(words)):
            word = words[last]
            if "-" in word and len(word) > 1:
                *parts, word = word.split("-")
                for part in parts:
                    node = node.get(part)
                    if node is None:
                        return found
            following = node.get(word)
            concept = following.get(_END) if following else None
            if concept is None:
                one = node.get(singular(word))
                concept = one.get(_END) if one else None
            if concept is not None:
                found = last, concept
            if following is None:
                return found
            node = following
        return found


def _words(name: str) -> list[str]:
    clean = unicodedata.normalize("NFC", name).replace("-", " ")
    return _PIECES.split(in_place_lower(clean))[1::2]


def in_place_lower(text: str) -> str:
    """Lower case with every character in its place, and one kind of apostrophe."""
    lower = text.lower().replace("\u2019", "'")
    if len(lower) == len(text):
        return lower
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text).replace("\u2019", "'")
