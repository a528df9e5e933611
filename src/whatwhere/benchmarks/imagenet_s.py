"""ImageNet-S (arXiv 2106.03149): photos of ImageNet and where on them what they show is."""

from pathlib import Path

import numpy as np
from jaxtyping import Int64
from PIL import Image

from whatwhere.benchmarks.photos import (
    Photos,
    check_split,
    folders_in,
    home_of,
    names_in,
    pair_by_folder,
)

SPLITS = {"train": "train-semi", "val": "validation"}
OFFICIAL = {
    50: {"train": 500, "val": 752},
    300: {"train": 3000, "val": 4097},
    919: {"train": 9190, "val": 12419},
}
MOST, LONG = 1000 * 1000, 1000  # pixels


def load(root: str, split: str = "val") -> Photos:
    """The photos of a split of one of the three subsets, with 51, 301 or 920 classes.

    Masks are coloured: red + 256 * green is the class, 0 what is none of them (the background), and
    1000 does not count. Classes are numbered from 1 by the WordNet ids of their folders in order.
    Tables call them as we do in imagenet_s_names.txt: of the set's own names two are "crane".
    Photos of more than a million pixels are shown with a long side of 1000, and their maps
    enlarged again to be scored, as CoCu's evaluation does; how they are resized is not told
    (bilinear here).
    root: ImageNetS50, ImageNetS300 or ImageNetS919, which hold validation, validation-segmentation.
    split: val (the folder validation) or train (train-semi). The masks of test are not public.
    """
    check_split(split, SPLITS, of="ImageNet-S")
    folders = (f"{SPLITS[split]}-segmentation", SPLITS[split])
    home = home_of(root, holds=folders)
    masks, photos = (home / folder for folder in folders)
    said = _names(photos)
    return Photos(
        name=f"imagenet_s_{len(said)}",
        files=pair_by_folder(photos, masks, endings=(".png",)),
        classes=("background", *(names[0] for names in said)),
        names=(("background",), *said),
        ids=tuple(range(len(said) + 1)),
        void=(1000,),
        background=0,
        official=OFFICIAL[len(said)][split],
        values=_red_and_green,
        shown=shrunk,
    )


def shrunk(photo: Image.Image) -> Image.Image:
    """At most a million pixels of a photo.

    >>> shrunk(Image.new("RGB", (1600, 800))).size, shrunk(Image.new("RGB", (1200, 800))).size
    ((1000, 500), (1200, 800))
    """
    if photo.width * photo.height <= MOST:
        return photo
    width, height = (max(round(side * LONG / max(photo.size)), 1) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.BILINEAR)


def _names(photos: Path) -> list[tuple[str, ...]]:
    """How to say the classes of these folders, in their order, of which none may be missing."""
    known = names_in(Path(__file__).with_name("imagenet_s_names.txt"))
    found = [folder.name for folder in folders_in(photos)]
    if strange := [name for name in found if name not in known]:
        raise ValueError(f"{photos / strange[0]} is no class of ImageNet-S; give its folders alone")
    if len(found) not in OFFICIAL:
        raise ValueError(
            f"{photos} has {len(found)} classes; give all 50, 300 or 919 of a subset, for a class "
            "is numbered by the folders before its own"
        )
    return [known[name] for name in found]


def _red_and_green(mask: Image.Image) -> Int64[np.ndarray, "height width"]:
    if mask.mode != "RGB":
        raise ValueError(f"its mode is {mask.mode}; masks of ImageNet-S are RGB as published")
    colours = np.asarray(mask).astype(np.int64)
    return colours[..., 0] + 256 * colours[..., 1]
