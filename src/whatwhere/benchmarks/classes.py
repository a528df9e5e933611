"""Photos that show one class each, for zero-shot classification: folders by class, or an index."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from PIL import Image

from whatwhere.benchmarks.photos import synonyms
from whatwhere.pictures import PHOTOS, UNDECODABLE, as_shown, why

INDEX_ENDINGS = (".jsonl", ".csv", ".tsv")
IMAGE_NAMES = ("image", "file_name", "filename", "path", "file", "photo")
NO_CLASSES = {"train", "val", "validation", "test", "images", "photos", "masks"}
CLASS_NAMES = ("class", "name", "label", "category")


@dataclass(frozen=True)
class Shown:
    """A photo, RGB and upright, and which of K classes it shows."""

    key: str
    image: Image.Image
    label: int


@dataclass(frozen=True)
class Classified:
    """A benchmark of photos with one class each. Classes without a photo compete all the same."""

    name: str
    files: tuple[tuple[str, Path, int], ...]  # key, photo, class
    classes: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.files)

    def items(self, indices: Iterable[int] | None = None) -> Iterator[Shown]:
        """These photos, or all of them, read one at a time."""
        for index in range(len(self)) if indices is None else indices:
            key, photo, label = self.files[index]
            try:
                with Image.open(photo) as file:
                    picture = as_shown(file)
            except UNDECODABLE as error:
                raise ValueError(f"cannot read {photo} as a picture: {why(error)}") from None
            yield Shown(key, picture, label)


def load(root: str, split: str = "all") -> Classified:
    """Photos in a folder per class, or named by an index file, and how to say the classes.

    The photos are one of
      root/dog/1.jpg    a folder per class, the class being the folder's name; what lies deeper
                        belongs to the class as well
      root/index.jsonl  lines {"image": path, "name": class}; or index.csv, index.tsv with such
                        columns (IMAGE_NAMES and CLASS_NAMES are understood). Paths are relative to
                        the file. Rows of the same name are of one class.
    split: "all", or the name of a folder or an index file in `root` (val for val/ or val.csv).
    root/classes.txt, if it is there, lists the classes that compete, one per line: "sofa | couch",
    of which the first is the key in tables, or "n04256520: sofa | couch" where folders have ids.
    Without it the classes that have photos compete, in the order of their names, underscores read
    as blanks.
    """
    home = Path(root).expanduser()
    if not home.exists():
        raise ValueError(f"there is no {home}; give a folder of photos by class, or an index file")
    where = home if split == "all" else _split(home, split)
    found = _indexed(where) if where.is_file() else _foldered(where)
    lists = home.parent if home.is_file() else home
    listed = _listed(lists / "classes.txt")
    if listed is None:
        listed = {name: (name.replace("_", " "),) for name in sorted({name for _, name in found})}
    said = [name for names in listed.values() for name in names]
    rows = {n: row for row, names in enumerate(listed.values()) for n in names if said.count(n) < 2}
    rows |= {name: row for row, name in enumerate(listed)}
    for photo, name in found:
        if name not in rows:
            close = get_close_matches(name, rows, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"{lists / 'classes.txt'} has no class, or several, {name!r} as of {photo}{hint}"
            )
    return Classified(
        name=lists.resolve().name,
        files=tuple((_key(photo, where), photo, rows[name]) for photo, name in found),
        classes=tuple(listed),
        names=tuple(listed.values()),
    )


def _key(photo: Path, where: Path) -> str:
    top = where.parent if where.is_file() else where
    return photo.relative_to(top).as_posix() if photo.is_relative_to(top) else str(photo)


def _split(home: Path, split: str) -> Path:
    places = [home / split, *(home / f"{split}{ending}" for ending in INDEX_ENDINGS)]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise ValueError(
            f"{home} has no split {split!r}: neither a folder nor {split}.jsonl, .csv or .tsv; "
            "give one that is there, or 'all'"
        )
    return found


def _foldered(where: Path) -> list[tuple[Path, str]]:
    """(photo, class): by an index in the folder if there is one, else by the folders in it."""
    indices = [where / f"index{ending}" for ending in INDEX_ENDINGS]
    if index := next((file for file in indices if file.is_file()), None):
        return _indexed(index)
    folders = [f for f in sorted(where.iterdir()) if f.is_dir() and not f.name.startswith(".")]
    if folders and {folder.name.lower() for folder in folders} <= NO_CLASSES:
        there = ", ".join(folder.name for folder in folders)
        raise ValueError(f"the folders in {where} are no classes ({there}); choose with --split")
    found = [
        (photo, folder.name)
        for folder in folders
        for photo in sorted(folder.rglob("*"))
        if photo.suffix.lower() in PHOTOS and not photo.name.startswith(".")
    ]
    if not found:
        raise ValueError(
            f"no photos by class in {where}: it needs index.jsonl, .csv or .tsv, or a folder of "
            f"photos ({', '.join(PHOTOS)}) for each class"
        )
    return found


def _indexed(file: Path) -> list[tuple[Path, str]]:
    if file.suffix.lower() not in INDEX_ENDINGS:
        raise ValueError(f"{file} is no index; give a {', '.join(INDEX_ENDINGS)} file, or a folder")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 ({error.reason}); save it as UTF-8") from None
    found: dict[Path, str] = {}
    read = _json_lines if file.suffix.lower() == ".jsonl" else _table
    for line, row in read(file, text):
        photo, name = _cell(row, IMAGE_NAMES), _cell(row, CLASS_NAMES)
        if photo is None or name is None:
            raise ValueError(
                f"{file} line {line} needs a picture (one of {', '.join(IMAGE_NAMES)}) and a class "
                f"(one of {', '.join(CLASS_NAMES)}); it has {', '.join(map(str, row)) or 'nothing'}"
            )
        path = file.parent / photo
        if not path.is_file():
            raise ValueError(f"{file} line {line}: {path} is missing; paths start at the file")
        if found.setdefault(path, name) != name:
            raise ValueError(f"{file} line {line}: {photo} is {name!r} here, {found[path]!r} above")
    if not found:
        raise ValueError(f"{file} lists no photo")
    return list(found.items())


def _json_lines(file: Path, text: str) -> Iterator[tuple[int, dict]]:
    for line, row in enumerate(text.splitlines(), start=1):
        if not row.strip():
            continue
        try:
            read = json.loads(row)
        except ValueError as error:
            raise ValueError(f"{file} line {line} is no JSON: {error}") from None
        if not isinstance(read, dict):
            raise ValueError(f"{file} line {line} is no object, as in " + '{"image": "a.jpg", ...}')
        yield line, read


def _table(file: Path, text: str) -> Iterator[tuple[int, dict]]:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter)
    for row in reader:
        yield reader.line_num, {key: value for key, value in row.items() if key is not None}


def _cell(row: dict, wanted: tuple[str, ...]) -> str | None:
    """The first of the wanted columns that says something."""
    cells = (str(row[name]).strip() for name in wanted if row.get(name) is not None)
    return next((cell for cell in cells if cell), None)


def _listed(file: Path) -> dict[str, tuple[str, ...]] | None:
    """Class: its names, as `classes.txt` lists them."""
    if not file.is_file():
        return None
    listed: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        key, colon, said = line.partition(":")
        names = synonyms(said if colon else line)
        key = key.strip() if colon else next(iter(names), "")
        if not key or not names:
            raise ValueError(f"{file} line {number} names nothing: {line!r}")
        if key in listed:
            raise ValueError(f"{file} line {number} has {key!r} again; list each class once")
        listed[key] = names
    if not listed:
        raise ValueError(f"{file} lists no class; write one per line, or remove the file")
    return listed
