"""PASCAL VOC 2012, 20 things and the background: the benchmark every paper of the field reports."""

from pathlib import Path

from whatwhere.benchmarks.photos import Photos, names_in, pair, stems_in

OFFICIAL = {"train": 1464, "val": 1449, "trainval": 2913}


def load(root: str, split: str = "val") -> Photos:
    """The photos of a split of a VOCdevkit folder, with 21 classes.

    root: VOCdevkit, what it is in, its VOC2012, or any folder with JPEGImages, SegmentationClass
    and ImageSets/Segmentation.
    split: a file there (val for val.txt), or the path of a .txt file; one photo per line.
    Published numbers are on val, so every split without an official size is held against that.
    """
    home = _home(Path(root))
    lists = home / "ImageSets" / "Segmentation"
    listed = Path(split) if split.endswith(".txt") else lists / f"{split}.txt"
    if not listed.is_file():
        there = ", ".join(sorted(path.stem for path in lists.glob("*.txt"))) or "none"
        raise ValueError(f"there is no split file {listed}; splits in {lists}: {there}")
    names = names_in(Path(__file__).with_name("voc_names.txt"))
    return Photos(
        name="voc",
        files=pair(home / "JPEGImages", home / "SegmentationClass", stems=stems_in(listed)),
        classes=tuple(names),
        names=tuple(names.values()),
        ids=tuple(range(21)),
        void=(255,),
        background=0,
        official=OFFICIAL.get(split, OFFICIAL["val"]),
    )


def _home(root: Path) -> Path:
    for home in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (home / "JPEGImages").is_dir():
            return home
    raise ValueError(
        f"no JPEGImages in {root}, {root / 'VOC2012'} or {root / 'VOCdevkit' / 'VOC2012'}; give "
        "the folder that holds JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/"
    )
