"""The caption files of COCO, and of everyone who copied their form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from whatwhere.captions.reading import beside, decode, named_photos
from whatwhere.captions.samples import Sample, Skipped

LOOKS_FOR = (
    'a COCO captions .json ("images" with file_name, "annotations" with caption), or a folder '
    "with captions_*.json in it or in annotations/, and the photos beside it or in train2017/, ..."
)

_LISTS = ("images", "annotations")


def accepts(path: Path) -> bool:
    return bool(_files(path))


def pairs(path: Path, skipped: Skipped) -> Iterator[Sample]:
    file, *others = _files(path)
    if others:
        names = ", ".join(str(one.relative_to(path)) for one in (file, *others))
        raise ValueError(f"{path} holds {names}; give the one to read")
    return named_photos(_rows(file, skipped), folders=_folders(file), skipped=skipped)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" else []
    return sorted([*path.glob("captions_*.json"), *path.glob("annotations/captions_*.json")])


def _folders(file: Path) -> Iterator[Path]:
    """The folder of the subset that the file is named after comes first: names may repeat."""
    subset = file.stem.removeprefix("captions_")
    for top in (file, file.parent):
        here = beside(top)
        yield from (folder / subset for folder in here)
        yield from here


def _rows(file: Path, skipped: Skipped) -> Iterator[tuple[str, list[object]]]:
    images, annotations = _read(file)
    names: dict[object, str] = {}
    captions_of: dict[object, list[object]] = {}
    for place, image in enumerate(images):
        try:
            names[image["id"]] = str(image["file_name"])
            captions_of[image["id"]] = []
        except (KeyError, TypeError) as error:
            skipped.add("broken row", f"{file.name} images[{place}]", f"lacks {error}")
    for place, annotation in enumerate(annotations):
        try:
            captions_of[annotation["image_id"]].append(annotation["caption"])
        except (KeyError, TypeError) as error:
            skipped.add("broken row", f"{file.name} annotations[{place}]", f"lacks {error}")
    for number, captions in captions_of.items():
        if captions:
            yield names[number], captions
        else:
            skipped.add("missing caption", names[number])


def _read(file: Path) -> tuple[list[Any], list[Any]]:
    """The images and the annotations."""
    try:
        content = json.loads(decode(file.read_bytes()))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON ({error}); looked for {LOOKS_FOR}") from error
    lists: list[Any] = [content.get(name) if isinstance(content, dict) else None for name in _LISTS]
    if not all(isinstance(one, list) for one in lists):
        raise ValueError(f"{file} lacks a list {' or '.join(_LISTS)}; looked for {LOOKS_FOR}")
    return lists[0], lists[1]
