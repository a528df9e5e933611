"""Visual token sub-sampling on and off: a small ViT from nothing on the scenes world, max pooling.

    python -m experiments.scenes_subsampling --out runs/subsampling --seeds 0 1 2 3 4

Scenes are drawn at 144 x 192 pixels. The ViT (patches of 8, width 96, 3 blocks) sees them

    off       at half of that, 108 patches a picture
    on        at full size, 432 patches of which 86 are kept, others in every step
    whole     at full size, all 432 patches; costs four times as much, so not by default

and is trained on equally many pictures otherwise, with recipe `scenes`. For each run: recall at 1
of a held-out picture's caption, at the size that was trained on, and mIoU on scenes that nothing
was chosen by, seen at half (1x) and at full size (2x), all patches kept, read plain and centred.
Finished runs are not repeated. What it costs: benchmarks/token_subsampling.py.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from experiments.repeats import Found, once, tell, tell_spread

from whatwhere import recipes
from whatwhere.benchmarks.score import evaluate
from whatwhere.encoders.timm_model import Timm, Vit
from whatwhere.pooling.patches import PatchPool
from whatwhere.recipes import Recipe
from whatwhere.runs.evaluating import labeller
from whatwhere.runs.loading import load
from whatwhere.runs.training import run_training
from whatwhere.scenes.benchmark import SceneBenchmark

HALF, FULL = (72, 96), (144, 192)
VARIANTS = {"off": (HALF, 0.0), "on": (FULL, 0.8), "whole": (FULL, 0.0)}
CALIBRATIONS = ("none", "centred")


def recipe(variant: str, seed: int) -> Recipe:
    usual = recipes.load("scenes")
    size, drop = VARIANTS[variant]
    height, width = FULL
    return replace(
        usual,
        captions=replace(
            usual.captions, world=replace(usual.captions.world, height=height, width=width)
        ),
        image=Timm(
            "vit_tiny_patch16_224",
            frozen=False,
            vit=Vit(width=96, layers=3, heads=4, patch=8, size=96),
            patch_drop=drop,
        ),
        pool=PatchPool(how="max"),
        batching=replace(usual.batching, size=size),
        training=replace(usual.training, validate_every=0, seed=seed),
    )


def scores(out: Path, wanted: Recipe, scenes: int) -> Found:
    """One run (or what is left of it from before) and its scores, 0 to 100."""
    report = once(out / "report.json", lambda: run_training(wanted, out=out).report)
    found = {"R@1": 100 * report["validation/text_recall_at_1"]}
    benchmark = SceneBenchmark(wanted.captions.world, count=scenes, first=3_000_000)
    for calibration in CALIBRATIONS:
        for times, (side, _) in (("1x", HALF), ("2x", FULL)):
            changed = [f"similarity.calibration={calibration}", f"reading.side={side}"]
            segment = load(out, overrides=changed)
            seen = evaluate(labeller(segment, benchmark), benchmark, progress=False)
            found[f"mIoU {calibration} {times}"] = 100 * seen.miou
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["off", "on"])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--set", nargs="+", default=[], help="settings of all runs")
    args = parser.parse_args()
    runs: dict[str, list[Found]] = {}
    for seed in args.seeds:
        for variant in args.variants:
            out = args.out / f"{variant}-{seed}"
            wanted = recipes.override(recipe(variant, seed), args.set)
            found = once(out / "scores.json", partial(scores, out, wanted, args.scenes))
            runs.setdefault(variant, []).append(found)
            tell(out.name, found)
    tell_spread(runs)


if __name__ == "__main__":
    main()
