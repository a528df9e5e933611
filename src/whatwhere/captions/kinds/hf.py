"""Hugging Face datasets that were saved to disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from whatwhere.captions.reading import CAPTION_NAMES, IMAGE_NAMES, beside, usable
from whatwhere.captions.samples import Sample, Skipped

LOOKS_FOR = "a folder written by datasets.save_to_disk, with an image column and a caption column"


def accepts(path: Path) -> bool:
    one = (path / "state.json").is_file() and (path / "dataset_info.json").is_file()
    return one or (path / "dataset_dict.json").is_file()


def pairs(path: Path, skipped: Skipped) -> Iterator[Sample]:
    folder = _subset(path)
    data = _load(str(folder))
    image = _image_column(data)
    caption = _caption_column(data, image)
    for row, value in enumerate(data[caption]):
        key = f"{row:09d}"
        captions = value if isinstance(value, list) else [value]
        if kept := usable(captions, key=key, skipped=skipped):
            yield Sample(key, kept, _Cell(str(folder), image, row))


def _subset(path: Path) -> Path:
    """The folder of the only subset: which one to learn from is for the user to say."""
    if not (path / "dataset_dict.json").is_file():
        return path
    subsets = sorted(file.parent for file in path.glob("*/state.json"))
    if len(subsets) != 1:
        raise ValueError(
            f"{path} holds the subsets {', '.join(one.name for one in subsets)}; "
            f"give one of them, such as {path / 'train'}"
        )
    return subsets[0]


@dataclass(frozen=True, slots=True)
class _Cell:
    """The encoded picture in one row; every process opens the dataset for itself."""

    folder: str
    column: str
    row: int

    def __call__(self) -> bytes:
        value = _load(self.folder)[self.row][self.column]
        if isinstance(value, dict):  # the Image feature: bytes, or the path of a file
            value = value["bytes"] if value["bytes"] is not None else value["path"]
        if value is None:
            raise ValueError("no picture in this row")
        return value if isinstance(value, bytes) else _file(self.folder, value).read_bytes()


def _file(folder: str, name: str) -> Path:
    places = [top / name for top in beside(Path(folder, "state.json"))]
    return next((place for place in places if place.is_file()), places[0])


@lru_cache(maxsize=4)
def _load(folder: str) -> Any:
    """The dataset, with pictures left encoded."""
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            "Hugging Face datasets need datasets: pip install 'whatwhere[data]'"
        ) from error
    data: Any = datasets.load_from_disk(folder)
    for name, feature in data.features.items():
        if isinstance(feature, datasets.Image):
            data = data.cast_column(name, datasets.Image(decode=False))
    return data.with_format(None)


def _image_column(data: Any) -> str:
    """By the feature's type, else by the column's name."""
    from datasets import Image

    typed = [name for name, feature in data.features.items() if isinstance(feature, Image)]
    named = [name for name in IMAGE_NAMES if name in data.features]
    if not typed + named:
        raise ValueError(
            f"no image among the columns {', '.join(data.features)}; "
            f"make one of type Image or call it {', '.join(IMAGE_NAMES)}"
        )
    return (typed + named)[0]


def _caption_column(data: Any, image: str) -> str:
    """By the column's name, else the only one that holds text."""
    named = [name for name in CAPTION_NAMES if name in data.features]
    schema = data.features.arrow_schema
    texts = [name for name in data.features if name != image and _is_text(schema.field(name).type)]
    if not named and len(texts) != 1:
        raise ValueError(
            f"no caption among the columns {', '.join(data.features)}; "
            f"call one of them {', '.join(CAPTION_NAMES)}"
        )
    return (named + texts)[0]


def _is_text(kind: Any) -> bool:
    """Arrow's strings and lists of strings."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind):
        kind = kind.value_type
    return types.is_string(kind) or types.is_large_string(kind)
