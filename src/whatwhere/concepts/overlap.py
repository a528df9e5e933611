"""How many of a benchmark's names a bank was told: what a score has to be read with.

SimZSS's bank holds the names of the very benchmarks that it is scored on; without VOC's names its
VOC score falls (reviews of arXiv 2406.16085). So every result of ours says how far that holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from whatwhere.class_lists import benchmarks, classes
from whatwhere.concepts.bank import Bank, everyday_synonyms
from whatwhere.concepts.names import Names, name_key


@dataclass(frozen=True)
class Overlap:
    """Counts, so that both shares can be told: of the benchmark's classes and of the bank."""

    named: int  # classes that the bank names
    classes: int
    shared: int  # concepts of the bank that name a class
    concepts: int


def overlap(bank: Bank, names: Iterable[Names]) -> Overlap:
    """A bank against classes, each with its synonyms; leave the background out of them.

    A class is named if the bank's matcher takes one of its names, whole, for a concept: case,
    hyphens and plurals do not matter. Everyday synonyms count too: a bank with "man" names
    "person". That is the stricter way to count, for a bank that ought to know nothing.
    """
    rows = {name_key(name): row for row in everyday_synonyms() for name in row}
    find, total, named, shared = bank.matcher(), 0, 0, set()
    for said in names:
        every = {other for name in said for other in (name, *rows.get(name_key(name), ()))}
        found = {
            span.concept for name in every for span in find(name) if span[:2] == (0, len(name))
        }
        total += 1
        named += bool(found)
        shared |= found
    return Overlap(named=named, classes=total, shared=len(shared), concepts=len(bank))


def overlaps(bank: Bank) -> dict[str, Overlap]:
    """A bank against every benchmark whose class list ships with the package."""
    return {
        benchmark: overlap(bank, [(said,) for said in classes(benchmark).values()])
        for benchmark in benchmarks()
    }


def describe(found: Overlap, benchmark: str) -> str:
    """One line to stand beside a result.

    >>> describe(Overlap(named=17, classes=20, shared=25, concepts=1000), "voc")
    'the bank names 17 of 20 classes of voc (85%); 25 of its 1000 concepts (2.5%) name one of them'
    """
    return (
        f"the bank names {found.named} of {found.classes} classes of {benchmark} "
        f"({found.named / found.classes:.0%}); {found.shared} of its {found.concepts} concepts "
        f"({found.shared / found.concepts:.1%}) name one of them"
    )


def table(found: Mapping[str, Overlap]) -> str:
    """All benchmarks, one per line: classes that the bank names, concepts that name a class."""
    lines = [f"{'benchmark':<12} {'classes named':>16} {'of the bank':>18}"]
    for benchmark, o in found.items():
        named = f"{o.named}/{o.classes} {o.named / o.classes:>4.0%}"
        shared = f"{o.shared}/{o.concepts} {o.shared / o.concepts:>5.1%}"
        lines.append(f"{benchmark:<12} {named:>16} {shared:>18}")
    return "\n".join(lines)
