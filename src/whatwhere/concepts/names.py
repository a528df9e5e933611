"""Names as people type them: one concept per comma, its synonyms by bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Names = tuple[str, ...]  # one concept: the name shown first, then its synonyms


def parse_names(names: str | Sequence[str]) -> list[Names]:
    """Concepts in the order given, each with its synonyms; spelling is kept, blanks are tidied.

    >>> parse_names("dog, grass|lawn, sky")
    [('dog',), ('grass', 'lawn'), ('sky',)]
    >>> parse_names(["traffic light", "sofa|couch"])
    [('traffic light',), ('sofa', 'couch')]
    """
    parts = names.split(",") if isinstance(names, str) else list(names)
    if not any(part.strip() for part in parts):
        raise ValueError(f"no names in {names!r}; give some, like 'dog, grass|lawn, sky'")
    concepts = [split_synonyms(part) for part in parts]
    refuse_shared(concepts, [f"name {i + 1} ({c[0]})" for i, c in enumerate(concepts)])
    return concepts


def split_synonyms(names: str) -> Names:
    """`grass | lawn` as ("grass", "lawn"); a synonym given twice counts once."""
    tidy = [" ".join(name.split()) for name in names.split("|")]
    if not all(map(name_key, tidy)):
        raise ValueError(f"an empty name in {names!r}; write names like 'dog' or 'grass|lawn'")
    return unique(tidy)


def refuse_shared(concepts: Iterable[Names], places: Sequence[str]) -> None:
    """ValueError if two concepts share a name: no pixel and no word could tell them apart."""
    seen: dict[str, str] = {}
    for names, place in zip(concepts, places, strict=True):
        for name in names:
            if name_key(name) in seen:
                raise ValueError(
                    f"{name!r} is in {seen[name_key(name)]} and again in {place}; "
                    "remove one, or join the two with |"
                )
        seen |= {name_key(name): place for name in names}


def unique(names: Iterable[str]) -> Names:
    """Each name once, where and as it was first written."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(name_key(name), name)
    return tuple(first.values())


def word_set(text: str) -> frozenset[str]:
    """A set of words, written as text."""
    return frozenset(text.split())


def name_key(name: str) -> str:
    """What two spellings of one name share: case, hyphens and blanks do not tell names apart."""
    return " ".join(name.lower().replace("-", " ").split())
