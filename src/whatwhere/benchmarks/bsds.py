"""BSDS500: photos that several people each cut into segments, without names (Arbelaez 2011)."""

from pathlib import Path

import numpy as np
from jaxtyping import Int64

from whatwhere.benchmarks import matlab
from whatwhere.benchmarks.photos import pair
from whatwhere.benchmarks.segments import Segments

OFFICIAL = {"train": 200, "val": 100, "test": 200}


def load(root: str, split: str = "val") -> Segments:
    """The photos of a split and all that people drew on them.

    root: BSR, BSDS500 or data of the official archive, or a folder that holds one split directly in
    images/ (.jpg) and groundTruth/ (.mat).
    """
    if split not in OFFICIAL:
        raise ValueError(f"BSDS500 has no split {split!r}; take {', '.join(OFFICIAL)}")
    home = _home(Path(root).expanduser())
    inside = split if (home / "images" / split).is_dir() else ""
    return Segments(
        name="bsds",
        files=pair(
            home / "images" / inside, home / "groundTruth" / inside, stems=None, endings=(".mat",)
        ),
        read=_read,
        ignore=-1,  # every pixel counts; segments are numbered from 1
        official=OFFICIAL[split],
    )


def _home(root: Path) -> Path:
    places = (root, root / "data", root / "BSDS500" / "data")
    for home in places:
        if (home / "groundTruth").is_dir():
            return home
    raise ValueError(
        f"no groundTruth in {', '.join(map(str, places))}; give the folder that holds images/ and "
        "groundTruth/"
    )


def _read(file: Path) -> list[Int64[np.ndarray, "height width"]]:
    maps = [array.astype(np.int64) for array in matlab.fields(file, "Segmentation")]
    if not maps:
        raise ValueError(f"{file} holds no Segmentation; it is no ground truth of BSDS500")
    return maps
