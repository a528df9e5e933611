"""Features of a frozen image encoder, computed once, kept on disk and read by memory map.

A cache is a folder of shards. Each shard is complete or absent (written aside, then renamed), so
an interrupted run goes on where it stopped; each carries a checksum; and the folder's name follows
from what decides its contents, so features of other weights or other pictures are never mixed up.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from whatwhere.captions.batches import Pairs
from whatwhere.captions.samples import BrokenImage
from whatwhere.records import ImageFeatures, Packed, PackedFeatures
from whatwhere.transforms import centre_crop, to_tensor

Precision = Literal["int8", "bf16"]
SHARD = 512  # pictures


@dataclass(frozen=True)
class Caching:
    """int8 keeps each patch vector as bytes with its own largest magnitude as the unit."""

    folder: str | None = None  # None: features are computed in every step
    precision: Precision = "int8"
    batch: int = 32  # pictures encoded at a time

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"caching.batch={self.batch}; take 1 or more")


class CachedFeatures:
    """Row i are the features of picture i of the pairs that the cache was made from.

    `broken` says which pictures could not be opened: (row, reason).
    """

    def __init__(self, folder: Path, count: int):
        self.folder, self.count = folder, count
        self.rows: Sequence[int] = range(count)
        self.broken = [
            (int(row), str(why))
            for number in range(-(-count // SHARD))
            for row, why in json.loads((folder / f"shard-{number:05d}/broken.json").read_text())
        ]
        self._shards: dict[int, dict[str, np.ndarray]] = {}

    def of(self, rows: Sequence[int]) -> CachedFeatures:
        """The same features, for only some of the pictures and in this order."""
        some = copy.copy(self)
        some.rows = [self.rows[row] for row in rows]
        place = {row: i for i, row in enumerate(rows)}
        some.broken = [(place[row], why) for row, why in self.broken if row in place]
        return some

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Sequence[int]) -> PackedFeatures:
        found = [self._row(row) for row in rows]
        stacked = {name: np.stack([one[name] for one in found]) for name in found[0]}
        patches, cls = (
            Packed(_tensor(stacked[name]), _tensor(stacked[f"{name}_unit"]))
            if name in stacked
            else None
            for name in ("patches", "cls")
        )
        assert patches is not None
        return PackedFeatures(patches, cls)

    def _row(self, row: int) -> dict[str, np.ndarray]:
        number, place = divmod(self.rows[row], SHARD)
        if number not in self._shards:
            self._shards[number] = _open_shard(self.folder / f"shard-{number:05d}")
        shard = self._shards[number]
        return {name: array[place, ...] for name, array in shard.items()}  # never a bare number

    def __getstate__(self):
        return self.__dict__ | {"_shards": {}}  # memory maps are opened anew in each process

    def check(self) -> None:
        """Every shard against its checksum; ValueError names a damaged one and the way out."""
        for number in range(-(-self.count // SHARD)):
            shard = self.folder / f"shard-{number:05d}"
            stored = json.loads((shard / "checksums.json").read_text())
            if stored != {name: _checksum(shard / name) for name in stored}:
                raise ValueError(f"cached features in {shard} are damaged; delete that folder")


def pack(vectors: Float[Tensor, "*place width"], precision: Precision) -> Packed:
    """Vectors up to rounding; bf16 needs no units, so they are ones."""
    if precision == "bf16":
        return Packed(vectors.to(torch.bfloat16), torch.ones(vectors.shape[:-1]))
    unit = vectors.abs().amax(dim=-1).clamp(min=1e-12) / 127
    return Packed((vectors / unit[..., None]).round().to(torch.int8), unit)


def _array(numbers: Tensor) -> np.ndarray:
    """numpy knows no bfloat16: its bits as integers."""
    return (numbers.view(torch.int16) if numbers.dtype == torch.bfloat16 else numbers).numpy()


def _tensor(array: np.ndarray) -> Tensor:
    numbers = torch.from_numpy(array)
    return numbers.view(torch.bfloat16) if array.dtype == np.int16 else numbers


def cache_features(
    pairs: Pairs,
    encode: Callable[[Float[Tensor, "batch 3 height width"]], ImageFeatures],
    settings: Caching,
    *,
    size: tuple[int, int],
    identity: str,
    check: bool = True,
) -> CachedFeatures:
    """Features of the centre of every picture, at `size` (height, width in pixels).

    `identity` names what computed them (encoder settings and a digest of its weights). A broken
    picture leaves zeros, which must not be trained on: see `broken`. `check=False` where another
    process has just compared all shards with their checksums.
    """
    assert settings.folder is not None
    keys = [pairs[i].key for i in range(len(pairs))]
    decides = {"identity": identity, "size": size, "precision": settings.precision, "shard": SHARD}
    decides["pictures"] = _glimpse(pairs)
    digest = hashlib.sha256(json.dumps([decides, keys]).encode()).hexdigest()[:16]
    folder = Path(settings.folder).expanduser() / digest
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "about.json").write_text(json.dumps(decides | asdict(settings), indent=1))
    for left in folder.glob(".shard-*"):  # by a run that was killed; none takes an hour to write
        if time.time() - left.stat().st_mtime > 3600:
            shutil.rmtree(left)
    missing = [
        n for n in range(-(-len(pairs) // SHARD)) if not _complete(folder / f"shard-{n:05d}")
    ]
    todo = sum(min(SHARD, len(pairs) - n * SHARD) for n in missing)
    with tqdm(total=todo, desc="caching features", unit=" photos", disable=not missing) as bar:
        for number in missing:
            rows = range(number * SHARD, min((number + 1) * SHARD, len(pairs)))
            if _complete(folder / f"shard-{number:05d}"):  # by another run, meanwhile
                bar.update(len(rows))
                continue
            _write_shard(folder / f"shard-{number:05d}", pairs, rows, encode, settings, size, bar)
    cached = CachedFeatures(folder, len(pairs))
    if check:
        cached.check()
    return cached


def _write_shard(shard: Path, pairs: Pairs, rows: range, encode, settings, size, bar) -> None:
    parts: dict[str, list[np.ndarray]] = {}
    broken: list[tuple[int, str]] = []
    for start in range(rows.start, rows.stop, settings.batch):
        some = range(start, min(start + settings.batch, rows.stop))
        pictures = torch.stack([_picture(pairs, row, size, broken) for row in some])
        features = encode(pictures)
        for name, vectors in (("patches", features.patches), ("cls", features.cls)):
            if vectors is not None:
                packed = pack(vectors.detach().float().cpu(), settings.precision)
                parts.setdefault(name, []).append(_array(packed.numbers))
                parts.setdefault(f"{name}_unit", []).append(packed.unit.numpy())
        bar.update(len(some))
    aside = shard.with_name(f".{shard.name}.{os.getpid()}")
    aside.mkdir(exist_ok=True)
    for name, arrays in parts.items():
        np.save(aside / f"{name}.npy", np.concatenate(arrays))
    (aside / "broken.json").write_text(json.dumps(broken))
    sums = {file.name: _checksum(file) for file in sorted(aside.iterdir())}
    (aside / "checksums.json").write_text(json.dumps(sums))
    if _complete(shard):  # another run was faster
        shutil.rmtree(aside)
        return
    shutil.rmtree(shard, ignore_errors=True)
    aside.rename(shard)


def _complete(shard: Path) -> bool:
    """Checksums are written last, and a shard gets its name after them."""
    return (shard / "checksums.json").is_file()


def _picture(
    pairs: Pairs, row: int, size: tuple[int, int], broken: list
) -> Float[Tensor, "3 height width"]:
    try:
        picture = pairs[row].open()
    except BrokenImage as error:
        broken.append((row, error.reason))
        return torch.zeros(3, *size)
    view = centre_crop(picture.height, picture.width, size=size)
    return to_tensor(view.picture(picture))


def _glimpse(pairs: Pairs) -> str:
    """A digest of a few pictures, because another data set may have the same keys."""
    digest = hashlib.sha256()
    for row in np.linspace(0, len(pairs) - 1, min(16, len(pairs))).astype(int).tolist():
        try:
            digest.update(pairs[row].open().tobytes())
        except BrokenImage as error:
            digest.update(error.reason.encode())
    return digest.hexdigest()


def _open_shard(shard: Path) -> dict[str, np.ndarray]:
    return {file.stem: np.load(file, mmap_mode="r") for file in sorted(shard.glob("*.npy"))}


def _checksum(file: Path) -> int | None:
    return zlib.crc32(file.read_bytes()) if file.is_file() else None
