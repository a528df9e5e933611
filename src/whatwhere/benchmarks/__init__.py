"""Benchmarks: pictures with an answer, the names to look for, and how answers are scored.

A file `benchmarks/my_set.py` is the benchmark `my_set` when it has a function
`load(root: str, split: str)`. What that returns says what is asked: a `Benchmark` where each name
is, a `classes.Classified` which class a photo shows, `segments.Segments` which pixels belong
together. The other files are what these share. A part that brings a benchmark of its own has `load`
in its `benchmark.py`: `captions/benchmark.py` asks which caption belongs to which picture.
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
