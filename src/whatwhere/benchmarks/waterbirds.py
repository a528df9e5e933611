"""Waterbirds: birds of land and of water cut out and pasted on both (arXiv 1911.08731)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from whatwhere.benchmarks.photos import as_stored
from whatwhere.pictures import OnGround

SPLITS = {"train": "0", "val": "1", "test": "2"}
OFFICIAL = {"train": 4795, "val": 1199, "test": 5794}
COLUMNS = ("img_filename", "y", "split", "place")


@dataclass(frozen=True)
class Waterbirds:
    """Photos of two classes on two grounds; a third name, the background's, competes with them.

    That there are three is CLIPpy's protocol (arXiv 2210.09996, fig. 4). Its words for them are
    told elsewhere: these are ours.
    """

    files: tuple[tuple[Path, int, int], ...]  # photo, class, ground
    official: int
    name: str = "waterbirds"
    classes: tuple[str, ...] = ("landbird", "waterbird")
    names: tuple[tuple[str, ...], ...] = (("land bird",), ("water bird",), ("background",))
    grounds: tuple[str, ...] = ("land", "water")
    usual: tuple[int, ...] = (0, 1)

    def __len__(self) -> int:
        return len(self.files)

    def items(self, indices: Iterable[int] | None = None) -> Iterator[OnGround]:
        for index in range(len(self)) if indices is None else indices:
            photo, label, ground = self.files[index]
            yield OnGround(photo.name, as_stored(photo), label, ground)


def load(root: str, split: str = "test") -> Waterbirds:
    """The photos of a split of the official folder, which has a metadata.csv.

    Its columns: img_filename (a path from there), y (0 landbird, 1 waterbird), place (0 land, 1
    water), split (0 train, 1 val, 2 test; published numbers are on test).
    """
    file = Path(root).expanduser() / "metadata.csv"
    if not file.is_file():
        raise ValueError(f"there is no {file}; give the folder of Waterbirds that holds it")
    if split not in SPLITS:
        raise ValueError(f"waterbirds has no split {split!r}; take one of {', '.join(SPLITS)}")
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        table = csv.DictReader(lines, restval="")
        if missing := [column for column in COLUMNS if column not in (table.fieldnames or ())]:
            raise ValueError(f"{file} has no column {', '.join(missing)}; give the official one")
        rows = [row for row in table if row["split"] == SPLITS[split]]
    files = tuple(
        (file.parent / row["img_filename"], _bit(file, row, "y"), _bit(file, row, "place"))
        for row in rows
    )
    if not files:
        raise ValueError(f"{file} lists no photo of the split {split} ({SPLITS[split]})")
    if lost := [photo for photo, _, _ in files if not photo.is_file()]:
        raise ValueError(f"{lost[0]} is missing ({len(lost)} of {len(files)} photos of {file} are)")
    return Waterbirds(files, official=OFFICIAL[split])


def _bit(file: Path, row: dict[str, str], column: str) -> int:
    if row[column] not in ("0", "1"):
        raise ValueError(
            f"{file}: {column} of {row['img_filename']} is {row[column]!r}, not 0 or 1"
        )
    return int(row[column])
