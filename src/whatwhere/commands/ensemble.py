"""Make one model of several runs whose seeds differ: their vectors side by side.

example:
  for seed in 0 1 2; do whatwhere train tiny --captions my_photos/ --out runs/$seed \\
      --set image.weights=tower.safetensors seed=$seed; done
  whatwhere ensemble runs/0 runs/1 runs/2 --out runs/all
  whatwhere segment photo.jpg --names "dog, grass" --model runs/all

What a few captions teach ends up a little different in every run; together they are right more
often than each. The image encoder, which takes nearly all of the time, is the runs' common one and
looks once. The model is a run like any other: calibrate it, export it, train it further (--start).
"""

from __future__ import annotations

import argparse

from whatwhere.commands import add_import


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="--out folders of two training runs or more"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the model")
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    from whatwhere.runs.ensembling import ensemble

    ensemble(args.runs, args.out, imports=args.imports)
    print(f'next: whatwhere segment PHOTO --names "dog, grass" --model {args.out}')
    return 0
