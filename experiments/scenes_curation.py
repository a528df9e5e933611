"""What borrowing gives back when captions leave things out: GroupViT, CoCu and an oracle on scenes.

    python -m experiments.scenes_curation --out runs/scenes-curation [--seeds 0 1 2] [--omit 0.5]

Every name of a thing or a ground is left out of a scene's one caption at a known rate. For each
seed: a small model (recipe `scenes`) learns from those captions and is the space to curate in; each
scene borrows from its 8 neighbours; then the same small GroupViT is trained on

    plain         words of the captions (GroupViT)
    top           what may be borrowed, the best three (CoCu as released)
    cluster       what may be borrowed, drawn by clusters (CoCu as designed)
    oracle        words of captions that name everything

and scored on 200 scenes that nothing was chosen by. Of what is borrowed: how much of it is in the
scene and not in its caption (precision), how much of what was left out comes back (recall), for the
best one to three, with exact membership and with the released code's substrings ("ball" in
"balloon", "snow" in "snowman"). Finished runs are not repeated.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from experiments.repeats import once, tell, tell_spread

from whatwhere import recipes
from whatwhere.benchmarks.score import evaluate
from whatwhere.captions.samples import Skipped
from whatwhere.captions.sources import Pairs
from whatwhere.concepts.bank import Concepts
from whatwhere.concepts.prompts import Prompts
from whatwhere.concepts.word_prompts import WordPrompts
from whatwhere.curation.mentions import Mentions, inside
from whatwhere.curation.ranking import Pool, fits_of, rank
from whatwhere.curation.search import Exact, with_itself
from whatwhere.curation.vectors import Vectors
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.objectives.multi_label import MultiLabel
from whatwhere.pooling.groups import Groups
from whatwhere.recipes import Recipe
from whatwhere.recipes.cocu import BorrowedPrompts
from whatwhere.recipes.scenes import KINDS
from whatwhere.runs import curating
from whatwhere.runs.evaluating import labeller
from whatwhere.runs.loading import load
from whatwhere.runs.spaces import open_space
from whatwhere.runs.training import run_training
from whatwhere.scenes.benchmark import SceneBenchmark
from whatwhere.scenes.world import World
from whatwhere.segmenter.reading import Regions
from whatwhere.similarity.cosine import Cosine

NEAR, TOP = 8, 3
VARIANTS = ("plain", "top", "cluster", "oracle")


def scenes(world: World, seed: int) -> Recipe:
    """The recipe with one caption a scene."""
    recipe = recipes.load("scenes")
    pairs = replace(recipe.captions, world=world, tellings=1)
    training = replace(recipe.training, validate_every=0, seed=seed)
    return replace(recipe, captions=pairs, training=training)


def curated(folder: Path, space: Path, pairs: Pairs) -> None:
    """The steps of `whatwhere curate`; the gallery is the names of the world, in their order."""
    names = folder / "names.txt"
    names.parent.mkdir(parents=True, exist_ok=True)
    concepts = pairs[0].world.concepts
    names.write_text("\n".join("|".join(forms) for forms in concepts))
    bank, _ = curating.make_gallery(folder, pairs, Concepts(path=str(names)))
    sees = open_space(str(space), device="cpu")
    curating.embed_concepts(folder, bank, sees, Prompts("photo"))
    curating.embed_pictures(folder, pairs, sees, batch=64)
    curating.make_index(folder, how="exact", memory=1.0)
    curating.rewrite(folder, curating.Rewriting(near=NEAR, clusters=True))


def recovered(folder: Path, pairs: Pairs, pictures: int) -> dict[str, float]:
    """Precision and recall of what is borrowed against what the captions of scenes left out."""
    vectors = Vectors.open(folder / curating.PICTURES)
    bank = curating.read_gallery(folder)
    mentions = curating.read_mentions(folder, bank, vectors.keys)
    concepts = curating.concept_vectors(folder, bank, vectors.identity)
    seen = vectors.all()
    shift = max(0.0, -float(np.quantile(seen @ concepts.T, 0.01)))
    some = seen[:pictures]
    row_of = {key: row for row, key in enumerate(vectors.keys)}
    truth = np.zeros((len(some), len(bank)), bool)  # left out by the caption, and there
    said = np.zeros_like(truth)
    for pair in pairs:
        if (row := row_of[pair.key]) < len(some):
            scene = pair.world.scene(pair.index)
            truth[row] = [name in scene.omitted for name in pair.world.names]
            said[row] = [name in scene.mentioned for name in pair.world.names]
    found = {"left out of a caption": float(truth.sum(axis=1).mean())}
    found["precision of chance"] = 100 * float(truth.sum() / (~said).sum())

    def count(kind: str, near: np.ndarray, references: Mentions) -> None:
        lent = Pool(mentions, references, fits_of(vectors.blocks(), concepts, references))
        archive = rank(some, near, concepts, lent, shift=shift).concept
        new = (archive >= 0) & ~np.take_along_axis(said, np.maximum(archive, 0), axis=1)
        right = new & np.take_along_axis(truth, np.maximum(archive, 0), axis=1)
        for top in (1, 2, TOP):
            best = new & (np.arange(archive.shape[1]) < top)
            found[f"{kind} top {top} precision"] = 100 * float((right & best).sum() / best.sum())
            found[f"{kind} top {top} recall"] = 100 * float((right & best).sum() / truth.sum())
        found[f"{kind} archive precision"] = 100 * float(right.sum() / new.sum())
        found[f"{kind} archive recall"] = 100 * float(right.sum() / truth.sum())

    own = np.arange(len(some))
    near = with_itself(Exact(seen).nearest(some, near=NEAR), own)
    count("exact", near, mentions)
    count("substring", near, mentions.through(inside(bank.names)))
    chance = np.random.default_rng(0).integers(len(seen), size=near.shape)
    count("random neighbours", with_itself(chance, own), mentions)
    return found


def variant(name: str, base: Recipe, seed: int, sidecar: Path, settings: list[str]) -> Recipe:
    """A small GroupViT on the convolutions of the recipe `scenes`.

    One grouping and no transformer around it: those mix patches, and what they were is lost.
    """
    pairs = base.captions
    if name == "oracle":
        pairs = replace(pairs, world=replace(pairs.world, omit=0.0, omit_grounds=0.0))
    prompts = WordPrompts(count=TOP)
    if name in ("top", "cluster"):
        prompts = BorrowedPrompts(str(sidecar), count=TOP, how=name)
    recipe = replace(
        base,
        captions=pairs,
        pool=Groups(
            depths=(0, 0), heads=(4, 4), tokens=(8,), groups=(8,), average="true", spread=0.0
        ),
        similarity=Cosine(),
        objectives=(Contrastive(), MultiLabel()),
        extra_prompts=prompts,
        training=replace(base.training, steps=300, lr=2e-3),
        reading=replace(base.reading, regions=Regions(scale=base.reading.scale)),
    )
    return recipes.override(recipe, settings)


def measure(out: Path, recipe: Recipe, benchmark: SceneBenchmark) -> dict[str, float]:
    report = run_training(recipe, out=out).report
    found = {"R@1": 100 * report["validation/text_recall_at_1"]}
    segment = load(out, device="cpu")
    scores = evaluate(labeller(segment, benchmark), benchmark, progress=False)
    return found | {"mIoU": 100 * scores.miou}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--omit", type=float, default=0.5, help="how often a name is left out")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--pictures", type=int, default=1000, help="whose borrowing is checked")
    parser.add_argument("--scenes", type=int, default=200, help="scored")
    parser.add_argument("--space-set", nargs="+", default=[], help="settings of the space")
    parser.add_argument("--set", nargs="+", default=[], help="settings of all variants")
    args = parser.parse_args()
    usual = recipes.load("scenes").captions.world
    kinds = (*KINDS, "ball", "snowman")
    world = replace(usual, kinds=kinds, omit=args.omit, omit_grounds=args.omit)
    benchmark = SceneBenchmark(world, count=args.scenes, first=4_000_000)
    runs: dict[str, list[dict[str, float]]] = {}
    for seed in args.seeds:
        base = scenes(world, seed)
        space, folder = args.out / f"space-{seed}", args.out / f"curated-{seed}"

        def curate(base=base, space=space, folder=folder) -> dict[str, float]:
            pairs = Pairs(tuple(base.captions), Skipped())
            if not (space / "done").is_file():
                run_training(recipes.override(base, args.space_set), out=space)
                (space / "done").touch()
            curated(folder, space, pairs)
            return recovered(folder, pairs, args.pictures)

        runs.setdefault("borrowed", []).append(once(folder / "found.json", curate))
        tell(f"borrowed {seed}", runs["borrowed"][-1])
        for name in args.variants:
            recipe = variant(name, base, seed, folder / curating.SIDECAR, args.set)
            out = args.out / f"{name}-{seed}"
            found = once(out / "scores.json", lambda o=out, r=recipe: measure(o, r, benchmark))
            runs.setdefault(name, []).append(found)
            tell(f"{name} {seed}", found)
    print(f"\nmean ± standard deviation over {len(args.seeds)} seeds, names left out: {args.omit}")
    tell_spread(runs)


if __name__ == "__main__":
    main()
