"""Teach an image encoder from photos without captions, to start another training from.

example:
  whatwhere pretrain scenes-tower --out runs/tower
  whatwhere train scenes --set image.weights=runs/tower/image.safetensors --out runs/mine

Photos may be files, folders (with all below them) and globs. RECIPE is a name, module:attribute or
file.py:attribute. Ctrl-C keeps what was learned; the same command with --resume goes on.
Several processes: torchrun --nproc-per-node 2 -m whatwhere pretrain ...
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from whatwhere.commands import add_set, show_settings
from whatwhere.commands.segment import find_photos


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="what to train and how; `list` prints the names")
    parser.add_argument("--photos", nargs="+", default=[], metavar="PATH", help="what to look at")
    parser.add_argument("--out", metavar="DIR", help="folder of the run")
    add_set(parser, "change settings")
    parser.add_argument("--show", action="store_true", help="print every setting and stop")
    parser.add_argument("--resume", action="store_true", help="go on with the run in DIR")
    parser.add_argument("--json", action="store_true", help="print the last report as JSON")


def run(args: argparse.Namespace) -> int:
    from whatwhere import recipes

    if args.recipe == "list":
        print("\n".join(recipes.names(recipes.Pretraining)))
        return 0
    recipe = recipes.override(recipes.load(args.recipe, recipes.Pretraining), args.set)
    if args.show:
        return show_settings(recipe)
    if args.out is None:
        raise ValueError("say where the run goes: --out DIR")
    photos = find_photos(args.photos)
    from whatwhere.runs.pretraining import run_pretraining

    finished = run_pretraining(recipe, photos=photos, out=args.out, resume=args.resume)
    if os.environ.get("RANK", "0") != "0":  # under torchrun the first process speaks for all
        return 0
    if finished.skipped:
        print(f"left out:\n{finished.skipped}", file=sys.stderr)
    if args.json:
        print(json.dumps({"weights": str(finished.weights), "report": finished.report}))
    else:
        for name, value in finished.report.items():
            print(f"{name:<32} {value:.4g}")
        print(f"next: whatwhere train RECIPE --set image.weights={finished.weights} ...")
    return 0
