"""Work in numbered pieces, each of which leaves a file: here, or wherever `Each` sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, runtime_checkable

from tqdm import tqdm

# Does the piece of a number, and says after each part of it how many things are done.
Work = Callable[[int], Iterable[int]]


@runtime_checkable
class Each(Protocol):
    """Sees to it that all pieces are done. Their order, and who does them, change no result."""

    def __call__(self, work: Work, sizes: Mapping[int, int], *, doing: str, unit: str) -> None:
        """`sizes` has how many things each piece is; the words are for the progress bar."""
        ...


def here(work: Work, sizes: Mapping[int, int], *, doing: str, unit: str) -> None:
    """One after the other, in this process."""
    with progress(sizes, doing=doing, unit=unit) as bar:
        for number in sizes:
            for done in work(number):
                bar.update(done)


def progress(sizes: Mapping[int, int], *, doing: str, unit: str) -> tqdm:
    return tqdm(total=sum(sizes.values()), desc=doing, unit=f" {unit}", disable=not sizes)
