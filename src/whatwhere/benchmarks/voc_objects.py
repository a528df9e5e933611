"""PASCAL VOC 2012 by objects: two dogs are two segments, whatever they are called."""

from pathlib import Path

import numpy as np
from jaxtyping import Int64
from PIL import Image

from whatwhere.benchmarks import voc
from whatwhere.benchmarks.segments import Segments
from whatwhere.pictures import UNDECODABLE, why


def load(root: str, split: str = "val") -> Segments:
    """As `voc`, with the masks in SegmentationObject, which number the objects of each photo."""
    classes = voc.load(root, split)
    files = tuple(
        (key, photo, mask.parent.with_name("SegmentationObject") / mask.name)
        for key, photo, mask in classes.files
    )
    if missing := [file for _, _, file in files if not file.is_file()]:
        raise ValueError(
            f"{missing[0]} is missing ({len(missing)} of {len(files)} are); VOC's archive has a "
            "mask of objects for each mask of classes. Classes alone: --benchmark voc --how ..."
        )
    return Segments(
        "voc_objects", files, _read, ignore=255, background=0, official=classes.official
    )


def _read(file: Path) -> list[Int64[np.ndarray, "height width"]]:
    try:
        with Image.open(file) as mask:
            numbers = np.asarray(mask)
    except UNDECODABLE as error:
        raise ValueError(f"cannot read {file} as a picture: {why(error)}") from None
    if numbers.ndim != 2:
        raise ValueError(f"{file} has colours for numbers; give VOC's palette files as they are")
    return [numbers.astype(np.int64)]
