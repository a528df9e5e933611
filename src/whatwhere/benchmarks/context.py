"""PASCAL Context: 59 things and stuff and the background, on the photos of VOC 2010."""

from whatwhere.benchmarks.folder import asked
from whatwhere.benchmarks.photos import Photos, home_of, pair, stems_of
from whatwhere.class_lists import classes

FOLDERS = ("SegmentationClassContext", "JPEGImages", "ImageSets/SegmentationContext")
OFFICIAL = 5104  # photos of val in mmsegmentation's list, which published numbers are on


def load(root: str, split: str = "val") -> Photos:
    """The photos of a split of a VOCdevkit folder, with 60 classes, the background among them.

    Masks and lists are those that mmsegmentation's pascal_context.py makes of trainval_merged.json:
    0 is the background, 1 to 59 the classes by alphabet.
    root: VOCdevkit, what it is in, or its VOC2010.
    split: a file in ImageSets/SegmentationContext (val for val.txt), or the path of a .txt file.
    """
    home = home_of(root, "VOC2010", "VOCdevkit/VOC2010", holds=FOLDERS)
    masks, photos, lists = FOLDERS
    said = classes("context")
    return Photos(
        name="context",
        files=pair(home / photos, home / masks, stems=stems_of(home / lists, split)),
        classes=("background", *said),
        names=(("background",), *asked([(name,) for name in said.values()])),
        ids=tuple(range(60)),
        void=(255,),
        background=0,
        official=OFFICIAL,
    )
