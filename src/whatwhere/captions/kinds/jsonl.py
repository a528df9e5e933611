"""JSON lines that name a photo and its captions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from whatwhere.captions.reading import (
    CAPTION_NAMES,
    IMAGE_NAMES,
    beside,
    index_file,
    lines,
    named_photos,
)
from whatwhere.captions.samples import Sample, Skipped

LOOKS_FOR = (
    'a .jsonl file, or a folder with captions.jsonl, of lines {"image": path, "captions": [...]}'
)
_SUFFIXES = (".jsonl", ".ndjson")


def accepts(path: Path) -> bool:
    return index_file(path, _SUFFIXES) is not None


def pairs(path: Path, skipped: Skipped) -> Iterator[Sample]:
    file = index_file(path, _SUFFIXES)
    assert file is not None  # accepts() said so
    return named_photos(_rows(file, skipped), folders=beside(file), skipped=skipped)


def _rows(file: Path, skipped: Skipped) -> Iterator[tuple[str, list[object]]]:
    for number, line in enumerate(lines(file), start=1):
        if not line.strip():
            continue
        try:
            yield _row(json.loads(line))
        except ValueError as error:
            skipped.add("broken row", f"{file.name} line {number}", str(error))


def _row(row: object) -> tuple[str, list[object]]:
    if not isinstance(row, dict):
        raise ValueError(f"a {type(row).__name__} where an object belongs")
    image = _first(row, IMAGE_NAMES)
    if not isinstance(image, str) or not image:
        raise ValueError(f"no path under {', '.join(IMAGE_NAMES)}")
    if not any(name in row for name in CAPTION_NAMES):
        raise ValueError(f"no caption under {', '.join(CAPTION_NAMES)}")
    captions = _first(row, CAPTION_NAMES)
    return image, captions if isinstance(captions, list) else [captions]


def _first(row: dict[str, object], names: tuple[str, ...]) -> object:
    return next((row[name] for name in names if row.get(name) is not None), None)
