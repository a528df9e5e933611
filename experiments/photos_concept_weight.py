"""Does the concept loss help on real photos? SimZSS's objective against the global loss alone.

python experiments/photos_concept_weight.py --shared ../shared --out runs/photos \\
    [--seeds 0 1 2] [--weights 0 0.5] [--set steps=500 ...]

Trains recipe `photos` on flickr8k once per weight and seed (runs that are there are not repeated)
and scores PASCAL VOC photos: 20 names without background, and 21 classes with the background where
the best of the 20 names scores below a threshold. The frozen image side is the same in every run,
so photos are looked at once. Thresholds are printed as a curve; none is chosen by the labels.
"""

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
from tqdm import tqdm

from whatwhere import recipes
from whatwhere.benchmarks import Benchmark, voc, voc20
from whatwhere.benchmarks.score import confusion
from whatwhere.runs.loading import load
from whatwhere.runs.training import run_training
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Background

LEAST = 10  # photos that a class must be in to count


def train(out: Path, shared: Path, settings: list[str]) -> dict[str, float]:
    done = out / "report.json"
    if not done.is_file():
        recipe = recipes.override(recipes.load("photos"), settings)
        report = run_training(recipe, captions=str(shared / "data/flickr8k"), out=out).report
        done.write_text(json.dumps(report))
    return json.loads(done.read_text())


def score(
    segments: dict[str, Segmenter], with_ground: Benchmark, without: Benchmark, thresholds
) -> dict[str, dict[str, np.ndarray]]:
    """Confusion counts of every model: without background, and at every threshold with it."""
    names = ["|".join(synonyms) for synonyms in without.names]
    rules = {f"score<{t:g}": Background("score", t) for t in thresholds}
    size = {"20 names": 20} | dict.fromkeys(rules, 21)
    counts = {m: {k: np.zeros((n, n), np.int64) for k, n in size.items()} for m in segments}
    pairs = zip(with_ground.items(), without.items(), strict=True)
    for item, foreground in tqdm(pairs, total=len(without), desc="scoring", unit=" photos"):
        looked = next(iter(segments.values())).look(item.image)
        for model, segment in segments.items():
            found = segment(looked, names).labels
            counts[model]["20 names"] += confusion(foreground.labels, found, names=20, ignore=255)
            for rule, background in rules.items():
                found = segment(looked, names, background=background).labels
                counts[model][rule] += confusion(item.labels, found, names=21, ignore=255)
    return counts


def iou(counts: np.ndarray) -> np.ndarray:
    both = np.diag(counts)
    return 100 * both / np.maximum(counts.sum(0) + counts.sum(1) - both, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.5])
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.1, 0.15, 0.2, 0.25])
    parser.add_argument("--read", nargs="+", default=[], help="reading settings, key=value")
    parser.add_argument("--set", nargs="+", default=[])
    args = parser.parse_args()
    weights = args.shared / "weights/mobilenet_v2_imagenet1001.safetensors"
    reports, segments = {}, {}
    for weight in args.weights:
        for seed in args.seeds:
            model = f"weight {weight:g} seed {seed}"
            settings = [f"image.weights={weights}", f"training.seed={seed}", *args.set]
            settings.append(f"objectives.concept_consistency.weight={weight}")
            reports[model] = train(args.out / model.replace(" ", "-"), args.shared, settings)
            segments[model] = load(args.out / model.replace(" ", "-"), overrides=args.read)
    root = str(args.shared / "data/voc_dev")
    with_ground, without = voc.load(root, "dev"), voc20.load(root, "dev")
    seen = [np.unique(item.labels[item.labels < 21]) for item in with_ground.items()]
    photos = np.bincount(np.concatenate(seen), minlength=21)
    counts = score(segments, with_ground, without, args.thresholds)
    common = photos >= LEAST
    shown = {without.classes[i]: int(photos[i + 1]) for i in range(20) if common[i + 1]}
    print(f"photos per class that counts: {shown}")
    for weight in args.weights:
        mine = [m for m in segments if m.startswith(f"weight {weight:g} ")]
        print(f"\nconcept weight {weight:g}, {len(mine)} seeds, mean ± spread")
        for kind in counts[mine[0]]:
            rows = common[1:] if kind == "20 names" else common
            values = [float(iou(counts[m][kind])[rows].mean()) for m in mine]
            print(f"  mIoU {kind:<12} {_mean(values)}")
        for name in ("text_recall_at_1", "image_recall_at_1"):
            print(f"  {name} {_mean([100 * reports[m][f'validation/{name}'] for m in mine])}")
        per_class = np.stack([iou(counts[m]["20 names"]) for m in mine]).mean(axis=0)
        print("  " + ", ".join(f"{n} {per_class[without.classes.index(n)]:.0f}" for n in shown))


def _mean(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):5.1f} ± {spread:.1f}"


if __name__ == "__main__":
    main()
