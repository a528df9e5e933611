"""Cityscapes: streets of German cities, seen from a car, in 19 classes."""

from whatwhere.benchmarks.folder import asked
from whatwhere.benchmarks.photos import Photos, check_split, home_of, pair_by_folder
from whatwhere.class_lists import classes

FOLDERS = ("gtFine", "leftImg8bit")
PHOTO = "_leftImg8bit.png"
TRAIN_IDS = "_gtFine_labelTrainIds.png"
LABEL_IDS = "_gtFine_labelIds.png"
OFFICIAL = {"train": 2975, "val": 500}
SCORED = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)  # the labelIds of the 19 classes


def load(root: str, split: str = "val") -> Photos:
    """The photos of a split, with the 19 classes that are scored.

    Masks are *_gtFine_labelTrainIds.png (0 to 18, 255 does not count), as published code reads
    them. The archive comes without these, and cityscapesscripts makes them; where there are none,
    *_gtFine_labelIds.png are read, which say the same in other numbers.
    root: the folder that holds gtFine and leftImg8bit.
    split: val or train. The masks of test are not public.
    """
    check_split(split, OFFICIAL, of="Cityscapes")
    home = home_of(root, "cityscapes", holds=FOLDERS)
    masks, photos = (home / folder / split for folder in FOLDERS)
    made = any(masks.glob(f"*/*{TRAIN_IDS}"))
    ids = tuple(range(19)) if made else SCORED
    others = () if made else tuple(number for number in range(34) if number not in SCORED)
    said = classes("cityscapes")
    return Photos(
        name="cityscapes",
        files=pair_by_folder(
            photos, masks, endings=(TRAIN_IDS if made else LABEL_IDS,), photo_endings=(PHOTO,)
        ),
        classes=tuple(said),
        names=asked([(name,) for name in said.values()]),
        ids=ids,
        void=(*others, 255),
        official=OFFICIAL[split],
    )
