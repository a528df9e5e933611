"""Say which words are where in photos: an overlay and a label map for each.

example:
  whatwhere segment holiday/*.jpg --names "dog|puppy, grass, sky" --model runs/mine --out found

For every photo, found/NAME-overlay.jpg shows the names in colour and found/NAME-labels.png holds
the number of the name at each pixel. | joins synonyms. Folders are searched for photos.
"""

from __future__ import annotations

import argparse
import glob
import json
import sys
from itertools import chain
from pathlib import Path

from whatwhere.commands import add_reading, open_reading


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="file, folder or glob")
    parser.add_argument("--names", required=True, help='what to look for: "dog, grass|lawn, sky"')
    parser.add_argument("--model", help="the --out folder of a training run")
    parser.add_argument("--out", default="segmented", metavar="DIR", help="default: segmented")
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    files = find_photos(args.photos)
    from whatwhere.concepts.names import parse_names

    parse_names(args.names)
    if args.model is None:
        raise ValueError(
            "no model is given; train one with `whatwhere train` (or `whatwhere demo`) and name "
            "its folder: --model DIR"
        )
    from tqdm import tqdm

    from whatwhere.segmenter.photos import read_photo

    segment, background = open_reading(args)
    out = Path(args.out)
    done, skipped = [], []
    names = outputs(files)
    for file in tqdm(files, desc="segmenting", unit=" photos", disable=len(files) < 3):
        try:
            picture = read_photo(file)
        except ValueError as error:
            skipped.append({"photo": str(file), "reason": str(error)})
            continue
        found = segment(picture, args.names, background=background)
        stem = out / names[file]
        labels = found.save(stem.with_name(f"{stem.name}-labels.png"))
        overlay = stem.with_name(f"{stem.name}-overlay.jpg")
        found.overlay().save(overlay, quality=92)
        done.append(
            {
                "photo": str(file),
                "overlay": str(overlay),
                "labels": str(labels),
                "names": list(found.names),
                "shares": {name: round(share, 4) for name, share in found.shares().items()},
                "confidence": round(float(found.confidence.mean()), 4),
            }
        )
    _tell(done, skipped, as_json=args.json)
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


def _tell(done: list[dict], skipped: list[dict], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"photos": done, "skipped": skipped}, ensure_ascii=False))
        return
    for one in done:
        largest = [f"{name} {share:.0%}" for name, share in one["shares"].items() if share >= 0.01]
        print(f"{one['overlay']}: {', '.join(largest)}")
    for one in skipped:
        print(f"skipped {one['photo']}: {one['reason']}", file=sys.stderr)
    if skipped:
        print(f"{len(done)} photos segmented, {len(skipped)} skipped", file=sys.stderr)
