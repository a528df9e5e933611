"""Measure a model on labelled photos: mIoU, pixel accuracy, every class.

example:
  whatwhere evaluate runs/mine --benchmark voc --root VOCdevkit/VOC2012 --split val
  whatwhere evaluate runs/mine --benchmark folder --root camvid --json

voc scores 21 classes with the background, voc20 leaves the background out, folder takes any folder
with images/, masks/ and a list of classes. --json prints one object with miou (0 to 100),
per_class (name to IoU, null if the class occurs nowhere) and photos (name to how many show it).
"""

from __future__ import annotations

import argparse
import json


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the --out folder of a training run")
    parser.add_argument("--benchmark", required=True, help="voc, voc20, folder")
    parser.add_argument("--root", required=True, metavar="PATH", help="where its photos lie")
    parser.add_argument("--split", help="name of a split or a file; default: what is usual")
    parser.add_argument(
        "--background",
        metavar="RULE",
        help="none, score:0.2, probability:0.5 or names:wall|floor,sky; default: the recipe's",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="score the first N photos only")
    parser.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="change how photos are read, e.g. side=640",
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
    from whatwhere.benchmarks.score import evaluate
    from whatwhere.runs.evaluating import labeller, open_benchmark
    from whatwhere.runs.loading import load
    from whatwhere.segmenter.reading import parse_background

    background = None if args.background is None else parse_background(args.background)
    benchmark = open_benchmark(args.benchmark, root=args.root, split=args.split)
    segment = load(args.model, overrides=args.set, device=args.device, imports=args.imports)
    label = labeller(segment, benchmark, background=background)
    scores = evaluate(label, benchmark, limit=args.limit)
    if args.json:
        print(json.dumps(scores.as_json(), allow_nan=False, ensure_ascii=False))
    else:
        print(scores.table())
    return 0
