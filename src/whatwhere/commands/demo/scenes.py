"""The demo's second part: a small model learns drawn scenes from captions, from nothing, here."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whatwhere import recipes
from whatwhere.benchmarks.score import Scores, evaluate
from whatwhere.commands.demo.photos import machine
from whatwhere.recipes import Recipe
from whatwhere.report import Html, section, tiles
from whatwhere.report.classes import class_table, commonest, worst_mistake
from whatwhere.report.curves import curve
from whatwhere.report.gallery import Row, confidence_key, gallery
from whatwhere.runs.loading import load
from whatwhere.runs.training import run_training
from whatwhere.runs.watching import watch_benchmark
from whatwhere.scenes.benchmark import HELD_OUT, SceneBenchmark
from whatwhere.scenes.grounds import GROUNDS
from whatwhere.scenes.source import Scenes
from whatwhere.scenes.world import World
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.segmentation import Segmentation, colors
from whatwhere.training import pick_device
from whatwhere.training.logs import read_log

WATCHED = 40  # scenes behind the curve: few, since they are looked at again and again
EXAM = 200  # other scenes, behind every number: enough that the rarest thing is in several
SHOWN = 8  # of these, in pictures


def recipe(settings: Sequence[str], seed: int | None) -> Recipe:
    """What is learned, with these settings; refused if its pictures have no truth."""
    seeded = [] if seed is None else [f"training.seed={seed}"]
    chosen = recipes.override(recipes.load("scenes"), [*settings, *seeded])
    _world(chosen)
    return chosen


@dataclass(frozen=True)
class _Exam:
    """What a model finds in the scenes of a benchmark, in their order."""

    scores: Scores
    found: list[Segmentation]


@dataclass(frozen=True)
class Learned:
    """What there is to say of it."""

    recipe: Recipe
    model: Path
    before: Scores
    after: Scores
    seconds: float
    rows: list[Row]
    next: str

    def sentence(self) -> str:
        return (
            f"mIoU on {self.after.photos_total} scenes it has never seen: "
            f"{100 * self.before.miou:.1f} untrained, {100 * self.after.miou:.1f} trained "
            f"({self.seconds:.0f} s)"
        )

    def as_json(self) -> dict:
        return {
            "model": str(self.model),
            "before": self.before.as_json(),
            "after": self.after.as_json(),
            "seconds": round(self.seconds, 1),
        }

    @property
    def facts(self) -> dict[str, str]:
        steps, batch = self.recipe.training.steps, self.recipe.batching.batch
        return {
            "Seed": str(self.recipe.training.seed),
            "Training": f"{steps} steps of {batch} pictures with captions",
            "Settings": "model/recipe.json",
            "Curves": "model/log.csv",
        }


def learn(recipe: Recipe, out: Path, *, quiet: bool) -> Learned:
    """Train into out/model, keep scenes that it has never seen in out/scenes, and examine it."""
    world = _world(recipe)
    watched = SceneBenchmark(world, count=WATCHED)
    unseen = SceneBenchmark(world, count=EXAM, first=HELD_OUT + WATCHED)
    follow = watch_benchmark(watched, None, limit=WATCHED)
    untrained: list[_Exam] = []

    def watch(segment: Segmenter, done: int) -> dict[str, float]:
        if done == 0:
            untrained.append(_examine(segment, unseen, progress=False))
        return follow(segment, done)

    if not quiet:
        print(_announced(recipe, world), flush=True)
    clock = time.perf_counter()
    finished = run_training(recipe, out=out / "model", watch=watch)
    seconds = time.perf_counter() - clock
    exam = _examine(load(finished.run, device=recipe.training.device), unseen, progress=True)
    rows = _rows(exam, unseen)
    scenes = _keep_scenes(out / "scenes", rows)
    return Learned(
        recipe,
        finished.run,
        untrained[0].scores,
        exam.scores,
        seconds,
        rows,
        _next(scenes[0], rows[0], finished.run),
    )


def _world(recipe: Recipe) -> World:
    if not isinstance(recipe.captions, Scenes):
        raise ValueError(
            "the demo learns from scenes, whose truth it knows; for captions of your own use "
            "`whatwhere train`"
        )
    return recipe.captions.world


def _announced(recipe: Recipe, world: World) -> str:
    return (
        f"Learning from {recipe.captions.count} drawn scenes and their captions, such as\n"
        f'  "{world.captions(0)[0]}"\n'
        f"Nothing says where in a picture anything is. Afterwards, all {len(world.names)} names "
        f"are looked for\nin {EXAM} scenes that it has never seen."
    )


def _examine(segment: Segmenter, benchmark: SceneBenchmark, *, progress: bool) -> _Exam:
    """All names looked for in every scene."""
    names = ["|".join(forms) for forms in benchmark.names]
    found: list[Segmentation] = []

    def label(picture):
        found.append(segment(picture, names))
        return found[-1].labels

    scores = evaluate(label, benchmark, progress=progress)
    return _Exam(scores, found)


def _rows(exam: _Exam, benchmark: SceneBenchmark) -> list[Row]:
    """Scenes spread evenly from the one with most pixels right to the one with fewest."""
    truths = [item.labels for item in benchmark.items()]
    right = np.array([(f.labels == t).mean() for f, t in zip(exam.found, truths, strict=True)])
    order = np.argsort(-right, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, SHOWN).round().astype(int)).tolist()
    rows = []
    for place in places:
        index = int(order[place])
        scene = benchmark.world.scene(benchmark.first + index)
        rank = "Best" if place == 0 else "Worst" if place == len(order) - 1 else f"No. {place + 1}"
        note = f"{rank} of {len(order)}: {right[index]:.0%} of the pixels are right"
        rows.append(Row(scene.key, note, exam.found[index], truths[index], scene.caption))
    return rows


def _keep_scenes(folder: Path, rows: list[Row]) -> list[Path]:
    """The pictures as the model sees them, to be segmented again."""
    folder.mkdir()
    paths = [folder / f"{row.key}.png" for row in rows]
    for row, path in zip(rows, paths, strict=True):
        row.found.photo.save(path)
    return paths


def _next(scene: Path, row: Row, model: Path) -> str:
    """A command that works: a kept scene, and the names that it shows."""
    assert row.truth is not None
    names = ", ".join(row.found.names[k] for k in sorted(set(row.truth.ravel().tolist())))
    words = ["whatwhere", "segment", str(scene), "--names", names, "--model", str(model)]
    return shlex.join(words)


def _colors(world: World) -> np.ndarray:
    """Grounds in a colour of their own kind, things in colours unlike these and each other."""
    grounds = [next(iter(GROUNDS[name].colors.values())) for name in world.grounds]
    free, things = colors(64).astype(int), []
    for _ in world.kinds:
        taken = np.array([*grounds, *things])
        gap = np.linalg.norm(free[:, None] - taken, axis=-1).min(axis=1)
        things.append(tuple(free[gap.argmax()].tolist()))
    return np.array([*things, *grounds], dtype=np.uint8)


def sections(learned: Learned, out: str) -> list[Html]:
    """What it is, how well, how it learned, what it finds. Pictures go to out/pictures."""
    colors = _colors(_world(learned.recipe))
    return [
        _begun(learned),
        _numbers(learned),
        _learning(learned),
        _pictures(learned, colors, folder=Path(out).expanduser() / "pictures"),
        _names(learned, colors),
    ]


def _begun(learned: Learned) -> Html:
    return section(
        "And a model that learned here, from nothing",
        f"A small network was shown {len(learned.recipe.captions):,} drawn scenes and what people "
        "might say of them. Nobody told it where in a picture anything is. Below are scenes that "
        f"it had never seen, and where it finds the {len(learned.after.classes)} things and "
        "grounds of that world.",
    )


def _numbers(learned: Learned) -> Html:
    before, after = learned.before, learned.after
    name, miou, right = commonest(after)
    return tiles(
        [
            (
                "mIoU",
                f"{100 * after.miou:.1f}",
                f"untrained {100 * before.miou:.1f}, always \u201c{name}\u201d {100 * miou:.1f}",
            ),
            (
                "Pixels named right",
                f"{after.accuracy:.0%}",
                f"untrained {before.accuracy:.0%}, always \u201c{name}\u201d {right:.0%}",
            ),
            (
                "Time to learn",
                f"{learned.seconds:.0f} s",
                machine(pick_device(learned.recipe.training.device)),
            ),
        ]
    )


def _learning(learned: Learned) -> Html:
    log = read_log(learned.model / "log.csv")
    miou = [(step, value) for step, name, value in log if name == "validation/miou"]
    loss = [(step, value) for step, name, value in log if name == "loss"]
    curves = [
        curve(f"mIoU on {WATCHED} other unseen scenes", miou, dots=True),
        curve("Loss", loss, dots=False),
    ]
    return section(
        "How it learned",
        "Training only asks which caption belongs to which picture. Since the picture is compared "
        "through its patches, the words must find the patches that they are about.",
        "mIoU is the overlap of found and true area divided by their union, averaged over the "
        "names: 100 is perfect, and every name counts alike, however small the thing.",
        inside=Html('<div class="curves">' + "".join(curves) + "</div>"),
    )


def _pictures(learned: Learned, colors: np.ndarray, *, folder: Path) -> Html:
    pictures = gallery(learned.rows, folder=folder, colors=colors)
    return section(
        "What it finds in scenes",
        f"{len(learned.rows)} scenes, spread evenly from the best to the worst of "
        f"{learned.after.photos_total}. The model sees the picture and the list of all "
        f"{len(learned.after.classes)} names, and must give each pixel one of them. The caption is "
        "how the world would tell of the scene; it is not shown to the model.",
        inside=Html(f"{confidence_key()}\n{pictures}"),
    )


def _names(learned: Learned, colors: np.ndarray) -> Html:
    return section(
        "Name by name",
        "The model decides patch by patch, so its outlines are coarse; small things lose most by "
        "that.",
        worst_mistake(learned.after),
        inside=class_table(learned.after, colors=colors),
    )
