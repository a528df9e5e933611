"""Measure a model: where names are (mIoU), what photos show (top-1), whose captions are whose.

example:
  whatwhere evaluate tiny --benchmark voc20 --root VOCdevkit/VOC2012 --split val --json
  whatwhere evaluate runs/mine --benchmark voc --root VOCdevkit/VOC2012 --split val
  whatwhere evaluate runs/mine --benchmark folder --root camvid --json
  whatwhere evaluate runs/mine --benchmark voc --root VOCdevkit --sweep score:0:0.4:0.02
  whatwhere evaluate runs/gv --benchmark voc --root VOC --set reading=whatwhere.recipes.groupvit:voc
  whatwhere evaluate runs/mine --benchmark classes --root imagenet --set prompts=imagenet
  whatwhere evaluate runs/mine --benchmark waterbirds --root waterbird_complete95 --set side=448
  whatwhere evaluate runs/mine --benchmark scenes_swap
  whatwhere evaluate runs/mine --benchmark captions --root flickr30k --split test.txt
  whatwhere evaluate runs/mine --benchmark bsds --root BSDS500 --how kmeans --set how.num_groups=6

voc scores 21 classes with the background, voc20 leaves the background out, folder takes any folder
with images/, masks/ and a list of classes: mIoU. So do, on the folders that their archives or
mmsegmentation's scripts leave: context (59 classes and the background), context59, coco_object (80
and the background), imagenet_s (50, 300 or 919 and the background), cityscapes (19), ade20k (150),
coco_stuff (171). The published manner of each is --set reading=whatwhere.recipes.groupvit:NAME, of
imagenet_s imagenet_s_50 or imagenet_s_300. classes takes a folder of photos for each class or
an index file: top-1 and top-5. captions takes any captioned pictures: recall both ways.

clippy_voc scores voc twice, as CLIPpy's released evaluator does and correctly, and says why the two
differ. waterbirds (its official folder) and scenes_swap (drawn, needs no --root) show things where
they belong and where they do not: accuracy by class and ground, the gap, the worst.

bsds (BSDS500) and voc_objects ask for groups without names: the Jaccard similarity of segments with
the groups that fit them best. --how asks so of label maps too, whose segments are classes (of
voc20 it would flatter: there a group may reach into the background at no cost).

--json prints one object, of numbers from 0 to 100. With masks: miou, per_class (name to IoU, null
if the class occurs nowhere), photos (name to how many show it), miou_10 (over the classes_10 that
10 photos or more show: the IoU of a rarer class is mostly luck). With classes: top1, top5,
per_class, photos. With captions: picture_to_caption, caption_to_picture. With segments: jaccard,
jaccard_with_background. With clippy_voc: what voc gives, and released. With grounds: top1,
worst_group, gap, by_ground. Always: how (prompts, sizes, background rule) and bank (how many of the
names the model's concepts were told, or null).
"""

from __future__ import annotations

import argparse
import json

from whatwhere.commands import MODEL, add_reading, from_one, open_reading


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL)
    parser.add_argument(
        "--benchmark",
        required=True,
        help="voc, voc20, context, context59, coco_object, coco_stuff, ade20k, cityscapes, "
        "imagenet_s, clippy_voc, folder, classes, captions, bsds, voc_objects, waterbirds, "
        "scenes_swap",
    )
    parser.add_argument("--root", metavar="PATH", help="where its pictures lie")
    parser.add_argument("--split", help="name of a split or a file; default: what is usual")
    parser.add_argument(
        "--limit", type=from_one, metavar="N", help="score the first N pictures only"
    )
    parser.add_argument(
        "--sweep",
        metavar="RULE",
        help="mIoU over background thresholds, each photo seen once: score, probability, or "
        "score:FIRST:LAST:STEP",
    )
    parser.add_argument(
        "--how",
        help="group patches without names: principal (default of bsds and voc_objects), kmeans, "
        "normalized_cut or module:Class; its settings are --set how.KEY=VALUE",
    )
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    from whatwhere.benchmarks.segments import Segments
    from whatwhere.recipes import bring
    from whatwhere.runs.evaluating import bank_of, measure, open_benchmark
    from whatwhere.runs.grouping import find_how
    from whatwhere.runs.sweeping import parse_sweep

    sweep = None if args.sweep is None else parse_sweep(args.sweep)
    benchmark = open_benchmark(args.benchmark, root=args.root, split=args.split)
    for module in args.imports:
        bring(module)
    how = None
    if args.how is not None or isinstance(benchmark, Segments):
        how = find_how(args.how or "principal", [s for s in args.set if s.startswith("how.")])
        args.set = [s for s in args.set if not s.startswith("how.")]
    segment, background = open_reading(args)
    found = measure(
        segment,
        benchmark,
        background=background,
        sweep=sweep,
        limit=args.limit,
        bank=bank_of(args.model),
        how=how,
    )
    if args.json:
        print(json.dumps(found.as_json(), allow_nan=False, ensure_ascii=False))
    else:
        print(found.table())
    return 0
