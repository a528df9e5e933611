"""Say which words are where in photos: an overlay and a label map for each.

example:
  whatwhere segment holiday/*.jpg --names "dog|puppy, grass, sky" --out found
  whatwhere segment holiday/*.jpg --names "dog|puppy, grass, sky" --model runs/mine

For every photo, found/NAME-overlay.jpg shows the names in colour and found/NAME-labels.png holds
the number of the name at each pixel. | joins synonyms. Folders are searched for photos.
"""

from __future__ import annotations

import argparse
import glob
import json
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from whatwhere.commands import add_model, add_reading, open_reading

if TYPE_CHECKING:  # pictures are not needed for --help
    from PIL import Image


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="file, folder or glob")
    parser.add_argument("--names", required=True, help='what to look for: "dog, grass|lawn, sky"')
    add_model(parser)
    parser.add_argument("--out", default="segmented", metavar="DIR", help="default: segmented")
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    files = find_photos(args.photos)
    from whatwhere.concepts.names import parse_names

    parse_names(args.names)
    segment, background = open_reading(args)

    def work(photo: Image.Image, name: str) -> dict:
        found = segment(photo, args.names, background=background)
        labels = found.save(Path(args.out) / f"{name}-labels.png")
        overlay = Path(args.out) / f"{name}-overlay.jpg"
        found.overlay().save(overlay, quality=92)
        return {
            "overlay": str(overlay),
            "labels": str(labels),
            "names": list(found.names),
            "unknown": list(found.unknown),
            "shares": {name: round(share, 4) for name, share in found.shares().items()},
            "confidence": round(float(found.confidence.mean()), 4),
        }

    return every_photo(files, work, did="segmented", says=_largest, as_json=args.json)


def _largest(one: dict) -> str:
    shares = [f"{name} {share:.0%}" for name, share in one["shares"].items() if share >= 0.01]
    return f"{one['overlay']}: {', '.join(shares)}"


def every_photo(
    files: list[Path],
    work: Callable[[Image.Image, str], dict],
    *,
    did: str,
    says: Callable[[dict], str],
    as_json: bool,
) -> int:
    """`work(photo, name)` on every photo that can be read, and what became of each; the exit code.

    The name is one that no other photo's results have.
    """
    from tqdm import tqdm

    from whatwhere.segmenter.photos import read_photo

    done, skipped = [], []
    for file, name in tqdm(
        outputs(files).items(), desc=did, unit=" photos", disable=len(files) < 3
    ):
        try:
            photo = read_photo(file)
        except ValueError as error:
            skipped.append({"photo": str(file), "reason": str(error)})
            continue
        done.append({"photo": str(file)} | work(photo, name))
    if as_json:
        print(json.dumps({"photos": done, "skipped": skipped}, ensure_ascii=False))
        return 0 if done else 1
    for one in done:
        print(says(one))
    for one in skipped:
        print(f"skipped {one['photo']}: {one['reason']}", file=sys.stderr)
    if skipped:
        print(f"{len(done)} photos {did}, {len(skipped)} skipped", file=sys.stderr)
    return 0 if done else 1


def find_photos(given: list[str]) -> list[Path]:
    """Files as given, the photos in folders, and what globs match; each once, in order."""
    from whatwhere.pictures import PHOTOS

    found: dict[Path, None] = {}
    for text in given:
        path = Path(text).expanduser()
        if path.is_dir():
            inside = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in PHOTOS]
            if not inside:
                raise ValueError(f"no photos in {path} (looked for {', '.join(PHOTOS)})")
        elif path.is_file():
            inside = [path]
        else:
            inside = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
            inside = [p for p in inside if p.is_file()]
            if not inside:
                raise ValueError(f"no photo at {text}")
        found |= dict.fromkeys(inside)
    return list(found)


def outputs(files: list[Path]) -> dict[Path, str]:
    """A name for each file's results; photos of one name get a number."""
    names: dict[str, Path] = {}
    for file in files:
        numbered = (f"{file.stem}-{count}" for count in range(2, len(files) + 1))
        names[next(n for n in chain([file.stem], numbered) if n not in names)] = file
    return {file: name for name, file in names.items()}
