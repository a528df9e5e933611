"""What each part of recipe `tiny` is worth: one thing changed at a time, measured on voc_dev.

    python -m experiments.tiny_ablation --shared ../shared --captions captions.jsonl \\
        --tower runs/tower/image.safetensors --stages runs/stages/image.safetensors \\
        --out runs/ablation --seeds 0 1

Trained anew, a few minutes each on cached features (runs and results that OUT holds are not made
again; two processes may share OUT if their seeds differ):

    recipe        as it is, each seed by itself
    stages        on the tower before it learns from end to end
    teacher       with the teacher itself as the tower
    contrastive   without the concept loss
    silent        silence not weighed, and class names taken to say all
    positions     words that do not know where they stand
    borrowed      three names a photo that similar photos mention, as one more caption (CoCu, in the
                  space of `recipe`'s run of the same seed)

Only read differently, from the runs of `recipe`: `centred` scores, without `presence`, not
`smooth`, and at two other resolutions: `coarse` (places twice as far apart) and `large` (things
seen twice as large, places as far apart as before). Nothing is chosen by these numbers.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
from experiments.photos_curation import TOP, curate
from experiments.repeats import Found, once, tell, tell_spread

from whatwhere import recipes
from whatwhere.benchmarks import voc20
from whatwhere.benchmarks.score import ENOUGH, evaluate
from whatwhere.captions.sources import open_pairs
from whatwhere.curation.sidecar import Sidecar
from whatwhere.runs.evaluating import labeller
from whatwhere.runs.loading import load
from whatwhere.runs.training import run_training

SIX = ("person", "dog", "cat", "horse", "cow", "sheep")
READING = ["image.stride=8", "image.shrink=2", "similarity.smooth=3", "reading.presence=1"]
TRAINED = {
    "recipe": [],
    "stages": [],
    "teacher": ["image=whatwhere.encoders.mobilenet_v2:MobileNetV2"],
    "contrastive": ["objectives.concept_presence.weight=0"],
    "silent": ["objectives.concept_presence.unsaid=False", "objectives.concept_presence.tells=1"],
    "positions": ["text.positions=False"],
    "borrowed": [],
}
READ = {
    "centred": ["similarity.calibration=centred"],
    "presence": ["reading.presence=0"],
    "smooth": ["similarity.smooth=1"],
    "coarse": ["image.stride=16"],
    "large": ["image.shrink=1", "image.stride=16"],
}


def borrowed(captions: Path, out: Path, model: str) -> Path:
    """The same captions, and for each photo one more of what similar photos mention."""
    curate(captions, out, model)
    held = Sidecar(out / "sidecar", count=TOP)
    lines = []
    for pair in open_pairs(captions):
        (names,) = held([pair.key], [np.random.default_rng(0)])
        said = [*pair.captions, *([", ".join(names)] if names else [])]
        lines.append(json.dumps({"image": pair.key, "captions": said}))
    file = out / "captions.jsonl"
    file.write_text("\n".join(lines))
    return file


def learned(args: argparse.Namespace, name: str, seed: int) -> Found:
    """Train a variant into its folder and tell how well its captions are found again."""
    teacher = args.shared / "weights/mobilenet_v2_imagenet1001.safetensors"
    tower = {"stages": args.stages, "teacher": teacher}.get(name, args.tower)
    captions = args.captions
    if name == "borrowed":
        space = args.out / f"recipe-seed-{seed}"
        captions = borrowed(captions, args.out / f"curated-{seed}", str(space))
    cache = args.out / "cache"
    kept = [f"image.weights={tower}", f"caching.folder={cache}", f"training.seed={seed}"]
    recipe = recipes.override(recipes.load("tiny"), [*kept, *TRAINED[name]])
    run = args.out / f"{name}-seed-{seed}"
    report = run_training(recipe, captions=str(captions), out=run).report
    return {"recall": 100 * report["validation/text_recall_at_1"]}


def scored(args: argparse.Namespace, name: str, seed: int) -> Found:
    run = args.out / f"{name if name in TRAINED else 'recipe'}-seed-{seed}"
    segment = load(run, overrides=[*READING, *READ.get(name, [])])
    benchmark = voc20.load(str(args.shared / "data/voc_dev"), "dev")
    scores = evaluate(labeller(segment, benchmark), benchmark)
    six = [scores.iou[scores.classes.index(one)] for one in SIX]
    return {"voc20": 100 * scores.miou_over(least=ENOUGH), "six": 100 * float(np.mean(six))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("shared", "captions", "tower", "stages", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    every = [*TRAINED, *READ]
    parser.add_argument("--variants", nargs="+", choices=every, default=every)
    args = parser.parse_args()
    found: dict[str, list[Found]] = {name: [] for name in args.variants}
    for seed in args.seeds:
        for name in args.variants:
            file = args.out / f"{name}-seed-{seed}.json"
            one: Found = {}
            if name in TRAINED:
                one |= once(file.with_suffix(".recall.json"), partial(learned, args, name, seed))
            one |= once(file, partial(scored, args, name, seed))
            tell(f"{name}-{seed}", one)
            found[name].append(one)
    tell_spread(found)


if __name__ == "__main__":
    main()
