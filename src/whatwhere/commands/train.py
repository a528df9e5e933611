"""Teach a model what is where, from pictures and their captions.

example:
  whatwhere train photos --captions my_photos/ --out runs/mine --set steps=2000
  whatwhere segment my_photos/cat.jpg --names "cat, sofa" --model runs/mine

Captions may be: a folder with a .txt beside each photo, .jsonl, .csv or .tsv, COCO captions JSON,
WebDataset tars, a Hugging Face dataset on disk. RECIPE is a name, module:attribute or
file.py:attribute. --start MODEL begins with what another run of the same sizes learned. Ctrl-C
keeps what was learned; the same command with --resume goes on.
Several processes: torchrun --nproc-per-node 2 -m whatwhere train ...
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys

from whatwhere.commands import add_set, show_settings


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="what to train and how; `list` prints the names")
    parser.add_argument("--captions", metavar="PATH", help="pictures with captions")
    parser.add_argument("--kind", help="how to read PATH, where that is not plain")
    parser.add_argument("--out", metavar="DIR", help="folder of the run")
    add_set(parser, "change settings")
    parser.add_argument("--show", action="store_true", help="print every setting and stop")
    parser.add_argument("--start", metavar="MODEL", help="a trained model to begin with")
    parser.add_argument("--resume", action="store_true", help="go on with the run in DIR")
    parser.add_argument("--benchmark", help="labelled photos to validate on, such as voc")
    parser.add_argument("--root", metavar="PATH", help="where the benchmark lies")
    parser.add_argument("--split", help="of the benchmark; default: what is usual there")
    parser.add_argument("--json", action="store_true", help="print the last report as JSON")


def run(args: argparse.Namespace) -> int:
    from whatwhere import recipes

    if args.recipe == "list":
        print("\n".join(recipes.names()))
        return 0
    recipe = recipes.override(recipes.load(args.recipe), args.set)
    if args.show:
        return show_settings(recipe)
    if args.out is None:
        raise ValueError("say where the run goes: --out DIR")
    if (args.benchmark is None) != (args.root is None):
        raise ValueError("--benchmark needs --root PATH, and the other way round")
    from whatwhere.runs.training import run_training
    from whatwhere.runs.watching import watch_benchmark

    watch = None
    if args.benchmark is not None:
        from whatwhere.runs.evaluating import open_benchmark

        labelled = open_benchmark(args.benchmark, root=args.root, split=args.split)
        watch = watch_benchmark(labelled, f"{args.out}/pictures")
    finished = run_training(
        recipe,
        captions=args.captions,
        kind=args.kind,
        out=args.out,
        start=args.start,
        resume=args.resume,
        watch=watch,
    )
    if os.environ.get("RANK", "0") != "0":  # under torchrun the first process speaks for all
        return 0
    if finished.skipped:
        print(f"left out:\n{finished.skipped}", file=sys.stderr)
    if args.json:
        print(json.dumps({"run": str(finished.run), "report": _plain(finished.report)}))
    else:
        for name, value in finished.report.items():
            print(f"{name:<32} {value:.4g}")
        print(f'next: whatwhere segment PHOTO --names "dog, grass" --model {finished.run}')
    return 0


def _plain(report: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in report.items()}
