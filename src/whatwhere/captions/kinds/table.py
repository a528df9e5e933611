"""CSV and TSV tables with a column of photos and a column of captions.

Quoting is where such tables go wrong. Commas, semicolons and bars follow the CSV rules, strictly:
a stray quotation mark is a broken row, not a caption that swallows the rows after it. Between tabs
captions with loose quotation marks are usual (released lists are often unquoted), so there a line
is a row, and it is taken as it stands unless all its quoting is correct.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    "a .csv or .tsv file, or a folder with captions.csv, whose first line names the columns, "
    f"one of {', '.join(IMAGE_NAMES)} and one of {', '.join(CAPTION_NAMES)}"
)
_SUFFIXES = (".csv", ".tsv", ".txt")  # Flickr8k's table is called captions.txt
_DELIMITERS = ("\t", ",", ";", "|")  # a tab first: it is never part of a name


@dataclass(frozen=True)
class _Header:
    delimiter: str
    columns: int
    image: int
    caption: int


def accepts(path: Path) -> bool:
    file = index_file(path, _SUFFIXES)
    return file is not None and (file.suffix.lower() != ".txt" or _header(file) is not None)


def pairs(path: Path, skipped: Skipped) -> Iterator[Sample]:
    file = index_file(path, _SUFFIXES)
    assert file is not None  # accepts() said so
    header = _header(file)
    if header is None:
        first = next(lines(file), "").strip()
        raise ValueError(f"the first line of {file} is {first[:200]!r}; looked for {LOOKS_FOR}")
    return named_photos(_rows(file, header, skipped), folders=beside(file), skipped=skipped)


def _header(file: Path) -> _Header | None:
    first = next(lines(file), "")
    for delimiter in _DELIMITERS:
        names = [name.strip(' \r\n"').casefold() for name in first.split(delimiter)]
        image, caption = _place(names, IMAGE_NAMES), _place(names, CAPTION_NAMES)
        if image is not None and caption is not None:
            return _Header(delimiter, len(names), image, caption)
    return None


def _place(names: list[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _rows(file: Path, header: _Header, skipped: Skipped) -> Iterator[tuple[str, list[str]]]:
    rest = lines(file)
    next(rest)
    split = _split_tabs if header.delimiter == "\t" else _split_csv
    for number, row in split(rest, header.delimiter):
        place = f"{file.name} line {number}"
        if isinstance(row, csv.Error):
            skipped.add("broken row", place, str(row))
        elif len(row) != header.columns:
            skipped.add("broken row", place, f"{len(row)} columns instead of {header.columns}")
        elif not (image := row[header.image].strip()):
            skipped.add("broken row", place, "no path of a photo")
        else:
            yield image, [row[header.caption]]


def _split_csv(rows: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Rows or what is wrong with them, with the number of their last line in the file."""
    reader = csv.reader(rows, delimiter=delimiter, strict=True)
    while True:
        row: list[str] | csv.Error
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = error
        if row:
            yield reader.line_num + 1, row


def _split_tabs(rows: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(rows, start=2):
        if line.strip():
            try:
                yield number, next(csv.reader([line], delimiter=delimiter, strict=True))
            except csv.Error:
                yield number, line.rstrip("\r\n").split(delimiter)
