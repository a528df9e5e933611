"""Tar files in which a photo and its caption share a name, as img2dataset writes them.

Own index instead of the webdataset package: a photo is a place in a file, so any order, any
number of workers and going on in mid-epoch come for free.
"""

from __future__ import annotations

import glob
import json
import os
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import Path

from whatwhere.captions.reading import CAPTION_NAMES, decode, usable
from whatwhere.captions.samples import FilePart, Sample, Skipped

LOOKS_FOR = (
    "a folder of .tar files, one .tar or a pattern such as 'shards/*.tar' (no braces), "
    "with NAME.jpg (jpeg, png, webp) and NAME.txt or a caption in NAME.json"
)
_PHOTOS = ("jpg", "jpeg", "png", "webp")


def accepts(path: Path) -> bool:
    return bool(_shards(path)[1])


def pairs(path: Path, skipped: Skipped) -> Iterator[Sample]:
    top, shards = _shards(path)
    for shard in shards:
        name = shard.relative_to(top).with_suffix("").as_posix()
        for key, parts in _grouped(shard, name, skipped).items():
            photo = next((parts[suffix] for suffix in _PHOTOS if suffix in parts), None)
            captions = _captions(parts)
            if photo is None:
                skipped.add("missing image", key, f"has {', '.join(parts)}")
            elif captions is None:
                skipped.add("missing caption", key, f"has {', '.join(parts)}")
            elif kept := usable(captions, key=key, skipped=skipped):
                yield Sample(key, kept, photo)


def _shards(path: Path) -> tuple[Path, list[Path]]:
    """The folder that keys are relative to, and the tars in it."""
    if path.is_dir():
        return path, sorted(path.glob("*.tar"))
    if path.suffix.lower() != ".tar":
        return path, []
    if path.is_file():
        return path.parent, [path]
    top = next(folder for folder in path.parents if not glob.has_magic(str(folder)))
    return top, [Path(name) for name in sorted(glob.glob(str(path)))]


def _grouped(shard: Path, name: str, skipped: Skipped) -> dict[str, dict[str, FilePart]]:
    """Where each file of each sample lies: by key, then by what follows the name's first dot."""
    grouped: dict[str, dict[str, FilePart]] = {}
    try:
        for member in _members(shard):
            folder, base = posixpath.split(posixpath.normpath(member.name))
            stem, _, suffix = base.partition(".")
            if stem and member.isreg():
                key = posixpath.join(name, folder, stem)
                part = FilePart(str(shard), member.offset_data, member.size)
                grouped.setdefault(key, {}).setdefault(suffix.lower(), part)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        skipped.add("broken archive", f"{name}.tar", f"{error}; {len(grouped)} names before it")
    return grouped


def _members(shard: Path) -> Iterator[tarfile.TarInfo]:
    """Members that are there in full; then an error if the archive does not end as it should.

    tarfile itself takes a damaged header after the first for the end of the archive.
    """
    with shard.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
        end = os.fstat(file.fileno()).st_size
        for member in tar:
            if member.offset_data + member.size > end:
                raise tarfile.ReadError(f"cut off at byte {end}")
            yield member
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError(f"no header at byte {tar.offset}")


def _captions(parts: dict[str, FilePart]) -> list[object] | None:
    """The text file is the caption, all of it; without one, what the JSON calls caption."""
    if "txt" in parts:
        return [decode(parts["txt"]())]
    if "json" not in parts:
        return None
    try:
        content = json.loads(decode(parts["json"]()))
    except ValueError:
        return None
    named = (content.get(name) for name in CAPTION_NAMES) if isinstance(content, dict) else ()
    captions = next((value for value in named if value is not None), None)
    return captions if captions is None or isinstance(captions, list) else [captions]
