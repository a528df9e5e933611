"""COCO-Stuff 164k: 80 things and 91 sorts of stuff on the photos of COCO 2017."""

from pathlib import Path

from whatwhere.benchmarks.folder import asked
from whatwhere.benchmarks.photos import Photos, check_split, pair
from whatwhere.class_lists import classes

OFFICIAL = {"train": 118287, "val": 5000}
TRAIN_IDS = "_labelTrainIds.png"
UNUSED = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)  # pixel values that no class of COCO has


def load(root: str, split: str = "val") -> Photos:
    """The photos of a split, with 171 classes; 255 does not count.

    Masks are *_labelTrainIds.png (0 to 170), as mmsegmentation makes and reads them, or where there
    are none those of the archive stuffthingmaps (0 to 181, not all used), which say the same.
    root, split: as of `folders`.
    """
    photos, masks = folders(root, split)
    made = any(masks.glob(f"*{TRAIN_IDS}"))
    ids = range(171) if made else (number for number in range(182) if number not in UNUSED)
    said = classes("coco_stuff")
    return Photos(
        name="coco_stuff",
        files=pairs(photos, masks, ending=TRAIN_IDS if made else ".png"),
        classes=tuple(said),
        names=asked([(name,) for name in said.values()]),
        ids=tuple(ids),
        void=(255,),
        official=OFFICIAL[split],
    )


def folders(root: str, split: str) -> tuple[Path, Path]:
    """Where the photos and the masks of a split lie.

    root: mmsegmentation's folder coco_stuff164k, which holds images/val2017 and
    annotations/val2017, or that of COCO, which holds val2017 and stuffthingmaps/val2017.
    split: val or train.
    """
    check_split(split, OFFICIAL, of="COCO-Stuff")
    home, year = Path(root).expanduser(), f"{split}2017"
    photos = _first(home / "images" / year, home / year)
    return photos, _first(home / "annotations" / year, home / "stuffthingmaps" / year)


def pairs(photos: Path, masks: Path, *, ending: str) -> tuple[tuple[str, Path, Path], ...]:
    """Every photo with the mask of this ending; masks of other endings lie in the same folder."""
    stems = sorted(file.stem for file in photos.glob("[!.]*.jpg"))
    return pair(photos, masks, stems=stems, endings=(ending,))


def _first(*places: Path) -> Path:
    for place in places:
        if place.is_dir():
            return place
    raise ValueError(
        f"there is neither {' nor '.join(map(str, places))}; give the folder that holds images/ "
        "and annotations/, or val2017/ and stuffthingmaps/"
    )
