"""Cut photos into groups of alike patches, without any words: a picture and a label map for each.

example:
  whatwhere group holiday/*.jpg --out grouped
  whatwhere group holiday/*.jpg --model runs/mine
  whatwhere group photo.jpg --how kmeans --groups 5 \\
    --encoder whatwhere.encoders.mobilenet_v2:MobileNetV2 --set weights=mobilenet_v2.safetensors

For every photo, grouped/NAME-groups.jpg shows its groups beside it, and grouped/NAME-labels.png
holds the number of the group at each pixel, from 0. The vectors of patches come from a model, or
from an image encoder alone, since no words take part. Folders are searched for photos.

--set changes how it is done: side=640, shape=square (squashed to side x side),
how.centred=neither or how.distance=euclid, and settings of the encoder, such as weights=FILE.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from whatwhere.commands import MODEL, add_device, add_import, add_json, add_set, from_one
from whatwhere.commands.segment import every_photo, find_photos

if TYPE_CHECKING:  # pictures are not needed for --help
    from PIL import Image


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="file, folder or glob")
    parser.add_argument("--model", help=f"{MODEL}; default, if no encoder is given: tiny")
    parser.add_argument("--encoder", metavar="MODULE:CLASS", help="an image encoder without words")
    parser.add_argument(
        "--how",
        default="principal",
        help="principal (default), kmeans, normalized_cut, or module:Class",
    )
    parser.add_argument(
        "--groups", type=from_one, default=8, metavar="N", help="at most; default: 8"
    )
    parser.add_argument("--out", default="grouped", metavar="DIR", help="default: grouped")
    add_set(parser, "change a setting, e.g. side=640 how.centred=neither weights=FILE")
    add_device(parser)
    add_import(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    files = find_photos(args.photos)
    from whatwhere.runs.grouping import open_grouper, save

    group = open_grouper(
        model=args.model,
        encoder=args.encoder,
        how=args.how,
        overrides=[f"how.num_groups={args.groups}", *args.set],
        device=args.device,
        imports=args.imports,
    )

    def work(photo: Image.Image, name: str) -> dict:
        found = group(photo)
        picture, labels = save(found, Path(args.out), name)
        shares = {name: round(share, 4) for name, share in found.shares().items() if share}
        return {"picture": str(picture), "labels": str(labels), "shares": shares}

    return every_photo(
        files,
        work,
        did="grouped",
        says=lambda one: f"{one['picture']}: {len(one['shares'])} groups, {one['labels']}",
        as_json=args.json,
    )
