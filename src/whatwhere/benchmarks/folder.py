"""Any folder of photos and masks is a benchmark: a user's own, CamVid, dense COCO."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from whatwhere.benchmarks.photos import Photos, names_in, pair, stems_in, synonyms

Names = tuple[str, ...]

CLASS_FILES = ("classes.json", "classes.txt", "classes.yaml", "classes.yml")
UNLABELLED = ("unlabelled", "unlabeled", "void", "ignore")
VOID = (255, 65535)  # unless a class has this id


def load(root: str, split: str = "all") -> Photos:
    """Photos in images/, masks of the same name in masks/, and what their ids mean.

    The list of classes is one of
      classes.json   ["sky", "building"], in the order of the ids, or {"7": "sky"}
      classes.txt    a name per line, in the order of the ids
      classes.yaml   `  7: sky` lines under `names:` or `classes:`; nothing else of YAML is read
    A name may hold synonyms, "sofa | couch": the first is the key in tables, and these are asked
    for and no others. Other names are asked for as folder_names.txt has them, if it does: a "tv" is
    a television too. A class called unlabelled, unlabeled, void or ignore does not count, nor do
    pixels of value 255 or 65535 unless a class has that id. A class called background is left to
    the segmenter's rule.
    split: "all", or a .txt file (in `root` or anywhere) with one photo per line, no ending.
    """
    home = Path(root)
    if not home.is_dir():
        raise ValueError(f"there is no folder {home}; give one with images/, masks/ and classes")
    listed = _listed(home)
    labelled = {i: names for i, names in listed.items() if names[0].lower() not in UNLABELLED}
    classes = tuple(names[0] for names in labelled.values())
    if twice := sorted({name for name in classes if classes.count(name) > 1}):
        raise ValueError(f"classes of {home} have one name for several ids: {', '.join(twice)}")
    unlabelled = tuple(i for i in (*listed, *VOID) if i not in labelled)
    return Photos(
        name=home.resolve().name,
        files=pair(home / "images", home / "masks", stems=_stems(home, split)),
        classes=classes,
        names=asked(tuple(labelled.values())),
        ids=tuple(labelled),
        void=unlabelled,
        background=classes.index("background") if "background" in classes else None,
    )


def spoken(name: str) -> str:
    """How a caption says a class: blanks for joining marks, without COCO's words of bookkeeping.

    COCO's panoptic list ends names in -stuff, -other and -merged, which say how the list was
    made and not what is seen.

    >>> spoken("sky-other-merged"), spoken("floor-wood"), spoken("traffic light")
    ('sky', 'floor wood', 'traffic light')
    """
    words = re.split(r"[-_]", name)
    kept = [words[0], *(word for word in words[1:] if word not in ("stuff", "other", "merged"))]
    return " ".join(word for word in kept if word)


def asked(listed: Sequence[Names]) -> tuple[Names, ...]:
    """What to ask for each class of a list: its own synonyms, or those of folder_names.txt.

    No word may stand for two classes. It is left to the class that the list calls so, and to none
    where two have it from our file.

    >>> asked([("tv",), ("sofa", "settee"), ("grass-merged",), ("zebra",)])
    (('tv', 'television'), ('sofa', 'settee'), ('grass', 'lawn'), ('zebra',))
    >>> asked([("dining table",), ("table-merged",), ("Rug",), ("carpet",)])
    (('dining table', 'kitchen table'), ('table', 'coffee table'), ('rug',), ('carpet',))
    """
    known = names_in(Path(__file__).with_name("folder_names.txt"))
    own = [tuple(map(spoken, names)) for names in listed]
    ours = [known.get(names[0].lower(), ()) if len(names) == 1 else () for names in own]
    claims = Counter(
        word
        for pair in zip(own, ours, strict=True)
        for word in {name.lower() for names in pair for name in names}
    )
    rows = []
    for names, others in zip(own, ours, strict=True):
        called = {name.lower() for name in names}
        kept = tuple(name for name in others if name in called or claims[name] == 1)
        rows.append(kept or names)
    return tuple(rows)


def _stems(home: Path, split: str) -> tuple[str, ...] | None:
    if split == "all":
        return None
    for path in (home / split, Path(split)):
        if path.is_file():
            return stems_in(path)
    raise ValueError(
        f"there is no split file {home / split} nor {split}; give 'all' or a file with one photo "
        "per line"
    )


def _listed(home: Path) -> dict[int, tuple[str, ...]]:
    found = [home / name for name in CLASS_FILES if (home / name).is_file()]
    if len(found) != 1:
        there = ", ".join(path.name for path in found) or "none"
        raise ValueError(f"{home} needs one of {', '.join(CLASS_FILES)}; it has {there}")
    path = found[0]
    read = {".json": _from_json, ".txt": _from_lines}.get(path.suffix, _from_yaml)
    names = {i: synonyms(text) for i, text in read(path).items()}
    if not names or not all(names.values()):
        raise ValueError(f"{path} {'has an empty name' if names else 'lists no class'}; see `load`")
    return dict(sorted(names.items()))


def _from_json(path: Path) -> dict[int, str]:
    listed = json.loads(path.read_text())
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        return dict(enumerate(listed))
    if isinstance(listed, dict) and all(
        i.isdecimal() and isinstance(name, str) for i, name in listed.items()
    ):
        return {int(i): name for i, name in listed.items()}
    raise ValueError(f'{path} is neither a list of names nor an object {{"id": "name"}}')


def _from_lines(path: Path) -> dict[int, str]:
    return dict(enumerate(path.read_text().rstrip().splitlines()))


def _from_yaml(path: Path) -> dict[int, str]:
    block = re.search(r"^(?:names|classes):[ \t]*\n((?:[ \t]+.*\n|[ \t]*\n)+)", _text(path), re.M)
    lines = block[1].splitlines() if block else []
    entries = [re.fullmatch(r"\s+(\d+)\s*:\s*(.+)", line) for line in lines if line.strip()]
    names = {int(entry[1]): _bare(entry[2]) for entry in entries if entry}
    if not names or len(names) != len(entries):
        raise ValueError(f"{path} has lines other than '  id: name' under 'names:' or 'classes:'")
    return names


def _text(path: Path) -> str:
    """Without comments, and with an end to the last line."""
    lines = path.read_text().splitlines()
    return "".join(re.sub(r"(^|\s)#.*", "", line) + "\n" for line in lines)


def _bare(name: str) -> str:
    name = name.strip()
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"" else name
