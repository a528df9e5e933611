"""CLIPpy's question on real photos: max, mean and cls pooling, the tower held and trained.

    python -m experiments.photos_pooling --shared ../shared --out runs/photos-pooling

The image tower is that of `tiny`, which learnt from photos and a larger network, with no caption
but class names. Each run is in two parts, each scored:

    frozen    the tower held (features cached, 14 x 14 patches); a linear map and one vector for
              each word learn contrastively from 300 batches of 128 photos of flickr8k
    trained   goes on from there with the tower trained too: 150 batches of 64 photos cut to 160
              pixels (10 x 10 patches)

The maximum or the mean is taken over patches after the linear map, and cls is a learnt token that
looks at them. Finished runs are not repeated. Photos are looked at whole, short side 448, on a grid
of 16 pixels. Printed of each part, and as mean and spread over seeds:

    R@1       of held-out pairs, in batches of at most 200: a picture's caption found
    mIoU      voc_dev without background, 20 names, over classes in 10 photos or more, read plain
              and centred
    Jaccard   bsds500_val, patches in the joint space grouped without names (`principal`)
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from experiments.photos import opened, score
from experiments.repeats import Found, once, tell, tell_spread

from whatwhere import models, recipes
from whatwhere.benchmarks import bsds
from whatwhere.benchmarks.score import ENOUGH
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.pooling.patches import PatchPool
from whatwhere.recipes import Recipe
from whatwhere.runs.evaluating import measure
from whatwhere.runs.loading import load
from whatwhere.runs.training import run_training
from whatwhere.segmenter.reading import Reading

Pooling = Literal["max", "mean", "cls"]
POOLINGS = get_args(Pooling)
CALIBRATIONS = ("none", "centred")
GRID = ("image.shrink=2", "image.stride=8")  # things as large as in training, 16 pixels a patch


def frozen(how: Pooling, seed: int, cache: Path) -> Recipe:
    """Recipe `tiny` with one loss and one caption a picture, as CLIPpy has them."""
    usual = recipes.load("tiny")
    return replace(
        usual,
        image=replace(usual.image, weights=str(models.find("tiny") / "model.safetensors")),
        head=replace(usual.head, cls=how == "cls"),
        pool=PatchPool(how=how),
        objectives=(Contrastive(),),
        concepts=None,
        batching=replace(usual.batching, captions="sampled"),
        caching=replace(usual.caching, folder=str(cache)),
        training=replace(usual.training, steps=300, validate_every=0, seed=seed),
        reading=Reading(window=0),
    )


def trained(before: Recipe) -> Recipe:
    return replace(
        before,
        image=replace(before.image, frozen=False),
        batching=replace(
            before.batching, batch=64, size=(160, 160), crop=(0.7, 1.0), feature_crop=(1.0, 1.0)
        ),
        caching=replace(before.caching, folder=None),
        training=replace(before.training, steps=150, lr=3e-4),
    )


def scores(out: Path, wanted: Recipe, shared: Path, *, start: Path | None = None) -> Found:
    """One part of a run (or what is left of it from before) and its scores, 0 to 100."""
    captions = str(shared / "data/flickr8k")
    report = once(
        out / "report.json",
        lambda: run_training(wanted, captions=captions, out=out, start=start).report,
    )
    found = {"R@1": 100 * report["validation/text_recall_at_1"]}
    segments = {
        c: load(out, overrides=[f"similarity.calibration={c}", *GRID]) for c in CALIBRATIONS
    }
    plain, _ = opened(shared, "voc_dev")
    for calibration, by_rule in score(segments, plain, None, []).items():
        found[f"mIoU {calibration}"] = 100 * by_rule["no background"].miou_over(least=ENOUGH)
    contours = bsds.load(str(shared / "data/bsds500_val"))
    found["Jaccard"] = measure(segments["none"], contours).result.as_json()["jaccard"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--poolings", nargs="+", default=list(POOLINGS), choices=POOLINGS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="+", default=[], help="settings of the trained part")
    args = parser.parse_args()
    runs: dict[str, list[Found]] = {}
    for seed in args.seeds:
        for how in args.poolings:
            held = frozen(how, seed, args.out / "cache")
            moved = recipes.override(trained(held), args.set)
            outs = [args.out / f"{how}-{part}-{seed}" for part in ("frozen", "trained")]
            for out, wanted, start in zip(outs, (held, moved), (None, outs[0]), strict=True):
                make = partial(scores, out, wanted, args.shared, start=start)
                found = once(out / "scores.json", make)
                runs.setdefault(out.name.rpartition("-")[0], []).append(found)
                tell(out.name, found)
    tell_spread(runs)


if __name__ == "__main__":
    main()
