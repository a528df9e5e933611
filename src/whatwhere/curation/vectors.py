"""Unit vectors of many things on disk: written shard by shard, so that a killed run goes on.

A shard is one .npz file, complete or absent, and its zip checksum is verified whenever it is read.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float16, Float32

from whatwhere.curation.files import claim, digest, read, write
from whatwhere.curation.pieces import Each, here

Thing = TypeVar("Thing")
SHARD = 1024  # vectors


@dataclass(frozen=True)
class Embedded:
    """What an encoder makes of some things. A broken one has a reason, and zeros for a vector."""

    vectors: Float32[np.ndarray, "things dim"]
    reasons: Sequence[str]  # empty where nothing is wrong


@dataclass(frozen=True)
class Vectors:
    """Vectors in a folder, in the order of their keys, in half precision on disk."""

    folder: Path
    keys: tuple[str, ...]
    identity: str  # what the vectors were made with

    @classmethod
    def open(cls, folder: Path) -> Vectors:
        if not cls.begun(folder):
            raise ValueError(f"no vectors in {folder}; run `whatwhere curate embed` first")
        found = cls.peek(folder)
        if left := found.missing():
            raise ValueError(
                f"{len(left)} of {len(found.shards)} shards in {folder} are missing; run "
                "`whatwhere curate embed` again, which goes on where it stopped"
            )
        return found

    @staticmethod
    def begun(folder: Path) -> bool:
        return all((folder / name).is_file() for name in ("about.json", "keys.json"))

    @classmethod
    def peek(cls, folder: Path) -> Vectors:
        """What was begun in `folder`, complete or not."""
        keys = read(folder / "keys.json", lambda data: tuple(json.loads(data)), step="embed")
        identity = read(
            folder / "about.json", lambda data: json.loads(data)["identity"], step="embed"
        )
        return cls(folder, keys, identity)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def shards(self) -> list[Path]:
        return [self.folder / f"{n:05d}.npz" for n in range(-(-len(self.keys) // SHARD))]

    def missing(self) -> list[int]:
        return [n for n, shard in enumerate(self.shards) if not shard.is_file()]

    def blocks(self) -> Iterator[tuple[int, Float32[np.ndarray, "_ dim"]]]:
        """(first row, vectors), shard by shard: they may exceed the memory together."""
        for number in range(len(self.shards)):
            yield number * SHARD, self.block(number)

    def block(self, number: int) -> Float32[np.ndarray, "_ dim"]:
        """The vectors of one shard."""
        return _array(self.shards[number], "vectors").astype(np.float32)

    def all(self) -> Float32[np.ndarray, "things dim"]:
        return np.concatenate([block for _, block in self.blocks()])

    def broken(self) -> dict[int, str]:
        """Row and reason of each thing that could not be encoded."""
        reasons = [str(why) for shard in self.shards for why in _array(shard, "reasons")]
        return {row: why for row, why in enumerate(reasons) if why}


def embed(
    folder: Path,
    things: Sequence[Thing],
    keys: Sequence[str],
    encode: Callable[[Sequence[Thing]], Embedded],
    *,
    identity: str,
    batch: int,
    what: str,
    each: Each = here,
) -> Vectors:
    """Encode what the folder does not hold yet, `batch` at a time.

    `identity` names what encodes, as far as it decides the numbers. A folder of other keys or of
    another encoder is refused.
    """
    vectors = Vectors(folder, tuple(keys), identity)
    decides = {"identity": identity, "keys": digest(keys), "shard": SHARD}
    other = f"vectors of another model or of other {what}"
    claim(folder, decides, other, choose="--out", step="embed")
    write(folder / "keys.json", json.dumps(list(keys)).encode())

    def encoded(number: int) -> Iterator[int]:
        parts, reasons = [], []
        rows = range(number * SHARD, min((number + 1) * SHARD, len(keys)))
        for start in range(rows.start, rows.stop, batch):
            some = range(start, min(start + batch, rows.stop))
            made = encode([things[row] for row in some])
            parts.append(made.vectors.astype(np.float16))
            reasons += made.reasons
            yield len(some)
        _write_shard(vectors.shards[number], np.concatenate(parts), reasons)

    sizes = {number: min(SHARD, len(keys) - number * SHARD) for number in vectors.missing()}
    each(encoded, sizes, doing=f"embedding {what}", unit=what)
    return vectors


def _write_shard(
    shard: Path, vectors: Float16[np.ndarray, "things dim"], reasons: Sequence[str]
) -> None:
    aside = shard.with_name(f".{os.getpid()}.{shard.name}")
    np.savez(aside, vectors=vectors, reasons=np.array(reasons, dtype=str))
    aside.replace(shard)


def _array(shard: Path, name: str) -> np.ndarray:
    def parse(data: bytes) -> np.ndarray:
        with np.load(io.BytesIO(data)) as file:
            return file[name]

    return read(shard, parse, step="embed")
