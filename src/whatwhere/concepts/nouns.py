"""One name per thing: captions say "two geese", the bank says "goose"."""

from __future__ import annotations

import gzip
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

from whatwhere.concepts.names import word_set

# What the table below gets wrong for captions, and the plurals that change meaning in company.
IRREGULAR = {
    "people": "person",
    "leaves": "leaf",
    "oxen": "ox",
    "axes": "axe",
    "wheelies": "wheelie",
    "selfies": "selfie",
    "doggies": "doggy",
    "undies": "undies",
    "passersby": "passerby",
    "grown-ups": "grown-up",
    "ups": "up",
    **{f"{sort} trunks": f"{sort} trunks" for sort in ("bathing", "swim", "swimming")},
    **{
        f"{drink} glasses": f"{drink} glass"
        for drink in word_set("beer champagne cocktail drinking martini shot water wine")
    },
}

# Words that name one thing, or stuff, although they end like a plural.
PLURAL_ONLY = word_set(
    """
    aerobics alps barracks belongings binoculars bleachers boxers briefs capris cattle christmas
    clothes coveralls crossroads data debris dice downstairs dungarees earphones eyeglasses
    fatigues fireworks glasses goggles graffiti groceries gymnastics handcuffs headphones
    headquarters indoors jeans khakis knickers leggings media news nunchucks outdoors outskirts
    overalls pajamas panties pants paris physics pliers police pyjamas rapids remains ruins scissors
    scrubs series shades shears shorts slacks species spectacles stairs steps sunglasses
    surroundings sweatpants sweats swimwear texas thanks tights tongs trousers tweezers underpants
    upstairs us woods
    """
)


@lru_cache(maxsize=1 << 17)
def singular(noun: str) -> str:
    """The lower-case noun or noun phrase with its last word in the singular.

    Words that have no singular in captions stay: sunglasses, stairs, clothes, woods.
    In order: our exceptions, the table of lemminflect, the regular endings of English.

    >>> [singular(word) for word in ("people", "geese", "wine glasses", "sunglasses", "t-shirts")]
    ['person', 'goose', 'wine glass', 'sunglasses', 't-shirt']
    """
    if noun in IRREGULAR:
        return IRREGULAR[noun]
    if noun in PLURAL_ONLY or not noun[-1:].isalpha() or len(noun) < 3:
        return noun
    for gap in (" ", "-"):
        before, found, last = noun.rpartition(gap)
        if found:
            return before + gap + singular(last)
    known = table().get(noun, {}).get("noun")
    return known if known else _regular(noun)


def _regular(noun: str) -> str:
    if not noun.endswith("s") or noun.endswith(("ss", "us", "is")) or len(noun) < 4:
        return noun
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if noun.endswith(("ses", "xes", "zes", "ches", "shes")):
        return noun[:-2]
    return noun[:-1]


def is_plural(name: str) -> bool:
    """Whether a name means several things or has no singular, so that it takes no "a"."""
    last = name.lower().split()[-1]
    return last in PLURAL_ONLY or singular(name.lower()) != name.lower()


@cache
def table() -> dict[str, dict[str, str]]:
    """What a written word can be: {"leaves": {"noun": "leave", "verb": "leave"}}, with its lemma.

    The word list of lemminflect, read as a file: importing that package also imports spaCy where
    it is installed, and with it torch, which costs seconds.
    """
    found = find_spec("lemminflect")
    if found is None or not found.submodule_search_locations:
        raise ImportError("singular nouns need lemminflect: pip install lemminflect")
    path = Path(found.submodule_search_locations[0]) / "resources" / "lemma_lu.csv.gz"
    words: dict[str, dict[str, str]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            word, kind, lemmas = line.rstrip("\n").split(",")
            words.setdefault(word, {})[kind] = lemmas.split("/")[0]
    return words
