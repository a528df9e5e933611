"""ADE20K's scene parsing benchmark: 150 things and stuff, indoors and out."""

from whatwhere.benchmarks.folder import asked
from whatwhere.benchmarks.photos import Photos, check_split, home_of, pair
from whatwhere.class_lists import classes

FOLDERS = ("annotations", "images")
SPLITS = {"train": "training", "val": "validation"}
OFFICIAL = {"train": 20210, "val": 2000}


def load(root: str, split: str = "val") -> Photos:
    """The photos of a split of ADEChallengeData2016, with 150 classes.

    Masks have 1 to 150; 0 is "other" and does not count ("reduce zero label").
    root: ADEChallengeData2016, or what it is in.
    split: val (the folder validation) or train (training).
    """
    check_split(split, SPLITS, of="ADE20K")
    home = home_of(root, "ADEChallengeData2016", "ade/ADEChallengeData2016", holds=FOLDERS)
    masks, photos = (home / folder / SPLITS[split] for folder in FOLDERS)
    said = classes("ade20k")
    return Photos(
        name="ade20k",
        files=pair(photos, masks, stems=None),
        classes=tuple(said),
        names=asked([(name,) for name in said.values()]),
        ids=tuple(range(1, 151)),
        void=(0, 255),
        official=OFFICIAL[split],
    )
