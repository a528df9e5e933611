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
from whatwhere.transforms import View, centre_crop, random_crop, to_tensor

Precision = Literal["int8", "bf16"]
SHARD = 512  # pictures


@dataclass(frozen=True)
class Caching:
    """int8 keeps each patch vector as bytes with its own largest magnitude as the unit.

    views  ways in which each picture is kept: its centre, and random crops as `batching.crop` and
           `batching.mirror` say. A step sees one of them, so that a frozen encoder's features vary
           as pictures do; each takes the time and the bytes of the first again.
    """

    folder: str | None = None  # None: features are computed in every step
    precision: Precision = "int8"
    batch: int = 32  # pictures encoded at a time
    views: int = 1

    def __post_init__(self) -> None:
        if min(self.batch, self.views) < 1:
            raise ValueError(f"caching.batch={self.batch}, views={self.views}; take 1 or more")


class CachedFeatures:
    """Row i are the features of picture i of the pairs that the cache was made from.

    Each folder holds one view of all pictures, the first their centres. `broken` says which
    pictures could not be opened: (row, reason).
    """

    def __init__(self, folders: Sequence[Path], count: int):
        self.folders, self.count = folders, count
        self.rows: Sequence[int] = range(count)
        self.broken = [
            (int(row), str(why))
            for shard in _shards_of(folders[0], count)
            for row, why in json.loads((shard / "broken.json").read_text())
        ]
        self._shards: dict[Path, dict[str, np.ndarray]] = {}

    @property
    def views(self) -> int:
        return len(self.folders)

    def of(self, rows: Sequence[int]) -> CachedFeatures:
        """The same features, for only some of the pictures and in this order."""
        some = copy.copy(self)
        some.rows = [self.rows[row] for row in rows]
        place = {row: i for i, row in enumerate(rows)}
        some.broken = [(place[row], why) for row, why in self.broken if row in place]
        return some

    def __len__(self) -> int:
        return len(self.rows)

    def seen(self, rows: Sequence[int], views: Sequence[int]) -> PackedFeatures:
        """Of one view of each; 0 is the centre."""
        found = [self._row(row, view) for row, view in zip(rows, views, strict=True)]
        stacked = {name: np.stack([one[name] for one in found]) for name in found[0]}
        patches, cls = (
            Packed(_tensor(stacked[name]), _tensor(stacked[f"{name}_unit"]))
            if name in stacked
            else None
            for name in ("patches", "cls")
        )
        assert patches is not None
        return PackedFeatures(patches, cls)

    def _row(self, row: int, view: int) -> dict[str, np.ndarray]:
        number, place = divmod(self.rows[row], SHARD)
        shard = _shard(self.folders[view], number)
        if shard not in self._shards:
            self._shards[shard] = _open_shard(shard)
        arrays = self._shards[shard]
        return {name: array[place, ...] for name, array in arrays.items()}  # never a bare number

    def __getstate__(self):
        return self.__dict__ | {"_shards": {}}  # memory maps are opened anew in each process

    def check(self) -> None:
        """Every shard against its checksum; ValueError names a damaged one and the way out."""
        for folder in self.folders:
            for shard in _shards_of(folder, self.count):
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
    crop: tuple[float, float] = (1.0, 1.0),
    mirror: bool = False,
    check: bool = True,
) -> CachedFeatures:
    """Features of the centre of every picture, at `size` (height, width in pixels).

    Views after the first are of random crops, whose share of the area is in `crop`, half of them
    mirrored if `mirror`; they follow from the view's number and the picture's. `identity` names
    what computed the features (encoder settings and a digest of its weights). A broken picture
    leaves zeros, which must not be trained on: see `broken`. `check=False` where another process
    has just compared all shards with their checksums.
    """
    assert settings.folder is not None
    keys = [pairs[i].key for i in range(len(pairs))]
    decides: dict[str, object] = {
        "identity": identity,
        "size": size,
        "precision": settings.precision,
        "shard": SHARD,
        "pictures": _glimpse(pairs),
    }
    folders = []
    for view in range(settings.views):
        if view:
            decides |= {"view": view, "crop": crop, "mirror": mirror}
        digest = hashlib.sha256(json.dumps([decides, keys]).encode()).hexdigest()[:16]
        folder = Path(settings.folder).expanduser() / digest
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "about.json").write_text(json.dumps(decides | asdict(settings), indent=1))
        _fill(folder, pairs, encode, _Cut(view, size, crop, mirror), settings)
        folders.append(folder)
    cached = CachedFeatures(folders, len(pairs))
    if check:
        cached.check()
    return cached


def _fill(folder: Path, pairs: Pairs, encode, cut: _Cut, settings: Caching) -> None:
    """Write the shards that are missing."""
    for left in folder.glob(".shard-*"):  # by a run that was killed; none takes an hour to write
        if time.time() - left.stat().st_mtime > 3600:
            shutil.rmtree(left)
    shards = list(enumerate(_shards_of(folder, len(pairs))))
    missing = [(number, shard) for number, shard in shards if not _complete(shard)]
    todo = sum(min(SHARD, len(pairs) - number * SHARD) for number, _ in missing)
    what = "caching features" + (f", view {cut.view + 1} of {settings.views}" if cut.view else "")
    with tqdm(total=todo, desc=what, unit=" photos", disable=not missing) as bar:
        for number, shard in missing:
            rows = range(number * SHARD, min((number + 1) * SHARD, len(pairs)))
            if _complete(shard):  # by another run, meanwhile
                bar.update(len(rows))
                continue
            _write_shard(shard, pairs, rows, encode, cut, settings, bar)


def _write_shard(shard: Path, pairs: Pairs, rows: range, encode, cut: _Cut, settings, bar) -> None:
    parts: dict[str, list[np.ndarray]] = {}
    broken: list[tuple[int, str]] = []
    for start in range(rows.start, rows.stop, settings.batch):
        some = range(start, min(start + settings.batch, rows.stop))
        pictures = torch.stack([cut.picture(pairs, row, broken) for row in some])
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


def _shards_of(folder: Path, count: int) -> list[Path]:
    return [_shard(folder, number) for number in range(-(-count // SHARD))]


def _shard(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}"


def _complete(shard: Path) -> bool:
    """Checksums are written last, and a shard gets its name after them."""
    return (shard / "checksums.json").is_file()


@dataclass(frozen=True)
class _Cut:
    """What one view shows of each picture."""

    view: int
    size: tuple[int, int]
    crop: tuple[float, float]
    mirror: bool

    def picture(self, pairs: Pairs, row: int, broken: list) -> Float[Tensor, "3 height width"]:
        try:
            picture = pairs[row].open()
        except BrokenImage as error:
            broken.append((row, error.reason))
            return torch.zeros(3, *self.size)
        return to_tensor(self._box(row, picture.height, picture.width).picture(picture))

    def _box(self, row: int, height: int, width: int) -> View:
        if self.view == 0:
            return centre_crop(height, width, size=self.size)
        draw = np.random.default_rng((self.view, row))
        return random_crop(
            height, width, size=self.size, scale=self.crop, mirror=self.mirror, draw=draw
        )


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
