"""PASCAL VOC 2012, 20 things and the background: the benchmark every paper of the field reports."""

from pathlib import Path

from whatwhere.benchmarks.photos import Photos, home_of, names_in, pair, stems_of

FOLDERS = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
OFFICIAL = {"train": 1464, "val": 1449, "trainval": 2913}


def load(root: str, split: str = "val") -> Photos:
    """The photos of a split of a VOCdevkit folder, with 21 classes.

    root: VOCdevkit, what it is in, its VOC2012, or any folder with JPEGImages, SegmentationClass
    and ImageSets/Segmentation.
    split: a file there (val for val.txt), or the path of a .txt file; one photo per line.
    Published numbers are on val, so every split without an official size is held against that.
    """
    home = home_of(root, "VOC2012", "VOCdevkit/VOC2012", holds=FOLDERS)
    photos, masks, lists = FOLDERS
    names = names_in(Path(__file__).with_name("voc_names.txt"))
    return Photos(
        name="voc",
        files=pair(home / photos, home / masks, stems=stems_of(home / lists, split)),
        classes=tuple(names),
        names=tuple(names.values()),
        ids=tuple(range(21)),
        void=(255,),
        background=0,
        official=OFFICIAL.get(split, OFFICIAL["val"]),
    )
