"""From a path to picture-caption pairs: finds out what lies there and asks the file that knows."""

from __future__ import annotations

import json
import pkgutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b, sha256
from importlib import import_module
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

from whatwhere.captions import kinds
from whatwhere.captions.samples import Captioned, Sample, Skipped

One = TypeVar("One", bound=Captioned)


@runtime_checkable
class Source(Protocol):
    """What a file of `captions/kinds` offers to be a kind of source: three names in the module."""

    LOOKS_FOR: str  # what a user must have for this kind, in a few words

    def accepts(self, path: Path) -> bool:
        """Whether `path` looks like this kind; a glance at names, not at contents."""
        ...

    def pairs(self, path: Path, skipped: Skipped) -> Iterator[Sample]:
        """The samples there, in any order, with keys of their own; the rest goes to `skipped`."""
        ...


@dataclass(frozen=True)
class Pairs(Generic[One]):
    """Pictures with captions in the order of their keys, and what had to be left out.

    Not to be confused with `records.Pairs`, the scores of pairs in a batch.
    """

    samples: tuple[One, ...]
    skipped: Skipped

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> One:
        return self.samples[index]

    def __iter__(self) -> Iterator[One]:
        return iter(self.samples)

    def digest(self) -> str:
        """What tells these pictures and captions from others: keys and texts, not pixels."""
        said = json.dumps([(sample.key, *sample.captions) for sample in self])
        return sha256(said.encode()).hexdigest()[:16]


def open_pairs(path: str | Path, *, kind: str | None = None) -> Pairs[Sample]:
    """The pairs at `path`, whatever kind of source it is.

    `kind` is the name of a file of `captions/kinds` (`folder`, `jsonl`, ...). It is needed only
    where a path can be read in two ways: which captions are learned is no matter to guess about.
    """
    path = Path(path).expanduser()
    sources = _sources()
    if kind is not None and kind not in sources:
        raise ValueError(f"no kind of captions is called {kind!r}; use {', '.join(sources)}")
    asked = sources if kind is None else {kind: sources[kind]}
    found = [name for name, source in asked.items() if source.accepts(path)]
    if not found:
        looked_for = "; ".join(f"{name}: {source.LOOKS_FOR}" for name, source in asked.items())
        raise ValueError(f"no captions at {path}, found {_there(path)}; looked for {looked_for}")
    if len(found) > 1:
        raise ValueError(
            f"{path} can be read as {' or as '.join(found)}; choose with --kind {found[0]} "
            f"(kind={found[0]!r} in Python), or give the path of one file"
        )
    skipped = Skipped()
    source = sources[found[0]]
    samples = sorted(source.pairs(path, skipped), key=lambda sample: sample.key)
    if not samples:
        why = skipped.report().replace("\n", "; ") or "nothing at all"
        raise ValueError(
            f"no usable pair at {path}, found {_there(path)}; looked for {source.LOOKS_FOR}; "
            f"skipped {why}"
        )
    return Pairs(tuple(samples), skipped)


class Split(NamedTuple):
    train: Pairs
    held_out: Pairs


def split(pairs: Pairs, *, held_out: float | int, seed: int) -> Split:
    """Two halves that depend on nothing but the keys and the seed.

    `held_out` is a share (a float below 1) or a number of pictures (an int). With a share, adding
    pictures moves no other picture to the other half. With a number, a new picture that is held
    out sends one old picture from there to training; never the other way round. 0 holds out none.
    """
    by_draw = sorted(pairs, key=lambda sample: _draw(sample.key, seed))
    if isinstance(held_out, int):
        number = held_out
    else:
        number = sum(_draw(sample.key, seed) < held_out for sample in by_draw)
    if held_out != 0 and not 0 < number < len(pairs):
        raise ValueError(
            f"held_out={held_out} holds out {number} of {len(pairs)} pictures; "
            "take a share or a number that leaves some in both halves"
        )
    away = {sample.key for sample in by_draw[:number]}
    return Split(
        train=replace(pairs, samples=tuple(s for s in pairs if s.key not in away)),
        held_out=replace(pairs, samples=tuple(s for s in pairs if s.key in away)),
    )


def _draw(key: str, seed: int) -> float:
    """A number in [0, 1) that looks random and is always the same."""
    return int.from_bytes(blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()) / 2**64


def _sources() -> dict[str, Source]:
    names = sorted(found.name for found in pkgutil.iter_modules(kinds.__path__))
    return {name: cast(Source, import_module(f"{kinds.__name__}.{name}")) for name in names}


def _there(path: Path) -> str:
    if path.is_file():
        return f"a {path.suffix or 'nameless'} file"
    if not path.is_dir():
        return "no such file or folder"
    names = ("folder" if entry.is_dir() else entry.suffix.lower() for entry in path.iterdir())
    counts = Counter(name or "file without suffix" for name in names)
    return ", ".join(f"{count} x {name}" for name, count in counts.most_common()) or "nothing"
