"""Public class lists: what benchmarks ask for, and what a bank of concepts may or may not know."""

from __future__ import annotations

from pathlib import Path

LISTS = Path(__file__).parent


def benchmarks() -> tuple[str, ...]:
    """The benchmarks whose lists ship with the package."""
    return tuple(sorted(file.stem for file in LISTS.glob("*.txt")))


def classes(benchmark: str) -> dict[str, str]:
    """Official name of each class -> how it is said, without the background.

    Official names are those of the usual evaluation code. COCO-Stuff's "wall-brick" is said
    "brick wall" and its "sky-other" plain "sky": SimZSS's bank only turns the hyphens into blanks,
    so no caption ever mentions these.

    >>> classes("voc")["diningtable"], classes("coco_stuff")["wall-brick"]
    ('dining table', 'brick wall')
    """
    lines = (LISTS / f"{benchmark}.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(": ") for line in lines if not line.startswith("#")]
    return {official: said or official for official, _, said in pairs}
