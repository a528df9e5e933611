"""Cut photos into groups of alike patches, without any words: a picture and a label map for each.

example:
  whatwhere group holiday/*.jpg --model runs/mine --out grouped
  whatwhere group photo.jpg --how kmeans --groups 5 \\
    --encoder whatwhere.encoders.mobilenet_v2:MobileNetV2 --set weights=mobilenet_v2.safetensors

For every photo, grouped/NAME-groups.jpg shows its groups beside it, and grouped/NAME-labels.png
holds the number of the group at each pixel, from 0. The vectors of patches come from a model, or
from an image encoder alone, since no words take part. Folders are searched for photos.

--set changes how it is done: side=640, shape=square (squashed, as some encoders need it),
how.centred=neither or how.distance=euclid, and settings of the encoder, such as weights=FILE.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from whatwhere.commands.segment import find_photos, outputs


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="file, folder or glob")
    parser.add_argument("--model", help="the --out folder of a training run, or a released file")
    parser.add_argument("--encoder", metavar="MODULE:CLASS", help="an image encoder without words")
    parser.add_argument(
        "--how",
        default="principal",
        help="principal (default), kmeans, normalized_cut, or module:Class",
    )
    parser.add_argument("--groups", type=int, default=8, metavar="N", help="at most; default: 8")
    parser.add_argument("--out", default="grouped", metavar="DIR", help="default: grouped")
    parser.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting, e.g. side=640 how.centred=neither weights=FILE",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module or file with parts of your own that the model uses",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    files = find_photos(args.photos)
    from tqdm import tqdm

    from whatwhere.runs.grouping import open_grouper, save
    from whatwhere.segmenter.photos import read_photo

    group = open_grouper(
        model=args.model,
        encoder=args.encoder,
        how=args.how,
        overrides=[f"how.num_groups={args.groups}", *args.set],
        device=args.device,
        imports=args.imports,
    )
    names = outputs(files)
    done, skipped = [], []
    for file in tqdm(files, desc="grouping", unit=" photos", disable=len(files) < 3):
        try:
            photo = read_photo(file)
        except ValueError as error:
            skipped.append({"photo": str(file), "reason": str(error)})
            continue
        found = group(photo)
        picture, labels = save(found, Path(args.out), names[file])
        shares = {name: round(share, 4) for name, share in found.shares().items() if share}
        done.append(
            {"photo": str(file), "picture": str(picture), "labels": str(labels), "shares": shares}
        )
    if args.json:
        print(json.dumps({"photos": done, "skipped": skipped}, ensure_ascii=False))
        return 0 if done else 1
    for one in done:
        print(f"{one['picture']}: {len(one['shares'])} groups, {one['labels']}")
    for one in skipped:
        print(f"skipped {one['photo']}: {one['reason']}", file=sys.stderr)
    if skipped:
        print(f"{len(done)} photos grouped, {len(skipped)} skipped", file=sys.stderr)
    return 0 if done else 1
