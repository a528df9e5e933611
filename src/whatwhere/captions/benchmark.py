"""The benchmark `captions`: which caption belongs to which picture, on any source of captions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from whatwhere.captions.samples import Sample
from whatwhere.captions.sources import Pairs, open_pairs


@dataclass(frozen=True)
class Captions:
    """Pictures, each with all of its captions; what could not be used is in `pairs.skipped`."""

    name: str
    pairs: Pairs[Sample]

    def __len__(self) -> int:
        return len(self.pairs)


def load(root: str, split: str = "all") -> Captions:
    """The pairs at a path, whatever kind of source it is (see `captions.sources`).

    split: "all", or a .txt file with a picture per line (in `root`, beside it or anywhere), such
    as the lists of Karpathy's splits: the key of the picture, its file name, or that without the
    ending.
    """
    home = Path(root).expanduser()
    pairs = open_pairs(home)
    if split != "all":
        pairs = replace(pairs, samples=_listed(pairs, _file(home, split)))
    return Captions(home.resolve().name, pairs)


def _file(home: Path, split: str) -> Path:
    for path in (home / split, home.parent / split, Path(split)):
        if path.is_file():
            return path
    raise ValueError(
        f"there is no split file {home / split} nor {split}; give 'all' or a .txt file"
    )


def _listed(pairs: Pairs[Sample], file: Path) -> tuple[Sample, ...]:
    known: dict[str, Sample] = {}
    for sample in pairs:
        path = Path(sample.key)
        for name in (path.stem, path.name, sample.key):
            known.setdefault(name, sample)
    wanted = [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()]
    if lost := [name for name in wanted if name not in known]:
        raise ValueError(
            f"{file} lists {lost[0]!r} ({len(lost)} of {len(wanted)} are so), which no picture is "
            f"called; pictures are called like {pairs[0].key!r}"
        )
    return tuple({known[name].key: known[name] for name in wanted}.values())
