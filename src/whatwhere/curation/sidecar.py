"""Borrowed concepts on disk: a Parquet folder beside the pictures, looked up by their keys.

Pictures and captions are never rewritten. Parts are complete or absent, so a killed run goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from jaxtyping import Float32, Int64

from whatwhere.curation.files import claim, digest, read
from whatwhere.curation.mentions import Mentions
from whatwhere.curation.pieces import Each, here
from whatwhere.curation.sampling import Sampling, draw

PART = 16_384  # pictures
COLUMNS = ["key", "concepts", "scores", "clusters"]


@dataclass(frozen=True)
class Borrowed:
    """What some pictures may borrow, the best first."""

    concept: Int64[np.ndarray, "pictures kept"]  # -1 fills up
    score: Float32[np.ndarray, "pictures kept"]
    cluster: Int64[np.ndarray, "pictures kept"]  # -1: not clustered


def write_sidecar(
    folder: Path,
    keys: Sequence[str],
    names: Sequence[str],
    borrow: Callable[[range], Borrowed],
    *,
    decides: dict[str, Any],
    each: Each = here,
) -> None:
    """Parts that the folder lacks, from `borrow(rows)`; `decides` is what their contents follow."""
    _, parquet = _pyarrow()
    count = -(-len(keys) // PART)
    other = "a sidecar of other settings, pictures or concepts"
    decides = decides | {"part": PART, "parts": count}
    claim(folder, decides, other, choose="--sidecar", step="rewrite")
    parts = [folder / f"part-{number:05d}.parquet" for number in range(count)]
    shown = np.array(names)

    def written(number: int) -> Iterator[int]:
        rows = range(number * PART, min((number + 1) * PART, len(keys)))
        table = _table(keys[rows.start : rows.stop], shown, borrow(rows))
        aside = parts[number].with_name(f".{os.getpid()}.{parts[number].name}")
        parquet.write_table(table, aside, compression="zstd")
        aside.replace(parts[number])
        yield len(rows)

    missing = [number for number, part in enumerate(parts) if not part.is_file()]
    sizes = {number: min(PART, len(keys) - number * PART) for number in missing}
    each(written, sizes, doing="borrowing concepts", unit="pictures")


class Sidecar:
    """What pictures may borrow, for training to draw from.

    Called with keys and one generator for each: the concepts drawn, best or first drawn first, at
    most `count`. A key that is not in it borrows nothing.
    """

    def __init__(self, folder: str | Path, *, how: Sampling = "top", count: int = 3):
        self.how, self.count = how, count
        pyarrow, parquet = _pyarrow()

        def parse(data: bytes) -> Any:
            return parquet.read_table(pyarrow.BufferReader(data), columns=COLUMNS)

        parts = [read(part, parse, step="rewrite") for part in _parts(folder)]
        table = pyarrow.concat_tables(parts).combine_chunks()
        self.row = {key: row for row, key in enumerate(table["key"].to_pylist())}
        lists = {name: table[name].combine_chunks() for name in COLUMNS[1:]}
        coded = lists["concepts"].flatten().dictionary_encode()
        self.names: list[str] = coded.dictionary.to_pylist()
        start = np.concatenate([[0], np.cumsum(lists["concepts"].value_lengths().to_numpy())])
        self.concepts = Mentions(start.astype(np.int64), coded.indices.to_numpy().astype(np.int64))
        self.scores = lists["scores"].flatten().to_numpy()
        self.clusters = lists["clusters"].flatten().to_numpy().astype(np.int64)
        most = np.diff(self.concepts.start).max(initial=0)  # two or fewer are no clusters
        if how == "cluster" and most > 2 and self.clusters.max() < 0:
            raise ValueError(f"{folder} has no clusters; rewrite with --clusters")

    def __len__(self) -> int:
        return len(self.concepts)

    def best(
        self, keys: Sequence[str]
    ) -> tuple[Int64[np.ndarray, "keys kept"], Float32[np.ndarray, "keys kept"]]:
        """Rows of `names` and scores of the best `count`, -1 and 0 filling up."""
        concept, score, _, _ = self._rows(keys)
        return concept[:, : self.count], score[:, : self.count]

    def __call__(
        self, keys: Sequence[str], draws: Sequence[np.random.Generator]
    ) -> list[list[str]]:
        concept, score, cluster, number = self._rows(keys)
        uniform = np.stack([one.random((2, self.count)) for one in draws])
        drawn = draw(score, cluster, uniform, number=number, how=self.how)
        return [
            [self.names[row[column]] for column in columns if column >= 0]
            for row, columns in zip(concept.tolist(), drawn.tolist(), strict=True)
        ]

    def _rows(self, keys: Sequence[str]) -> tuple[np.ndarray, ...]:
        """Concepts, scores and clusters of these pictures, filled up, and how many are real."""
        rows = np.array([self.row.get(key, -1) for key in keys], dtype=np.int64)
        asked, place = self.concepts.places(rows)
        number = np.bincount(asked, minlength=len(keys))
        column = np.arange(len(asked)) - (np.cumsum(number) - number)[asked]
        shape = (len(keys), max(number.max(initial=0), self.count))
        concept, cluster = np.full(shape, -1), np.full(shape, -1)
        score = np.zeros(shape, np.float32)
        concept[asked, column] = self.concepts.concept[place]
        cluster[asked, column] = self.clusters[place]
        score[asked, column] = self.scores[place]
        return concept, score, cluster, number


def contents(folder: str | Path) -> str:
    """What tells a sidecar from one of other contents, from a checksum of every part."""
    return digest([str(crc32(part.read_bytes())) for part in _parts(folder)])


def _parts(folder: str | Path) -> list[Path]:
    """All parts of a sidecar that is complete."""
    path = Path(folder).expanduser()
    if not (path / "about.json").is_file():
        raise ValueError(f"no sidecar at {folder}; write one with `whatwhere curate rewrite`")
    parts = sorted(path.glob("part-*.parquet"))
    expected = read(path / "about.json", lambda data: json.loads(data)["parts"], step="rewrite")
    if len(parts) != expected:
        raise ValueError(
            f"the sidecar {folder} has {len(parts)} of {expected} parts; run `whatwhere curate "
            "rewrite` again, which goes on where it stopped"
        )
    return parts


def _table(keys: Sequence[str], names: np.ndarray, found: Borrowed) -> Any:
    """A row for each key, with lists of equal length, the best first."""
    pyarrow, _ = _pyarrow()
    there = found.concept >= 0
    ends = pyarrow.array(np.cumsum([0, *there.sum(axis=1)]), pyarrow.int32())
    lists = {
        "concepts": names[found.concept[there]],
        "scores": found.score[there],
        "clusters": found.cluster[there].astype(np.int16),
    }
    columns = {
        name: pyarrow.ListArray.from_arrays(ends, pyarrow.array(values))
        for name, values in lists.items()
    }
    return pyarrow.table({"key": pyarrow.array(list(keys))} | columns)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ImportError(
            "sidecars are Parquet files, which need pyarrow: pip install 'whatwhere[curate]'"
        ) from None
    return pyarrow, parquet
