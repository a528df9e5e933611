"""COCO-Object: the 80 things of COCO 2017, and everything else as background."""

import numpy as np
from jaxtyping import Int64
from PIL import Image

from whatwhere.benchmarks import coco_stuff
from whatwhere.benchmarks.folder import asked
from whatwhere.benchmarks.photos import Photos, one_id
from whatwhere.class_lists import classes

STUFF = 91  # the least pixel value that is no thing
THINGS = tuple(number for number in range(STUFF) if number not in coco_stuff.UNUSED)


def load(root: str, split: str = "val") -> Photos:
    """The photos of a split, with 81 classes, the background among them.

    Masks are those of the archive stuffthingmaps, of which GroupViT's evaluation made its own.
    Whatever is no thing is background there, unlabelled pixels (255) too, so every pixel counts.
    root, split: as of `coco_stuff.folders`.
    """
    photos, masks = coco_stuff.folders(root, split)
    said = classes("coco_object")
    return Photos(
        name="coco_object",
        files=coco_stuff.pairs(photos, masks, ending=".png"),
        classes=("background", *said),
        names=(("background",), *asked([(name,) for name in said.values()])),
        ids=(STUFF, *THINGS),
        void=(),
        background=0,
        official=coco_stuff.OFFICIAL[split],
        values=_one_background,
    )


def _one_background(mask: Image.Image) -> Int64[np.ndarray, "height width"]:
    return np.minimum(one_id(mask), STUFF)
