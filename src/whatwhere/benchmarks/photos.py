"""Photos with one mask file each, read one at a time: what benchmarks on disk are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Integer
from PIL import Image

from whatwhere.benchmarks import Item
from whatwhere.pictures import PHOTOS, UNDECODABLE, why

MASK_ENDINGS = (".png",)
MASK_MODES = ("1", "L", "P", "I", "I;16")  # one id per pixel; a palette's colours mean nothing


def as_stored(photo: Path) -> Image.Image:
    """The pixels as stored, and no EXIF that would have them turned later."""
    return Image.fromarray(np.asarray(_opened(photo, "RGB")))


def one_id(mask: Image.Image) -> Int64[np.ndarray, "height width"]:
    """The value of each pixel of a mask, which is the id of its class."""
    if mask.mode not in MASK_MODES:
        raise ValueError(
            f"its mode is {mask.mode}; masks are palette or grey PNG files with one class id per "
            "pixel: convert its colours to ids"
        )
    return np.asarray(mask).astype(np.int64)


@dataclass(frozen=True)
class Photos:
    """A benchmark of files. `ids[k]` is the value of class k; `void` values do not count.

    values    the value of each pixel of a mask file, where that is not what is stored
    shown     a photo as the segmenter is to see it, where that is not as it is stored
    """

    name: str
    files: tuple[tuple[str, Path, Path], ...]  # key, photo, mask
    classes: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    ids: tuple[int, ...]
    void: tuple[int, ...]
    background: int | None = None
    official: int | None = None
    values: Callable[[Image.Image], Int64[np.ndarray, "height width"]] = one_id
    shown: Callable[[Image.Image], Image.Image] | None = None

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
            yield Item(key, image if self.shown is None else self.shown(image), labels)

    def _labels(self, mask: Path) -> Int64[np.ndarray, "height width"]:
        stored = _opened(mask)
        try:
            values = self.values(stored)
            return relabel(values, ids=self.ids, void=self.void, ignore=self.ignore)
        except ValueError as error:
            raise ValueError(f"{mask}: {error}") from None


def without_background(benchmark: Photos, *, name: str) -> Photos:
    """The same with pixels of the background, its first class, left out."""
    assert benchmark.background == 0
    return replace(
        benchmark,
        name=name,
        classes=benchmark.classes[1:],
        names=benchmark.names[1:],
        ids=benchmark.ids[1:],
        void=(benchmark.ids[0], *benchmark.void),
        background=None,
    )


def check_split(split: str, known: Iterable[str], *, of: str) -> None:
    """ValueError for a split whose masks are not there or not public."""
    if split not in known:
        raise ValueError(f"{of} has no split {split!r} with masks; take {' or '.join(known)}")


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
        f"pixel values {', '.join(map(str, outside[:5]))} are no class and not void; take the "
        "masks of this set, or add them to your list of classes ('unlabelled' makes them void)"
    )


def pair(
    photos: Path,
    masks: Path,
    *,
    stems: Sequence[str] | None,
    endings: tuple[str, ...] = MASK_ENDINGS,
    photo_endings: tuple[str, ...] = PHOTOS,
) -> tuple[tuple[str, Path, Path], ...]:
    """(key, photo, mask) of each stem, or of every file in the two folders if None.

    A stem is a file's name without its ending. Both must be there for each, so that a wrong folder
    is found before an hour of scoring.
    """
    found_photos = _by_stem(photos, photo_endings)
    found_masks = _by_stem(masks, endings)
    keys = sorted(found_photos.keys() | found_masks.keys()) if stems is None else stems
    if not keys:
        raise ValueError(f"no photos to score: {photos} and {masks} need a photo and a mask each")
    if repeated := len(keys) - len(set(keys)):
        raise ValueError(f"{repeated} photos are listed twice in the split; list each one once")
    for folder, found, ending in (
        (photos, found_photos, photo_endings[0]),
        (masks, found_masks, endings[0]),
    ):
        if missing := [key for key in keys if key not in found]:
            raise ValueError(
                f"{folder / missing[0]}{ending} is missing ({len(missing)} of {len(keys)} "
                f"are); each photo in {photos.name}/ needs a mask in {masks.name}/ of the same "
                "name: add the files, or list the complete ones in a split file"
            )
    return tuple((key, found_photos[key], found_masks[key]) for key in keys)


def pair_by_folder(
    photos: Path, masks: Path, *, endings: tuple[str, ...], photo_endings: tuple[str, ...] = PHOTOS
) -> tuple[tuple[str, Path, Path], ...]:
    """As `pair`, where photos and masks lie in folders of the same names: of cities, of classes."""
    return tuple(
        pairs
        for folder in folders_in(photos)
        for pairs in pair(
            folder, masks / folder.name, stems=None, endings=endings, photo_endings=photo_endings
        )
    )


def folders_in(folder: Path) -> tuple[Path, ...]:
    """The folders in a folder, by name, at least one."""
    inside = [path for path in folder.glob("*") if path.is_dir() and path.name[0] != "."]
    if not inside:
        raise ValueError(f"{folder} has no folders of photos; give the set as it is published")
    return tuple(sorted(inside))


def home_of(root: str, *inside: str, holds: Sequence[str]) -> Path:
    """The first of `root` and the folders `inside` it in which the first of `holds` is a folder."""
    places = [Path(root).expanduser() / place for place in ("", *inside)]
    for place in places:
        if (place / holds[0]).is_dir():
            return place
    raise ValueError(
        f"no {holds[0]} in {' or '.join(map(str, places))}; give the folder that holds "
        f"{' and '.join(f'{name}/' for name in holds)}"
    )


def stems_of(lists: Path, split: str) -> tuple[str, ...]:
    """The photos of a split: those in `lists`/`split`.txt, or in the .txt file that it names."""
    listed = Path(split).expanduser() if split.endswith(".txt") else lists / f"{split}.txt"
    if not listed.is_file():
        there = ", ".join(sorted(path.stem for path in lists.glob("*.txt"))) or "none"
        raise ValueError(f"there is no split file {listed}; splits in {lists}: {there}")
    return stems_in(listed)


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
        lower = path.name.lower()
        ending = next((ending for ending in endings if lower.endswith(ending.lower())), "")
        stem = path.name[: -len(ending)] if ending else ""
        if not stem or stem.startswith("."):
            continue
        if stem in found:
            raise ValueError(f"{found[stem]} and {path.name} have one name; remove one")
        found[stem] = path
    return found


def _opened(file: Path, mode: str | None = None) -> Image.Image:
    try:
        with Image.open(file) as picture:
            return picture.copy() if mode is None else picture.convert(mode)
    except UNDECODABLE as error:
        raise ValueError(f"cannot read {file} as a picture: {why(error)}") from None
