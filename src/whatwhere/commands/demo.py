"""Watch a small model learn what is where, offline, and see what it found as a web page.

example:
  whatwhere demo
  whatwhere demo --out again --seed 1 --set steps=1000 --open

It draws a world of scenes with captions, learns from these alone, and writes DIR/report.html: what
it finds in scenes that it has never seen, beside the truth. DIR/model is the trained model, for
`whatwhere segment`. An earlier demo in DIR is replaced; anything else there is left alone.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whatwhere.commands import add_json, add_set

if TYPE_CHECKING:
    import numpy as np

    from whatwhere.benchmarks.score import Scores
    from whatwhere.recipes import Recipe
    from whatwhere.report import Html
    from whatwhere.report.gallery import Row
    from whatwhere.scenes.benchmark import SceneBenchmark
    from whatwhere.scenes.world import World
    from whatwhere.segmenter import Segmenter
    from whatwhere.segmenter.segmentation import Segmentation

WATCHED = 40  # scenes behind the curve: few, since they are looked at again and again
EXAM = 200  # other scenes, behind every number: enough that the rarest thing is in several
SHOWN = 8  # of these, in pictures
GENERATOR = "whatwhere demo"
FOLDERS = ("pictures", "scenes", "model")  # these and report.html are what a demo leaves


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", default="whatwhere-demo", metavar="DIR", help="default: whatwhere-demo"
    )
    parser.add_argument("--seed", type=int, help="of the first weights and the order of pictures")
    add_set(parser, "e.g. steps=1000")
    parser.add_argument("--open", action="store_true", help="show the report in the browser")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from whatwhere import recipes

    seed = [] if args.seed is None else [f"training.seed={args.seed}"]
    recipe = recipes.override(recipes.load("scenes"), [*args.set, *seed])
    out = Path(args.out).expanduser()
    shown = _learn_and_show(recipe, out, command=_command(args), quiet=args.json)
    if args.json:
        print(json.dumps(shown.as_json(), allow_nan=False))
    else:
        print(f"\n{shown.sentence()}\nreport  {shown.report}\nnext    {shown.next}")
    if args.open:
        import webbrowser

        if not webbrowser.open(shown.report.resolve().as_uri()):
            print(f"no browser to open {shown.report} with", file=sys.stderr)
    return 0


@dataclass(frozen=True)
class _Exam:
    """What a model finds in the scenes of a benchmark, in their order."""

    scores: Scores
    found: list[Segmentation]


@dataclass(frozen=True)
class _Demo:
    """What there is to say at the end."""

    report: Path
    model: Path
    before: Scores
    after: Scores
    seconds: float
    next: str

    def sentence(self) -> str:
        return (
            f"mIoU on {self.after.photos_total} scenes it has never seen: "
            f"{100 * self.before.miou:.1f} untrained, {100 * self.after.miou:.1f} trained "
            f"({self.seconds:.0f} s)"
        )

    def as_json(self) -> dict:
        return {
            "report": str(self.report),
            "model": str(self.model),
            "before": self.before.as_json(),
            "after": self.after.as_json(),
            "seconds": round(self.seconds, 1),
        }


def _learn_and_show(recipe: Recipe, out: Path, *, command: str, quiet: bool) -> _Demo:
    import time

    from whatwhere.runs.loading import load
    from whatwhere.runs.training import run_training
    from whatwhere.runs.watching import watch_benchmark
    from whatwhere.scenes.benchmark import HELD_OUT, SceneBenchmark

    world = _world(recipe)
    watched = SceneBenchmark(world, count=WATCHED)
    unseen = SceneBenchmark(world, count=EXAM, first=HELD_OUT + WATCHED)
    follow = watch_benchmark(watched, None, limit=WATCHED)
    untrained: list[_Exam] = []

    def watch(segment: Segmenter, done: int) -> dict[str, float]:
        if done == 0:
            untrained.append(_examine(segment, unseen, progress=False))
        return follow(segment, done)

    _make_way(out)
    if not quiet:
        print(_announced(recipe, world), flush=True)
    clock = time.perf_counter()
    finished = run_training(recipe, out=out / "model", watch=watch)
    seconds = time.perf_counter() - clock
    exam = _examine(load(finished.run, device=recipe.training.device), unseen, progress=True)
    rows = _rows(exam, unseen)
    scenes = _keep_scenes(out / "scenes", rows)
    demo = _Demo(
        out / "report.html",
        finished.run,
        untrained[0].scores,
        exam.scores,
        seconds,
        _next(scenes[0], rows[0], finished.run),
    )
    demo.report.write_text(_page(recipe, demo, rows, command=command), encoding="utf-8")
    return demo


def _world(recipe: Recipe) -> World:
    from whatwhere.scenes.source import Scenes

    if not isinstance(recipe.captions, Scenes):
        raise ValueError(
            "the demo learns from scenes, whose truth it knows; for captions of your own use "
            "`whatwhere train`"
        )
    return recipe.captions.world


def _make_way(out: Path) -> None:
    """Remove an earlier demo, and nothing else. What is begun is a demo from here on."""
    from whatwhere.report import page, written_by

    report = out / "report.html"
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        ours = report.is_file() and written_by(
            report.read_text(encoding="utf-8", errors="replace"), GENERATOR
        )
        if not ours:
            raise ValueError(
                f"{out} holds something else than an earlier demo, which is not replaced; "
                "choose another folder: --out DIR"
            )
    for name in FOLDERS:
        if (out / name).exists():
            shutil.rmtree(out / name)
    out.mkdir(parents=True, exist_ok=True)
    begun = page(
        "A demo that is not finished",
        lead="It is still learning, or was stopped: `whatwhere demo` starts it again.",
        sections=[],
        generator=GENERATOR,
    )
    report.write_text(begun, encoding="utf-8")


def _announced(recipe: Recipe, world: World) -> str:
    return (
        f"Learning from {recipe.captions.count} drawn scenes and their captions, such as\n"
        f'  "{world.captions(0)[0]}"\n'
        f"Nothing says where in a picture anything is. Afterwards, all {len(world.names)} names "
        f"are looked for\nin {EXAM} scenes that it has never seen."
    )


def _examine(segment: Segmenter, benchmark: SceneBenchmark, *, progress: bool) -> _Exam:
    """All names looked for in every scene."""
    from whatwhere.benchmarks.score import evaluate

    names = ["|".join(forms) for forms in benchmark.names]
    found: list[Segmentation] = []

    def label(picture):
        found.append(segment(picture, names))
        return found[-1].labels

    scores = evaluate(label, benchmark, progress=progress)
    return _Exam(scores, found)


def _rows(exam: _Exam, benchmark: SceneBenchmark) -> list[Row]:
    """Scenes spread evenly from the one with most pixels right to the one with fewest."""
    import numpy as np

    from whatwhere.report.gallery import Row

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


def _command(args: argparse.Namespace) -> str:
    words = ["whatwhere", "demo", "--out", args.out]
    words += [] if args.seed is None else ["--seed", str(args.seed)]
    words += ["--set", *args.set] if args.set else []
    return shlex.join(words)


def _page(recipe: Recipe, demo: _Demo, rows: list[Row], *, command: str) -> Html:
    """The report. Sections are read from top to bottom: how well, how it learned, what it finds.

    What is found in real photographs is one more section with a gallery, whose rows lack a truth.
    """
    from whatwhere.report import page

    count, colors = len(recipe.captions), _colors(_world(recipe))
    return page(
        "What is where, learned from captions",
        lead=(
            f"A small network was shown {count:,} drawn scenes and what people might say of them. "
            "Nobody told it where in a picture anything is. These are scenes that it had never "
            f"seen, and where it finds the {len(demo.after.classes)} things and grounds of that "
            "world."
        ),
        sections=[
            _numbers(recipe, demo),
            _learning(demo),
            _pictures(demo, rows, colors),
            _names(demo, colors),
            _again(recipe, demo, command),
        ],
        generator=GENERATOR,
    )


def _colors(world: World) -> np.ndarray:
    """Grounds in a colour of their own kind, things in colours unlike these and each other."""
    import numpy as np

    from whatwhere.scenes.grounds import GROUNDS
    from whatwhere.segmenter.segmentation import colors

    grounds = [next(iter(GROUNDS[name].colors.values())) for name in world.grounds]
    free, things = colors(64).astype(int), []
    for _ in world.kinds:
        taken = np.array([*grounds, *things])
        gap = np.linalg.norm(free[:, None] - taken, axis=-1).min(axis=1)
        things.append(tuple(free[gap.argmax()].tolist()))
    return np.array([*things, *grounds], dtype=np.uint8)


def _numbers(recipe: Recipe, demo: _Demo) -> Html:
    from whatwhere.report import tiles
    from whatwhere.report.classes import commonest

    before, after = demo.before, demo.after
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
            ("Time to learn", f"{demo.seconds:.0f} s", _machine(recipe)),
        ]
    )


def _machine(recipe: Recipe) -> str:
    import torch

    from whatwhere.training import pick_device

    if pick_device(recipe.training.device).type == "cuda":
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"on {threads} CPU thread{'s' if threads > 1 else ''}"


def _learning(demo: _Demo) -> Html:
    from whatwhere.report import Html, section
    from whatwhere.report.curves import curve
    from whatwhere.training.logs import read_log

    log = read_log(demo.model / "log.csv")
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


def _pictures(demo: _Demo, rows: list[Row], colors: np.ndarray) -> Html:
    from whatwhere.report import Html, section
    from whatwhere.report.gallery import confidence_key, gallery

    pictures = gallery(rows, folder=demo.report.parent / "pictures", colors=colors)
    return section(
        "What it finds",
        f"{len(rows)} scenes, spread evenly from the best to the worst of "
        f"{demo.after.photos_total}. The model sees the picture and the list of all "
        f"{len(demo.after.classes)} names, and must give each pixel one of them. The caption is "
        "how the world would tell of the scene; it is not shown to the model.",
        inside=Html(f"{confidence_key()}\n{pictures}"),
    )


def _names(demo: _Demo, colors: np.ndarray) -> Html:
    from whatwhere.report import section
    from whatwhere.report.classes import class_table, worst_mistake

    return section(
        "Name by name",
        "The model decides patch by patch, so its outlines are coarse; small things lose most by "
        "that.",
        worst_mistake(demo.after),
        inside=class_table(demo.after, colors=colors),
    )


def _again(recipe: Recipe, demo: _Demo, command: str) -> Html:
    from whatwhere import __version__
    from whatwhere.report import Html, facts, section
    from whatwhere.report import command as typed

    steps, batch = recipe.training.steps, recipe.batching.batch
    known = {
        "Version": f"whatwhere {__version__}",
        "Seed": str(recipe.training.seed),
        "Training": f"{steps} steps of {batch} pictures with captions",
        "Settings": "model/recipe.json",
        "Curves": "model/log.csv",
    }
    return section(
        "Again, and further",
        "This report came from the first command. The second looks for names in one of its scenes.",
        inside=Html(f"{typed(command)}\n{typed(demo.next)}\n{facts(known)}"),
    )
