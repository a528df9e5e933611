"""PASCAL VOC 2012, 20 things and the background: the benchmark every paper of the field reports."""

from pathlib import Path

from whatwhere.benchmarks.photos import Photos, pair, stems_in, synonyms

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
    classes, names = _names()
    return Photos(
        name="voc",
        files=pair(home / "JPEGImages", home / "SegmentationClass", stems=stems_in(listed)),
        classes=classes,
        names=names,
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


def _names() -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    lines = Path(__file__).with_name("voc_names.txt").read_text().splitlines()
    pairs = [line.split(":") for line in lines if line and not line.startswith("#")]
    return tuple(official for official, _ in pairs), tuple(synonyms(text) for _, text in pairs)
