"""Learn from captions where nothing that was asked for is: the model's background rule.

example:
  whatwhere calibrate runs/mine --captions my_photos/ --out mine-calibrated
  whatwhere segment photo.jpg --names "dog, grass" --model mine-calibrated

Photos that were held out of the training are asked for concepts that their captions mention and for
others; the score that tells the two apart best becomes the model's rule, as --background score:X
would set it. No mask is used. --out is a checkpoint for reading photos, in half the bytes; without
it the rule is only printed.
"""

from __future__ import annotations

import argparse
import json

from whatwhere.commands import MODEL, add_device, add_import, add_json, add_set


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL)
    parser.add_argument(
        "--captions", required=True, metavar="PATH", help="those that the model was trained on"
    )
    parser.add_argument("--kind", help="what PATH is, where it can be read in two ways")
    parser.add_argument("--out", metavar="DIR", help="folder for the model with its rule")
    add_set(parser, "change how photos are read, e.g. side=640")
    add_device(parser)
    add_import(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from whatwhere.runs.calibrating import calibrate

    found = calibrate(
        args.model,
        args.captions,
        kind=args.kind,
        out=args.out,
        overrides=args.set,
        device=args.device,
        imports=args.imports,
    )
    if args.json:
        print(json.dumps(vars(found)))
        return 0
    print(
        f"background: score:{found.threshold:.4f}, wrong in {found.error:.0%} of either kind on "
        f"{found.pictures} photos"
    )
    if args.out:
        print(f"next: whatwhere segment PHOTO --names ... --model {args.out}")
    return 0
