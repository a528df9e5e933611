"""Max, mean and cls pooling on the scenes world, with and without read-out calibration.

python experiments/scenes_pooling.py --out runs/pooling [--seeds 0 1 2] [--set steps=400 ...]

Prints a line per run and, at the end, mean and spread over seeds. Scenes that no run watches, and
that no setting was chosen by, are scored; retrieval is on held-out captions.
"""

import argparse
import json
import statistics
from pathlib import Path

from whatwhere import recipes
from whatwhere.benchmarks.score import evaluate
from whatwhere.runs.evaluating import labeller
from whatwhere.runs.loading import load
from whatwhere.runs.training import run_training
from whatwhere.scenes.benchmark import SceneBenchmark

POOLINGS = {
    "max": ["pool.how=max"],
    "mean": ["pool.how=mean"],
    "cls": ["pool.how=cls", "image.cls=True"],
}
CALIBRATIONS = ("none", "centred")


def measure(out: Path, settings: list[str], scenes: int) -> dict[str, float]:
    """One run (or what is left of it from before) and its scores, 0 to 100."""
    recipe = recipes.override(recipes.load("scenes"), settings)
    done = out / "scores.json"
    if done.is_file():
        return json.loads(done.read_text())
    report = run_training(recipe, out=out).report
    found = {"R@1": 100 * report["validation/text_recall_at_1"]}
    benchmark = SceneBenchmark(recipe.captions.world, count=scenes, first=3_000_000)
    for calibration in CALIBRATIONS:
        segment = load(out, overrides=[f"similarity.calibration={calibration}"])
        scores = evaluate(labeller(segment, benchmark), benchmark, progress=False)
        found[f"mIoU {calibration}"] = 100 * scores.miou
    done.write_text(json.dumps(found))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--poolings", nargs="+", default=list(POOLINGS))
    parser.add_argument("--set", nargs="+", default=[])
    args = parser.parse_args()
    lines = []
    for name in args.poolings:
        runs = []
        for seed in args.seeds:
            settings = [*POOLINGS[name], "validate_every=0", *args.set, f"training.seed={seed}"]
            runs.append(measure(args.out / f"{name}-{seed}", settings, args.scenes))
            print(name, seed, {key: round(value, 1) for key, value in runs[-1].items()}, flush=True)
        for key in runs[0]:
            values = [run[key] for run in runs]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            lines.append(f"{name:<5} {key:<13} {statistics.mean(values):5.1f} ± {spread:.1f}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
