"""Real photos with and without the concepts that their captions leave out, on two objectives.

    python -m experiments.photos_curation --shared ../shared --out runs/photos-curation \\
        --model runs/photos/weight-0.5-seed-0 [--seeds 0 1 2] [--set training.steps=500]

The five steps of `whatwhere curate` on flickr8k, seen by the model (audit: OUT/curated/audit.html).
Then recipe `photos` is trained once per seed, finished runs not being repeated, and scored on
voc_dev as experiments/photos.py does:

    captions    SimZSS's objective on the captions as they are
    rewritten   the same, on captions that name what their photo borrows and they do not say: "A dog
                runs. grass, ball"; the concept loss finds those names as phrases like any other
    words       GroupViT's objective (contrastive and multi-label) on words of the captions
    borrowed    the same, on what the photo borrows
    random      the same, on what another photo borrows: does any list of frequent names do?

All on the frozen tower of the recipe and the mean of its patches.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from experiments.photos import opened, score, show, train

from whatwhere.benchmarks.score import ENOUGH
from whatwhere.captions.sources import open_pairs
from whatwhere.commands import main as whatwhere
from whatwhere.curation.sidecar import Borrowed, Sidecar, write_sidecar
from whatwhere.runs.loading import load

TOP = 3
GROUPVIT = ["objectives.concept_consistency=whatwhere.objectives.multi_label:MultiLabel"]
WORDS = ["extra_prompts=whatwhere.concepts.word_prompts:WordPrompts"]
BORROWED = ["extra_prompts=whatwhere.recipes.cocu:BorrowedPrompts"]
VARIANTS = ("captions", "rewritten", "words", "borrowed", "random")


def curate(captions: Path, out: Path, model: str) -> None:
    """Steps that are done already are quick or find nothing to do."""
    folder, here = ["--out", str(out)], ["--captions", str(captions)]
    steps = [
        ["concepts", *here, *folder, "--most", "1000", "--least", "10"],
        ["embed", *here, *folder, "--model", model],
        ["index", *folder],
        ["rewrite", *folder, "--clusters"],
        ["audit", *here, *folder, "--top", str(TOP)],
    ]
    for step in steps:
        if status := whatwhere(["curate", *step]):
            raise SystemExit(status)


def rewritten(captions: Path, sidecar: Path, out: Path) -> Path:
    """The same photos under the same keys, each caption followed by what it does not say."""
    held = Sidecar(sidecar, count=TOP)
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "images").exists():
        (out / "images").symlink_to((captions / "images").resolve())
    lines = []
    for pair in open_pairs(captions):
        (names,) = held([pair.key], [np.random.default_rng(0)])
        texts = []
        for text in pair.captions:
            new = [name for name in names if name not in text.lower()]
            texts.append(f"{text.rstrip(' .')}. {', '.join(new)}" if new else text)
        lines.append(json.dumps({"image": pair.key, "captions": texts}))
    (out / "captions.jsonl").write_text("\n".join(lines))
    return out


def shuffled(sidecar: Path, out: Path) -> Path:
    """Every photo borrows what another one does."""
    held = Sidecar(sidecar, count=TOP)
    keys = list(held.row)
    concept, points = held.best(keys)
    order = np.random.default_rng(0).permutation(len(keys))
    concept, points = concept[order], points[order]

    def borrow(rows: range) -> Borrowed:
        here = slice(rows.start, rows.stop)
        return Borrowed(concept[here], points[here], np.full_like(concept[here], -1))

    write_sidecar(out, keys, held.names, borrow, decides={"of": str(sidecar)})
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--model", required=True, help="the space to curate in")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.1, 0.15, 0.2, 0.25])
    parser.add_argument("--set", nargs="+", default=[], help="settings of all variants")
    args = parser.parse_args()
    captions, folder = args.shared / "data/flickr8k", args.out / "curated"
    curate(captions, folder, args.model)
    sidecar = folder / "sidecar"
    longer = rewritten(captions, sidecar, args.out / "rewritten")
    other = shuffled(sidecar, args.out / "shuffled")
    chosen = {
        "captions": (captions, []),
        "rewritten": (longer, []),
        "words": (captions, [*GROUPVIT, *WORDS]),
        "borrowed": (captions, [*GROUPVIT, *BORROWED, f"extra_prompts.sidecar={sidecar}"]),
        "random": (captions, [*GROUPVIT, *BORROWED, f"extra_prompts.sidecar={other}"]),
    }
    weights = args.shared / "weights/mobilenet_v2_imagenet1001.safetensors"
    reports, segments = {}, {}
    for seed in args.seeds:
        for name in args.variants:
            source, settings = chosen[name]
            model = f"{name}-seed-{seed}"
            every = [f"image.weights={weights}", f"training.seed={seed}", *args.set, *settings]
            reports[model] = train(args.out / model, source, every)
            segments[model] = load(args.out / model)
    plain, ground = opened(args.shared, "voc_dev")
    found = score(segments, plain, ground, args.thresholds)
    first = next(iter(found.values()))["no background"]
    classes = first.seen_in(least=ENOUGH)
    print(f"\nvoc_dev: {len(classes)} classes in {ENOUGH} photos or more")
    for name in args.variants:
        mine = [f"{name}-seed-{seed}" for seed in args.seeds]
        show(name, [reports[m] for m in mine], [found[m] for m in mine])


if __name__ == "__main__":
    main()
