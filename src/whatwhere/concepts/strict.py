"""SimZSS's own way from a parsed caption to concepts, its flaws included, to measure ours against.

Our default is `Matcher`. This one drops what SimZSS's released code drops (arXiv 2406.16085; the
rules are those of its offline parsing and of its filter at load time).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from whatwhere.concepts.matcher import in_place_lower
from whatwhere.concepts.phrases import NounPhrases, from_rules, pipeline
from whatwhere.records import Span

MOST_TOKENS, MOST_CHUNKS = 15, 32  # what the reference's tables of 32 x 16 take, 0 being "empty"
WORD = re.compile(r"['\u2019](?:s|re|ve|ll|d|m|t)\b|\w+|[^\w\s]")

POSSESSIVE = ("'s", "\u2019s")

Pieces = Callable[[str], Sequence[tuple[str, int, int]]]


@dataclass(frozen=True)
class Parse:
    """A caption's words, each with its lemma and with what it depends on, and its noun chunks."""

    words: tuple[str, ...]
    spaces: tuple[bool, ...]  # whether a blank follows the word
    lemmas: tuple[str, ...]
    deps: tuple[str, ...]  # only "compound" matters
    heads: tuple[int, ...]  # the word that each depends on
    chunks: tuple[tuple[int, int, int], ...]  # first word, word after the last, root


class Mention(NamedTuple):
    """A noun chunk and the concept it names, each with its places among the caption's tokens."""

    chunk: str
    name: str
    chunk_tokens: tuple[int, ...]
    name_tokens: tuple[int, ...]


def mentions(parse: Parse, pieces: Sequence[str]) -> list[Mention]:
    """All noun chunks that the reference stores, before any bank.

    `pieces` are the byte pairs of the caption as the vocabulary writes them ("cat</w>"), the start
    token first. A name is the root's lemma with at most one compound before it. Chunks and names
    are looked for by two scanners that never turn back and know no offsets, with these effects:
    - the first equal word counts ("an orange orange": the color);
    - a word with a letter outside ASCII is never found, nor is one cut off at the last token. For
      a chunk the rest of its scanner's tokens are then lost, for a name the rest of the caption.
    """
    in_chunks, in_names = iter(_words(pieces)), iter(_words(pieces))
    found: list[Mention] = []
    for start, end, root in parse.chunks:
        chunk_tokens: list[int] = []
        for word in parse.words[start:end]:
            chunk_tokens += _scan(in_chunks, word) or []
        compounds = [
            parse.words[i]
            for i, (dep, head) in enumerate(zip(parse.deps, parse.heads, strict=True))
            if dep == "compound" and head == root
        ][-1:]
        name_tokens: list[int] = []
        for word in [*compounds, parse.words[root]]:
            places = _scan(in_names, word)
            if places is None:
                return found
            name_tokens += places
        if max(len(chunk_tokens), len(name_tokens)) <= MOST_TOKENS and len(found) < MOST_CHUNKS:
            spaced = zip(parse.words[start:end], parse.spaces[start:end], strict=True)
            chunk = "".join(word + " " * space for word, space in spaced).rstrip()
            name = " ".join([*compounds, parse.lemmas[root]])
            found.append(Mention(chunk, name, tuple(chunk_tokens), tuple(name_tokens)))
    return found


def in_bank(found: Sequence[Mention], rows: Mapping[str, int]) -> list[tuple[Mention, int]]:
    """The mentions whose name is exactly one of the bank's, with its row.

    Where a chunk of the caption has no token, every chunk is covered by its name's tokens alone: so
    much is seen in what the reference gives for "a naïve dog chases a cat".
    """
    if not all(mention.chunk_tokens for mention in found):
        found = [mention._replace(chunk_tokens=mention.name_tokens) for mention in found]
    return [(mention, rows[mention.name]) for mention in found if mention.name in rows]


class Strict:
    """Called with a cleaned caption: the reference's mentions as spans, like `Matcher`.

    covers="name": the compound and the head; "chunk": the whole noun chunk. `pieces` cuts a text
    into CLIP's byte pairs, each with its characters. `find` says who parses: a spaCy pipeline, as
    in the reference, or our noun phrases, which differ from it in knowing no pronouns.
    """

    def __init__(
        self,
        concepts: Iterable[Sequence[str]],
        *,
        pieces: Pieces,
        find: NounPhrases,
        covers: Literal["name", "chunk"] = "name",
    ):
        self.rows = {name.lower(): row for row, names in enumerate(concepts) for name in names}
        self.pieces, self.find, self.covers = pieces, find, covers
        if find.how == "spacy":
            pipeline(find.model)  # a missing one is told now, not in the middle of a batch

    def __call__(self, text: str) -> list[Span]:
        text = in_place_lower(text)
        pieces = self.pieces(text)
        spacy = self.find.how == "spacy"
        parse = from_doc(pipeline(self.find.model)(text)) if spacy else by_rules(text)
        spans = []
        for mention, row in in_bank(mentions(parse, [piece for piece, _, _ in pieces]), self.rows):
            tokens = mention.name_tokens if self.covers == "name" else mention.chunk_tokens
            parts = tuple((pieces[run[0]][1], pieces[run[-1]][2]) for run in _runs(tokens))
            apart = parts if len(parts) > 1 else ()
            spans.append(Span(parts[0][0], parts[-1][1], row, apart))
        return spans


def from_doc(doc: Any) -> Parse:
    """A parsed spaCy document."""
    return Parse(
        words=tuple(token.text for token in doc),
        spaces=tuple(bool(token.whitespace_) for token in doc),
        lemmas=tuple(token.lemma_ for token in doc),
        deps=tuple(token.dep_ for token in doc),
        heads=tuple(token.head.i for token in doc),
        chunks=tuple((chunk.start, chunk.end, chunk.root.i) for chunk in doc.noun_chunks),
    )


def by_rules(text: str) -> Parse:
    """A parse of what the reference looks at, by our noun phrases.

    Words are cut at hyphens and an owner is part of the chunk, as with spaCy. Of two nouns the
    first is the compound of the second; only roots have a lemma, and no other dependency is known.
    What differs: no pronouns, and "people" has the lemma "person", "stairs" none.
    """
    cuts = list(WORD.finditer(text))
    words = tuple(cut.group() for cut in cuts)
    lemmas, deps, heads = list(words), [""] * len(words), list(range(len(words)))
    chunks: list[tuple[int, int, int]] = []
    for phrase in from_rules(text):
        inside = [
            i for i, c in enumerate(cuts) if phrase.start < c.end() and c.start() < phrase.end
        ]
        root = inside[-1]
        lemmas[root] = re.split("[ -]", phrase.name)[-1]
        for i in inside[:-1]:
            if cuts[i].start() >= phrase.head_start and words[i] != "-":
                deps[i], heads[i] = "compound", root
        owner = bool(chunks) and chunks[-1][1] == inside[0] and words[inside[0]] in POSSESSIVE
        chunks.append((chunks.pop()[0] if owner else inside[0], root + 1, root))
    return Parse(
        words=words,
        spaces=tuple(text[cut.end() : cut.end() + 1].isspace() for cut in cuts),
        lemmas=tuple(lemmas),
        deps=tuple(deps),
        heads=tuple(heads),
        chunks=tuple(chunks),
    )


def _words(pieces: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """Whole words with the places of their pieces, without the start token and a word cut off."""
    text, places = "", []
    for place, piece in enumerate(pieces[1:], 1):
        places.append(place)
        text += piece.removesuffix("</w>")
        if piece.endswith("</w>"):
            yield text, places
            text, places = "", []


def _scan(words: Iterator[tuple[str, list[int]]], wanted: str) -> list[int] | None:
    """The places of the next equal word; None, and nothing left, if there is none."""
    text, places = "", []
    for word, more in words:
        text, places = f"{text} {word}".lstrip(), places + more
        if text == wanted:
            return places
        if not wanted.startswith(text):
            text, places = "", []
    return None


def _runs(tokens: Sequence[int]) -> list[list[int]]:
    """Neighbouring tokens together."""
    runs: list[list[int]] = []
    for token in tokens:
        if runs and token == runs[-1][-1] + 1:
            runs[-1].append(token)
        else:
            runs.append([token])
    return runs
