"""What all caption sources share: text as people save it, and rows that name photos by path."""

from __future__ import annotations

import codecs
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from whatwhere.captions.samples import FilePart, Sample, Skipped, printable

IMAGE_NAMES = (
    "image",
    "file_name",
    "filename",
    "filepath",
    "image_path",
    "image_name",
    "path",
)
CAPTION_NAMES = ("captions", "caption", "text", "title")

_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
_EMPTY = {"", "nan", "none", "null"}  # the last three are how pandas and others save nothing

# Every undecodable byte becomes a lone surrogate: reading never stops, and `usable` finds them.
_MARK = "\udcff"
codecs.register_error("whatwhere.mark", lambda error: (_MARK, getattr(error, "end", 0)))


def _encoding(start: bytes) -> str:
    utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "utf-16" if utf16 else "utf-8-sig"


def decode(data: bytes) -> str:
    """UTF-8, with or without byte order mark, or UTF-16 with one; wrong bytes are marked."""
    return data.decode(_encoding(data), errors="whatwhere.mark")


def lines(path: Path) -> Iterator[str]:
    """The lines of a text file of any size, ends included, decoded as `decode` does."""
    with path.open("rb") as file:
        encoding = _encoding(file.read(2))
    with path.open(encoding=encoding, errors="whatwhere.mark", newline="") as file:
        yield from file


def is_text(text: str) -> bool:
    """No marks of wrong bytes, no half characters that tokenizers choke on, no NULs.

    NULs are what UTF-16 without a byte order mark looks like.
    """
    return _NOT_TEXT.search(text) is None


def usable(captions: Iterable[object], *, key: str, skipped: Skipped) -> tuple[str, ...]:
    """The captions that say something, stripped; the others are counted."""
    texts = [text.strip() if isinstance(text, str) else "" for text in captions]
    said = [text for text in texts if text.casefold() not in _EMPTY]
    readable = tuple(text for text in said if is_text(text))
    if not said or len(said) < len(texts):
        skipped.add("empty caption", key, _share(len(texts) - len(said), len(texts)))
    if len(readable) < len(said):
        skipped.add("wrong encoding", key, _share(len(said) - len(readable), len(texts)))
    return readable


def _share(bad: int, total: int) -> str:
    return "" if bad == total else f"{bad} of {total} captions, the others are used"


def index_file(path: Path, suffixes: Sequence[str]) -> Path | None:
    """The path itself, or `captions.*` or `metadata.*` in the folder; None when there is none."""
    if path.is_file():
        return path if path.suffix.lower() in suffixes else None
    inside = (path / f"{name}{suffix}" for name in ("captions", "metadata") for suffix in suffixes)
    return next((file for file in inside if file.is_file()), None)


def beside(file: Path) -> tuple[Path, ...]:
    """Where the photos that a file names by relative path may lie."""
    return (file.parent, file.parent / "images", file.parent / "Images")


def named_photos(
    rows: Iterable[tuple[str, Iterable[object]]],
    *,
    folders: Iterable[Path],
    skipped: Skipped,
) -> Iterator[Sample]:
    """Samples of rows (path of a photo, captions); rows that name the same photo are merged.

    A photo is only looked for, not decoded: large sets must open in seconds.
    """
    captions_of: dict[str, list[object]] = {}
    for name, captions in rows:
        captions_of.setdefault(posixpath.normpath(name), []).extend(captions)
    tops = [str(folder) for folder in folders if folder.is_dir()]
    for key, captions in captions_of.items():
        paths = (os.path.join(top, key) for top in tops)
        found = next((path for path in paths if os.path.isfile(path)), None)
        if found is None:
            web = key.startswith(("http:", "https:"))
            skipped.add("missing image", key, "download web addresses first" if web else "")
        elif kept := usable(captions, key=key, skipped=skipped):
            yield Sample(printable(key), kept, FilePart(found))
