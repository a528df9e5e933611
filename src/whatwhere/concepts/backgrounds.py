"""Lists of names for what is not asked for: a pixel that shows one of them is background.

A file `background_lists/my_list.txt`, a name per line, is the list `my_list`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from whatwhere.concepts.names import Names, name_key

LISTS = Path(__file__).with_name("background_lists")


def background_lists() -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in LISTS.glob("*.txt")))


def background_names(which: str, *, asked: Iterable[Names]) -> list[Names]:
    """The names of a list, without those that are asked for: who looks for grass shall find it.

    >>> len(background_names("voc60", asked=[])), len(background_names("voc60", asked=[("Grass",)]))
    (40, 39)
    """
    taken = {name_key(name) for names in asked for name in names}
    lines = (LISTS / f"{which}.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if not line.startswith("#")]
    return [(name,) for name in listed if name_key(name) not in taken]
