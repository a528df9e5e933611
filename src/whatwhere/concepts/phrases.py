"""Noun phrases of a caption: the places where it names a thing, and that thing's plain name."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

from whatwhere.concepts.names import word_set
from whatwhere.concepts.nouns import singular, table


class NounPhrase(NamedTuple):
    """A noun phrase as characters [start, end) of the caption.

    `name` is the head noun in the singular, lower case, with at most one noun before it:
    "two small wine glasses" is named "wine glass". [head_start, head_end) is what it was made from.
    """

    start: int
    end: int
    head_start: int
    head_end: int
    name: str


@dataclass(frozen=True)
class NounPhrases:
    """Finds noun phrases, and is called with one caption.

    how="textblob": a word list of usual parts of speech that ships with textblob, and rules of
    our own, written for captions, for words that can be noun or verb. Offline and fast.
    how="spacy": the noun chunks of a pipeline that the user has installed, as SimZSS does
    (arXiv 2406.16085), without pronouns, and with coordinated nouns ("cups and plates") as two.

    >>> NounPhrases()("two brown dogs chase a tennis ball")[1]
    NounPhrase(start=21, end=34, head_start=23, head_end=34, name='tennis ball')
    """

    how: str = "textblob"
    model: str = "en_core_web_sm"  # for how="spacy"

    def __post_init__(self):
        if self.how not in ("textblob", "spacy"):
            raise ValueError(
                f"noun phrases cannot be found with {self.how!r}; take 'textblob' or 'spacy'"
            )

    def __call__(self, text: str) -> list[NounPhrase]:
        return from_spacy(pipeline(self.model)(text)) if self.how == "spacy" else from_rules(text)


# One letter per part of speech, so that the grammar of a phrase is a regular expression:
# n noun, N plural noun, d determiner or possessive, c number, j adjective, r adverb,
# p past participle, g -ing form, v verb, z verb with -s, i preposition, t "to", o pronoun,
# & conjunction, the comma itself, x anything else.
LETTERS = {
    **dict.fromkeys(("NN", "NNP"), "n"),
    **dict.fromkeys(("NNS", "NNPS"), "N"),
    **dict.fromkeys(("DT", "PDT", "PRP$", "WP$", "POS"), "d"),
    **dict.fromkeys(("JJ", "JJR", "JJS"), "j"),
    **dict.fromkeys(("RB", "RBR", "RBS"), "r"),
    **dict.fromkeys(("VBN", "VBD"), "p"),
    **dict.fromkeys(("VB", "VBP", "MD"), "v"),
    **dict.fromkeys(("PRP", "EX", "WP", "WDT", "WRB"), "o"),
    **{"CD": "c", "VBG": "g", "VBZ": "z", "IN": "i", "TO": "t", "CC": "&", ",": ","},
}
# Repeats are bounded, or a caption of nothing but adjectives would take quadratic time.
PHRASE = re.compile(
    r"(?:[dc]{1,9}(?:(?:,|&|,&)?[rjpg]){0,99}|[jp](?:(?:,|&|,&)?[rjp]){0,99})?([nN]+)"
)

# A number, a contraction cut where the word list cuts it ("is|n't"), a word with its hyphens,
# a possessive ending, any other sign.
WORD = re.compile(
    r"\d+(?:[.,:]\d+)+|\w+(?=n['\u2019]t\b)|n['\u2019]t\b|\w+(?:-\w+)*|"
    r"['\u2019](?:s|re|ve|ll|d|m)\b|[^\w\s]"
)

# Words that the word list takes for something else than captions do.
USUAL = {
    **dict.fromkeys(word_set("whilst whist amongst amidst atop alongside"), "i"),
    **dict.fromkeys(word_set("something someone somebody anything everything nothing others"), "o"),
    **dict.fromkeys(word_set("concrete flip"), "n"),
    **dict.fromkeys(
        word_set("african american asian caucasian european gold medium right silver"), "j"
    ),
    **dict.fromkeys(word_set("close headfirst horseback indoors midair onstage outdoors"), "r"),
    **dict.fromkeys(word_set("other 's \u2019s"), "d"),
}
# -ing words that are things or events, where the verb is the rarer reading.
ING_THINGS = word_set(
    """
    awning bedding building carving ceiling clothing crossing drawing dressing dwelling earring
    evening flooring icing landing lightning morning painting railing scaffolding siding stocking
    stuffing topping wedding wiring writing
    """
)
# Activities that make the name of a thing with the noun after them: swimming pool, dining table.
ING_FIRST = word_set(
    """
    baking bathing boxing bowling climbing cooking cutting dancing dining drinking driving fishing
    frying hiking ironing living measuring mixing parking racing reading riding rowing sewing
    shopping skating skiing sleeping swimming training walking washing wrestling
    """
)
COLORS = word_set(
    "black white red blue green yellow brown grey gray pink purple orange tan beige silver"
)
SINGULAR = ("a", "an", "another", "each", "one")  # no plural follows
CLAUSE_ENDS = frozenset(".;:!?")
CLAUSE_WORDS = word_set("who which that while whilst as if because when after before than")


def from_rules(text: str) -> list[NounPhrase]:
    """Noun phrases by the usual part of speech of each word, corrected by its neighbours."""
    found = list(WORD.finditer(text))
    words = [match.group().lower() for match in found]
    phrases = []
    for match in PHRASE.finditer("".join(parts_of_speech(words))):
        head = match.end() - 1
        first = max(match.start(1), head - 1)
        name = " ".join([*words[first:head], words[head]])
        start, end = found[match.start()].start(), found[head].end()
        phrases.append(NounPhrase(start, end, found[first].start(), end, singular(name)))
    return phrases


def parts_of_speech(words: list[str]) -> list[str]:
    """One of LETTERS per lower-case word.

    Nouns and verbs look alike in English. A verb that could be a noun is one after "a", "brown",
    "with" or "holding". A noun that could be a verb is one where the number says so ("a dog
    jumps") or where the clause still lacks its verb ("the dog jumps", "two dogs race").
    """
    letters = [usual(word) for word in words]
    verb = False  # whether this clause has had its verb
    for i, word in enumerate(words):
        kinds = table().get(word, {})
        before = letters[i - 1] if i else "x"
        after = letters[i + 1] if i + 1 < len(words) else "x"
        if word in CLAUSE_ENDS or word in CLAUSE_WORDS:
            verb = False
        elif letters[i] in "ng" and is_participle(word) and word not in ING_THINGS:
            named = _opened(words, letters, i) and after in "nN"
            letters[i] = "n" if named and (letters[i] == "n" or word in ING_FIRST) else "g"
        elif letters[i] in "vzp" and "noun" in kinds:
            letters[i] = _verb_or_noun(words, letters, i, after)
        elif letters[i] in "nN" and "verb" in kinds:
            letters[i] = _noun_or_verb(words, letters, i, after, verb)
        elif letters[i] == "j" and "noun" in kinds and before in "dj" and after in "itox":
            letters[i] = "n"
        verb = verb or letters[i] in "vz"
    return letters


def _opened(words: list[str], letters: list[str], i: int) -> bool:
    """Whether the word before asks for a noun. The color of "a man in black" does not."""
    before = letters[i - 1] if i else "x"
    if before == "j" and words[i - 1] in COLORS:
        first = i - 1
        while first and (words[first - 1] in COLORS or letters[first - 1] in "&,"):
            first -= 1
        return words[max(0, first - 1)] != "in"
    return before in "djc" or (before == "i" and words[i - 1] not in CLAUSE_WORDS)


def _verb_or_noun(words: list[str], letters: list[str], i: int, after: str) -> str:
    letter, before = letters[i], letters[i - 1] if i else "x"
    opened = _opened(words, letters, i)
    other = i > 0 and words[i - 1] == "other"
    if letter == "p":
        return "n" if opened and after not in "nNjpg" else "p"
    if after == "d" and before not in "dc":
        return letter  # "hits a ball": nouns do not meet a determiner
    if letter == "z" and (other or _opener(words, letters, i) in SINGULAR):
        return "z"
    if before == "g" or (opened and (letter, before) != ("v", "c")):
        return "N" if letter == "z" else "n"
    if letter == "v" and before == "n" and "&" not in letters[max(0, i - 4) : i]:
        return "n"  # "a hockey stick", but "a man and a woman walk"
    return letter


def _noun_or_verb(words: list[str], letters: list[str], i: int, after: str, verb: bool) -> str:
    letter, before = letters[i], letters[i - 1] if i else "x"
    if letter == "N":
        opener = _opener(words, letters, i)
        if before in "dn" and opener in SINGULAR:
            return "z"
        if before == "n" and usual(opener) == "c":
            return "N"  # "two tennis balls": the number asks for the plural
        if before == "&":
            return "z" if verb and after == "d" else "N"  # "runs and catches the ball"
        return "z" if before in "nor" and not verb and after not in "vz" else "N"
    if after == "d" and before in "nNt":
        return "v"  # "girls ride a bike", "to chase the ball"
    return "v" if before in "No" and not verb and after not in "nNvz" else "n"


def _opener(words: list[str], letters: list[str], i: int) -> str:
    """The word that the noun phrase before word i begins with: no plural ends one with "a"."""
    i -= 1
    while i > 0 and letters[i] in "nNjpgr":
        i -= 1
    return words[i] if i >= 0 else ""


@lru_cache(maxsize=1 << 17)
def usual(word: str) -> str:
    """The most usual part of speech of a lower-case word, whatever its neighbours."""
    if word in USUAL:
        return USUAL[word]
    if not any(c.isalpha() for c in word):
        return "c" if word[:1].isdigit() else word if word == "," else "&" if word == "&" else "x"
    # The list calls every hyphenated word an adjective; its last part knows better.
    last = word.rpartition("-")[2] or word
    [[(_, tag, *_)]] = _textblob()(last, tokenize=False, chunks=False, collapse=False)
    letter = LETTERS.get(tag.partition("-")[0], "x")
    return letter if last == word or letter in "nN" else "j"


def is_participle(word: str) -> bool:
    """Whether an -ing word is made from a verb: "riding" is, "ring" and "ceiling" are not."""
    return word.endswith("ing") and table().get(word, {}).get("verb", word) != word


@cache
def _textblob() -> Any:
    """textblob's parser. Its other taggers and phrase finders need downloaded corpora."""
    try:
        from textblob.en import parse
    except ImportError:
        raise ImportError(
            "noun phrases need textblob: pip install textblob, or find them with how='spacy'"
        ) from None
    with warnings.catch_warnings():
        # textblob reads its word list at the first call and leaves the file to be closed by chance.
        warnings.simplefilter("ignore", ResourceWarning)
        parse("word", tokenize=False, chunks=False)
    return parse


@cache
def pipeline(model: str) -> Any:
    """An installed spaCy pipeline, by its name or folder, with what noun chunks need."""
    try:
        import spacy
    except ImportError:
        raise ImportError("spaCy noun phrases need spacy: pip install 'whatwhere[nlp]'") from None
    try:
        nlp = spacy.load(model, exclude=["ner"])
    except OSError:
        raise ImportError(
            f"the spaCy pipeline {model!r} is not installed: pip install 'whatwhere[nlp]' and then "
            f"python -m spacy download {model}; or find phrases with how='textblob'"
        ) from None
    if "parser" not in nlp.pipe_names:
        raise ValueError(
            f"the spaCy pipeline {model!r} has {nlp.pipe_names} but no parser, which noun phrases "
            "need; take one like en_core_web_sm"
        )
    return nlp


def from_spacy(doc: Any) -> list[NounPhrase]:
    """The noun chunks of a parsed spaCy document, without pronouns."""
    phrases = []
    for chunk in doc.noun_chunks:
        if chunk.root.pos_ in ("NOUN", "PROPN"):
            phrases.append(_chunk(chunk))
    return phrases


def _chunk(chunk: Any) -> NounPhrase:
    head = chunk.root
    end = head.idx + len(head)
    before = [t for t in head.lefts if t.dep_ == "compound" and t.i >= chunk.start]
    first = before[-1] if before else head
    name = singular(" ".join(t.lower_ for t in ([first, head] if before else [head])))
    return NounPhrase(chunk.start_char, max(end, chunk.end_char), first.idx, end, name)
