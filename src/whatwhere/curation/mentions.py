"""Which concepts of a gallery captions mention: whole words, as many in a row as a name has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

_WORDS = re.compile(r"\w+(?:-\w+)*|[^\w\s]")


@dataclass(frozen=True)
class Mentions:
    """What each of many pictures is said to show, flattened: picture i has [start[i], start[i+1]).

    >>> mentions = Mentions.of([[2, 0], [], [1]])
    >>> mentions.start.tolist(), mentions.concept.tolist()
    ([0, 2, 2, 3], [2, 0, 1])
    """

    start: Int64[np.ndarray, " ends"]  # one more than there are pictures
    concept: Int64[np.ndarray, " mentions"]  # rows of the gallery

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> Mentions:
        lists = [np.asarray(row, dtype=np.int64) for row in rows]
        start = np.cumsum([0, *map(len, lists)], dtype=np.int64)
        return cls(start, np.concatenate([*lists, np.empty(0, np.int64)]))

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def picture(self) -> Int64[np.ndarray, " mentions"]:
        """The picture of each mention."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    def places(
        self, pictures: Int64[np.ndarray, " asked"]
    ) -> tuple[Int64[np.ndarray, " found"], Int64[np.ndarray, " found"]]:
        """All mentions of these pictures: (place in `pictures`, place in `concept`).

        A picture may be asked for twice; -1 has no mentions.
        """
        first = self.start[pictures]
        count = (self.start[pictures + 1] - first) * (pictures >= 0)
        asked = np.arange(len(pictures)).repeat(count)
        before = count.cumsum() - count
        return asked, np.arange(len(asked)) + (first - before)[asked]

    def through(self, other: Mentions) -> Mentions:
        """Each concept replaced by all that `other` lists for it, every one once."""
        asked, place = other.places(self.concept)
        pairs = np.stack([self.picture[asked], other.concept[place]], axis=1)
        picture, concept = np.unique(pairs, axis=0).T
        return Mentions(np.searchsorted(picture, np.arange(len(self) + 1)), concept)


class Finder:
    """Called with a caption: rows of the concepts it mentions, each once, by first occurrence.

    Every run of words that is a name counts, so "tree house" mentions a tree, a house and a tree
    house, if all three are concepts. CoCu looks at runs of four at most, and its gallery has none
    of more than three; names of any length are found here. Case does not matter, and a hyphen is a
    blank, but no name begins or ends inside a hyphenated word. Without parts of speech: "a man
    watches" mentions a watch.

    `singular` is tried on runs that are no name themselves. (CoCu writes plurals, some of them
    wrong, into its gallery as concepts of their own.)

    >>> find = Finder([("tree",), ("house", "home"), ("tree house",)])
    >>> find("A Tree-House near the woodhouse"), find("a tree house at home")
    ([2], [0, 2, 1])
    """

    def __init__(
        self, concepts: Sequence[Sequence[str]], *, singular: Callable[[str], str] | None = None
    ):
        self.singular = singular
        self._row = {" ".join(words(name)): i for i, names in enumerate(concepts) for name in names}
        self._begins: set[str] = set()
        for name in self._row:
            parts = name.split()
            self._begins |= {" ".join(parts[:n]) for n in range(1, len(parts))}

    def __call__(self, caption: str) -> list[int]:
        said = words(caption)
        found: dict[int, None] = {}
        for first in range(len(said)):
            run = ""
            for word in said[first:]:
                run = f"{run} {word}" if run else word
                row = self._row.get(run)
                if row is None and self.singular is not None:
                    row = self._row.get(self.singular(run))
                if row is not None:
                    found[row] = None
                if run not in self._begins:
                    break
        return list(found)


def words(text: str) -> list[str]:
    """Lower-case words and signs; a hyphenated word is one, its hyphens written as blanks."""
    return [word.replace("-", " ") for word in _WORDS.findall(text.lower())]


def inside(names: Sequence[str]) -> Mentions:
    """For each name all names that its letters contain, itself included: "woman" has "man".

    CoCu's released code asks this way which neighbours mention a concept, and so takes a picture
    of a street for one of a tree. Here only to repeat its numbers: see `ranking.Pool`.
    """
    return Mentions.of([[j for j, part in enumerate(names) if part in name] for name in names])
