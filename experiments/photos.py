"""Variants of recipe `photos` on real photos: trained on captions, scored on masks, side by side.

Does the concept loss help? SimZSS's objective against the global loss alone:

    python experiments/photos.py --shared ../shared --out runs/photos \\
        --variant weight-0 objectives.concept_consistency.weight=0 \\
        --variant weight-0.5 objectives.concept_consistency.weight=0.5

Each variant is trained once per seed into OUT/VARIANT-seed-SEED (finished runs are not repeated) on
flickr8k, or with `--captions all` on flickr8k and on class names as captions ("a photo of a tench")
of imagenet_samples and caltech101. The frozen image side is the same in every run, so photos are
looked at once. With VOC, the background is where the best of the 20 names scores below a threshold;
thresholds are printed as a curve, and none is chosen by the labels.
"""

import argparse
import json
import statistics
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from whatwhere import recipes
from whatwhere.benchmarks import Benchmark, folder, voc, voc20
from whatwhere.benchmarks.score import ENOUGH, Scores, Tally
from whatwhere.concepts.names import parse_names
from whatwhere.concepts.prompts import with_article
from whatwhere.runs.loading import load
from whatwhere.runs.training import run_training
from whatwhere.segmenter import Segmenter

RECALLS = ("text_recall_at_1", "image_recall_at_1")


def captions(shared: Path, which: str, out: Path) -> Path:
    """Where the captions lie; for `all`, one file that names the photos of three sets."""
    if which == "flickr8k":
        return shared / "data/flickr8k"
    lines = []
    for name, file in (
        ("flickr8k", "captions.jsonl"),
        ("imagenet_samples", "index.jsonl"),
        ("caltech101", "index.jsonl"),
    ):
        home = (shared / "data" / name).resolve()
        for line in (home / file).read_text().splitlines():
            row = json.loads(line)
            said = row.get("captions") or [f"a photo of {with_article(row['name'])}"]
            lines.append(json.dumps({"image": str(home / row["image"]), "captions": said}))
    file = out / "captions.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines))
    return file


def train(run: Path, source: Path, settings: Iterable[str]) -> dict[str, float]:
    done = run / "report.json"
    if not done.is_file():
        recipe = recipes.override(recipes.load("photos"), settings)
        done.write_text(json.dumps(run_training(recipe, captions=str(source), out=run).report))
    return json.loads(done.read_text())


@torch.no_grad()
def score(
    segments: dict[str, Segmenter], plain: Benchmark, ground: Benchmark | None, thresholds
) -> dict[str, dict[str, Scores]]:
    """What every model is worth: without background, and at every threshold with it.

    `ground` is the same photos with the background as class 0 before those of `plain`.
    """
    one = next(iter(segments.values()))
    seen = one.model.image_encoder.state_dict() | one.model.head.state_dict()
    for other in segments.values():
        mine = other.model.image_encoder.state_dict() | other.model.head.state_dict()
        assert all(torch.equal(seen[name], mine[name]) for name in seen)
    classes = parse_names(["|".join(synonyms) for synonyms in plain.names])
    asked = {model: segment.name_vectors(classes) for model, segment in segments.items()}
    rules = [] if ground is None else [f"score < {t:g}" for t in thresholds]
    tallies = {m: {"no background": Tally(plain)} for m in segments}
    for tally in tallies.values():
        tally |= {rule: Tally(ground) for rule in rules if ground is not None}
    both = zip(plain.items(), plain.items() if ground is None else ground.items(), strict=True)
    for item, with_ground in tqdm(both, total=len(plain), desc=plain.name, unit=" photos"):
        looked = one.look(item.image)
        for model, segment in segments.items():
            best, label, _ = (found.cpu().numpy() for found in segment.best(looked, *asked[model]))
            tallies[model]["no background"].add(item, label)
            for rule, threshold in zip(rules, thresholds, strict=bool(rules)):
                tallies[model][rule].add(with_ground, np.where(best < threshold, 0, label + 1))
    return {model: {k: t.scores for k, t in tally.items()} for model, tally in tallies.items()}


def opened(shared: Path, name: str) -> tuple[Benchmark, Benchmark | None]:
    root = str(shared / "data" / name)
    if name == "voc_dev":
        return voc20.load(root, "dev"), voc.load(root, "dev")
    return folder.load(root), None


def show(variant: str, reports: list[dict[str, float]], found: list[dict[str, Scores]]) -> None:
    print(f"\n{variant}, {len(found)} seeds, mean ± standard deviation")
    for kind in found[0]:
        values = [100 * scores[kind].miou_over(least=ENOUGH) for scores in found]
        print(f"  mIoU {kind:<14} {_spread(values)}")
    for name in RECALLS:
        print(f"  {name:<19} {_spread([100 * r[f'validation/{name}'] for r in reports])}")
    plain = [scores["no background"] for scores in found]
    means = 100 * np.stack([scores.iou for scores in plain]).mean(axis=0)
    chosen = plain[0].seen_in(least=ENOUGH)
    print("  " + ", ".join(f"{plain[0].classes[i]} {means[i]:.0f}" for i in chosen))


def _spread(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):5.1f} ± {spread:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variant", nargs="+", action="append", metavar=("NAME", "KEY=VALUE"))
    parser.add_argument("--captions", choices=["flickr8k", "all"], default="flickr8k")
    parser.add_argument("--benchmarks", nargs="+", default=["voc_dev"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.1, 0.15, 0.2, 0.25])
    parser.add_argument("--set", nargs="+", default=[], help="settings of all variants")
    args = parser.parse_args()
    weights = args.shared / "weights/mobilenet_v2_imagenet1001.safetensors"
    source = captions(args.shared, args.captions, args.out)
    reports, segments = {}, {}
    for seed in args.seeds:
        for name, *settings in args.variant or [["photos"]]:
            model = f"{name}-seed-{seed}"
            every = [f"image.weights={weights}", f"training.seed={seed}", *args.set, *settings]
            reports[model] = train(args.out / model, source, every)
            segments[model] = load(args.out / model)
    for benchmark in args.benchmarks:
        plain, ground = opened(args.shared, benchmark)
        found = score(segments, plain, ground, args.thresholds)
        first = next(iter(found.values()))["no background"]
        chosen = first.seen_in(least=ENOUGH)
        counts = ", ".join(f"{first.classes[i]} {first.photos[i]}" for i in chosen)
        print(f"\n{benchmark}: {len(chosen)} classes in {ENOUGH} photos or more: {counts}")
        for name, *_ in args.variant or [["photos"]]:
            mine = [f"{name}-seed-{seed}" for seed in args.seeds]
            show(name, [reports[m] for m in mine], [found[m] for m in mine])


if __name__ == "__main__":
    main()
