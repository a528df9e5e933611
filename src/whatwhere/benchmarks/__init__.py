"""Benchmarks: labelled photos, the names to look for, and how maps are scored. One file each.

A file `benchmarks/my_set.py` is the benchmark `my_set` when it has a function
`load(root: str, split: str) -> Benchmark`. The other files are what these share.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from whatwhere.pictures import Item as Item


@runtime_checkable
class Benchmark(Protocol):
    """Photos whose every pixel has one of K classes, or does not count."""

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The K official names, in the order of their ids: the keys of every table."""
        ...

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """How to say each class in a caption: its synonyms, the one to display first."""
        ...

    @property
    def background(self) -> int | None:
        """The class that means "none of the others", if there is one.

        Its entry in `names` is not for the text encoder: what is background is the segmenter's
        rule, not a word.
        """
        ...

    @property
    def ignore(self) -> int:
        """The label of pixels that do not count; at least K, so that it is never a class."""
        ...

    @property
    def official(self) -> int | None:
        """Photos in the set that published numbers refer to; None: there is no such set."""
        ...

    def __len__(self) -> int: ...

    def items(self, indices: Iterable[int] | None = None) -> Iterator[Item]:
        """These photos, or all of them, read one at a time."""
        ...
