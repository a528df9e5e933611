"""Photos in a folder and below, each with a .txt of the same name beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from whatwhere.captions.reading import lines, usable
from whatwhere.captions.samples import FilePart, Sample, Skipped, printable
from whatwhere.pictures import PHOTOS

LOOKS_FOR = "a folder of photos (jpg, png, webp, ...) with a .txt beside each, a caption a line"


def accepts(path: Path) -> bool:
    return any(text is not None for _, text in _photos(path))


def pairs(path: Path, skipped: Skipped) -> Iterator[Sample]:
    for photo, text in _photos(path):
        key = printable(photo.relative_to(path).as_posix())
        if text is None:
            skipped.add("missing caption", key, "no .txt beside it")
            continue
        said = [line for line in lines(text) if line.strip()]
        if kept := usable(said, key=key, skipped=skipped):
            yield Sample(key, kept, FilePart(str(photo)))


def _photos(top: Path) -> Iterator[tuple[Path, Path | None]]:
    """Photos and their texts. Hidden files are what systems leave behind, never photos."""
    for folder, _, names in os.walk(top):
        texts = {name[:-4]: name for name in names if name.lower().endswith(".txt")}
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in PHOTOS and not name.startswith("."):
                text = texts.get(stem)
                yield Path(folder, name), None if text is None else Path(folder, text)
