"""CLIPpy's question on the scenes world: max, mean and cls pooling, from three kinds of start.

    python -m experiments.scenes_pooling --out runs/pooling --seeds 0 1 2 3 4

Starts are `random`, `learned` (a tower of `whatwhere pretrain scenes-tower` that saw the pictures
without a word, one for each seed, then trained on) and `frozen` (the same, not trained on; without
cls, which would stay random). Prints a line per run and, at the end, mean and spread over seeds:
mIoU on scenes that no run watches and that no setting was chosen by, with and without read-out
calibration; recall at 1 on held-out captions; and, on scenes of one thing each, top-1 where it is
at home and the gap to where it is not. Finished runs are not repeated.
"""

import argparse
import statistics
from functools import partial
from pathlib import Path

from experiments.repeats import Found, once, tell, tell_spread

from whatwhere import recipes
from whatwhere.benchmarks.score import evaluate
from whatwhere.recipes import Pretraining
from whatwhere.runs.evaluating import labeller, measure
from whatwhere.runs.loading import load
from whatwhere.runs.pretraining import run_pretraining
from whatwhere.runs.training import run_training
from whatwhere.scenes import benchmark_swap
from whatwhere.scenes.benchmark import SceneBenchmark

POOLINGS = {
    "max": ["pool.how=max"],
    "mean": ["pool.how=mean"],
    "cls": ["pool.how=cls", "image.cls=True"],
}
STARTS = ("random", "learned", "frozen")
CALIBRATIONS = ("none", "centred")


def tower(out: Path, seed: int, steps: int) -> Path:
    """Weights of an image encoder that has seen the scenes without captions."""
    weights = out / "image.safetensors"
    if not weights.is_file():
        settings = [f"training.seed={seed}", f"training.steps={steps}"]
        recipe = recipes.override(recipes.load("scenes-tower", Pretraining), settings)
        run_pretraining(recipe, out=out)
    return weights


def scores(out: Path, settings: list[str], scenes: int) -> Found:
    """One run (or what is left of it from before) and its scores, 0 to 100."""
    recipe = recipes.override(recipes.load("scenes"), settings)
    report = once(out / "report.json", lambda: run_training(recipe, out=out).report)
    found = {"R@1": 100 * report["validation/text_recall_at_1"]}
    benchmark = SceneBenchmark(recipe.captions.world, count=scenes, first=3_000_000)
    for calibration in CALIBRATIONS:
        segment = load(out, overrides=[f"similarity.calibration={calibration}"])
        seen = evaluate(labeller(segment, benchmark), benchmark, progress=False)
        found[f"mIoU {calibration}"] = 100 * seen.miou
    swapped = measure(load(out), benchmark_swap.load()).result.as_json()
    home = statistics.mean(by["usual"] for by in swapped["by_ground"].values())
    found |= {"top-1 at home": home, "gap": swapped["gap"]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--poolings", nargs="+", default=list(POOLINGS), choices=POOLINGS)
    parser.add_argument("--starts", nargs="+", default=list(STARTS), choices=STARTS)
    parser.add_argument("--tower-steps", type=int, default=400)
    parser.add_argument("--set", nargs="+", default=[], help="settings of all runs")
    args = parser.parse_args()
    runs: dict[str, list[Found]] = {}
    for start in args.starts:
        for seed in args.seeds:
            first = []
            if start != "random":
                weights = tower(args.out / f"tower-{seed}", seed, args.tower_steps)
                first = [f"image.weights={weights}", f"image.frozen={start == 'frozen'}"]
            for pool in args.poolings:
                if (pool, start) == ("cls", "frozen"):
                    continue
                settings = [*POOLINGS[pool], *first, "validate_every=0", f"training.seed={seed}"]
                out = args.out / f"{pool}-{start}-{seed}"
                make = partial(scores, out, [*settings, *args.set], args.scenes)
                found = once(out / "scores.json", make)
                runs.setdefault(f"{pool} {start}", []).append(found)
                tell(out.name, found)
    tell_spread(runs)


if __name__ == "__main__":
    main()
