"""Photos with one mask file each, read one at a time: what benchmarks on disk are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Integer
from PIL import Image

from whatwhere.benchmarks import Item
from whatwhere.pictures import PHOTOS, UNDECODABLE, why

MASK_ENDINGS = (".png",)
MASK_MODES = ("1", "L", "P", "I", "I;16")  # one id per pixel; a palette's colours mean nothing


@dataclass(frozen=True)
class Photos:
    """A benchmark of files. `ids[k]` is the pixel value of class k; `void` values do not count."""

    name: str
    files: tuple[tuple[str, Path, Path], ...]  # key, photo, mask
    classes: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    ids: tuple[int, ...]
    void: tuple[int, ...]
    background: int | None = None
    official: int | None = None

    @property
    def ignore(self) -> int:
        return 255 if len(self.classes) <= 255 else 65535

    def __len__(self) -> int:
        return len(self.files)

    def items(self, indices: Iterable[int] | None = None) -> Iterator[Item]:
        """Photos as their pixels are stored: masks are drawn on these, so EXIF turns nothing."""
        for index in range(len(self)) if indices is None else indices:
            key, photo, mask = self.files[index]
            image, labels = as_stored(photo), self._labels(mask)
            if labels.shape != (image.height, image.width):
                raise ValueError(
                    f"{mask} is {labels.shape[0]}x{labels.shape[1]} and its photo "
                    f"{image.height}x{image.width} (height x width); masks need their photo's size"
                )
            yield Item(key, image, labels)

    def _labels(self, mask: Path) -> Int64[np.ndarray, "height width"]:
        with Image.open(mask) as file:
            if file.mode not in MASK_MODES:
                raise ValueError(
                    f"{mask} has mode {file.mode}; masks are palette or grey PNG files "
                    "with one class id per pixel: convert its colours to ids"
                )
            values = np.asarray(file).astype(np.int64)
        try:
            return relabel(values, ids=self.ids, void=self.void, ignore=self.ignore)
        except ValueError as error:
            raise ValueError(f"{mask}: {error}") from None


def as_stored(photo: Path) -> Image.Image:
    """The pixels as stored, and no EXIF that would have them turned later."""
    try:
        with Image.open(photo) as file:
            return Image.fromarray(np.asarray(file.convert("RGB")))
    except UNDECODABLE as error:
        raise ValueError(f"cannot read {photo} as a picture: {why(error)}") from None


def relabel(
    values: Integer[np.ndarray, "height width"],
    *,
    ids: Sequence[int],
    void: Sequence[int],
    ignore: int,
) -> Int64[np.ndarray, "height width"]:
    """Classes 0 to K-1 from the pixel values of a mask; `void` values become `ignore`.

    With `ids` 1 to 20 and `void` (0, 255) this is "reduce zero label" (protocol of TCL,
    arXiv 2212.00785): the background of VOC is not scored.

    >>> relabel(np.array([[0, 5, 2, 255]]), ids=(2, 5), void=(0, 255), ignore=255).tolist()
    [[255, 1, 0, 255]]
    """
    table = np.full(max(*ids, *void, 0) + 1, -1)
    table[list(void)] = ignore
    table[list(ids)] = np.arange(len(ids))
    if values.min(initial=0) < 0 or values.max(initial=0) >= len(table):
        outside = np.unique(values[(values < 0) | (values >= len(table))])
    else:
        labels = table[values]
        if labels.min(initial=0) >= 0:
            return labels
        outside = np.unique(values[labels < 0])
    raise ValueError(
        f"pixel values {', '.join(map(str, outside[:5]))} are no class and not void; "
        "add them to the list of classes (the name 'unlabelled' makes them void)"
    )


def pair(
    photos: Path,
    masks: Path,
    *,
    stems: Sequence[str] | None,
    endings: tuple[str, ...] = MASK_ENDINGS,
) -> tuple[tuple[str, Path, Path], ...]:
    """(key, photo, mask) of each stem, or of every file in the two folders if None.

    Both must be there for each, so that a wrong folder is found before an hour of scoring.
    """
    found_photos = _by_stem(photos, PHOTOS)
    found_masks = _by_stem(masks, endings)
    keys = sorted(found_photos.keys() | found_masks.keys()) if stems is None else stems
    if not keys:
        raise ValueError(f"no photos to score: {photos} and {masks} need a photo and a mask each")
    if repeated := len(keys) - len(set(keys)):
        raise ValueError(f"{repeated} photos are listed twice in the split; list each one once")
    for folder, found, ending in (
        (photos, found_photos, PHOTOS[0]),
        (masks, found_masks, endings[0]),
    ):
        if missing := [key for key in keys if key not in found]:
            raise ValueError(
                f"{folder / missing[0]}{ending} is missing ({len(missing)} of {len(keys)} "
                f"are); each photo in {photos.name}/ needs a mask in {masks.name}/ of the same "
                "name: add the files, or list the complete ones in a split file"
            )
    return tuple((key, found_photos[key], found_masks[key]) for key in keys)


def stems_in(path: Path) -> tuple[str, ...]:
    """The photos that a split file lists, one per line, without the file's ending."""
    return tuple(line.strip() for line in path.read_text().splitlines() if line.strip())


def synonyms(text: str) -> tuple[str, ...]:
    """
    >>> synonyms("sofa | couch")
    ('sofa', 'couch')
    """
    return tuple(name.strip() for name in text.split("|") if name.strip())


def names_in(path: Path) -> dict[str, tuple[str, ...]]:
    """Lines `class: name | synonym` of a file, without its comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.split(":") for line in lines if line and not line.startswith("#")]
    return {name: synonyms(said) for name, said in pairs}


def _by_stem(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder} is missing; it holds one file per photo ({', '.join(endings)})")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in endings or path.name.startswith("."):
            continue
        if path.stem in found:
            raise ValueError(f"{found[path.stem]} and {path.name} have one name; remove one")
        found[path.stem] = path
    return found
