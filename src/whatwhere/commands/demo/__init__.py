"""See what a model finds in real photographs, offline and within seconds, as a web page.

example:
  whatwhere demo
  whatwhere demo --photos holiday/*.jpg --names "dog|puppy, grass, sky" --open
  whatwhere demo --train --seed 1 --set steps=1000

Six photographs that come with installed packages are given to the model that comes with this one,
each with a list of names of which some are not in it. DIR/report.html shows what it found and how
sure it was; where no name fits well enough it abstains, and the photo stays grey.

--train also draws a world of scenes with captions, trains a small model on these alone, which takes
about two minutes, and shows further down what that one finds in scenes it has never seen, beside
the truth. It stays in DIR/model. An earlier demo in DIR is replaced; anything else there is left
alone.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whatwhere.commands import add_background, add_json, add_model, add_set

if TYPE_CHECKING:
    from whatwhere.commands.demo.photos import Looked
    from whatwhere.commands.demo.scenes import Learned
    from whatwhere.report import Html

GENERATOR = "whatwhere demo"
FOLDERS = ("photos", "pictures", "scenes", "model")  # these and report.html are what a demo leaves


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", default="whatwhere-demo", metavar="DIR", help="default: whatwhere-demo"
    )
    add_model(parser)
    parser.add_argument(
        "--photos", nargs="+", metavar="PHOTO", help="yours instead: file, folder or glob"
    )
    parser.add_argument("--names", help='what to look for in yours: "dog, grass|lawn, sky"')
    add_background(parser)
    parser.add_argument("--train", action="store_true", help="train a small model here, too")
    parser.add_argument("--seed", type=int, help="of --train: first weights, order of pictures")
    add_set(parser, "settings of --train, e.g. steps=1000")
    parser.add_argument("--open", action="store_true", help="show the report in the browser")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    if not args.train and (args.set or args.seed is not None):
        raise ValueError("--seed and --set change what --train learns; add --train")
    if (args.photos is None) != (args.names is None):
        raise ValueError('--photos need --names "dog, grass", and the other way round')
    from whatwhere.commands.demo import photos, scenes
    from whatwhere.runs.loading import load
    from whatwhere.segmenter.reading import parse_background

    recipe = scenes.recipe(args.set, args.seed) if args.train else None
    album = photos.samples() if args.photos is None else photos.own(args.photos, args.names)
    rule = None if args.background is None else parse_background(args.background)
    out, segment = Path(args.out).expanduser(), load(args.model)
    _make_way(out, using=[args.model, *(photo.file for photo in album)])
    looked = photos.look(
        segment, album, model=args.model, rule=rule, folder=out / "photos", quiet=args.json
    )
    report = out / "report.html"
    report.write_text(_page(args, looked, learned=None), encoding="utf-8")
    if not args.json:
        print(looked.sentence())
    learned = None
    if recipe is not None:
        if not args.json:
            print(f"report  {report}: the photos; scenes follow when they are learned\n")
        learned = scenes.learn(recipe, out, quiet=args.json)
        report.write_text(_page(args, looked, learned), encoding="utf-8")
        if not args.json:
            print(f"\n{learned.sentence()}")
    if args.json:
        trained = None if learned is None else learned.as_json()
        print(
            json.dumps(
                {"report": str(report)} | looked.as_json() | {"trained": trained},
                allow_nan=False,
                ensure_ascii=False,
            )
        )
    else:
        print(f"report  {report}\nnext    {looked.next}")
    if args.open:
        import webbrowser

        if not webbrowser.open(report.resolve().as_uri()):
            print(f"no browser to open {report} with", file=sys.stderr)
    return 0


def _make_way(out: Path, *, using: Sequence[str | Path] = ()) -> None:
    """Remove an earlier demo, and nothing else. What is begun is a demo from here on.

    using    files and folders that this demo reads, which must not be among what is removed
    """
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
    ends = [(out / name).resolve() for name in FOLDERS]
    for used in using:
        whole = Path(used).expanduser().resolve()
        if any(whole.is_relative_to(end) or end.is_relative_to(whole) for end in ends):
            raise ValueError(
                f"{used} belongs to the earlier demo in {out}, which is replaced; choose another "
                "folder: --out DIR"
            )
    for name in FOLDERS:
        if (out / name).exists():
            shutil.rmtree(out / name)
    out.mkdir(parents=True, exist_ok=True)
    begun = page(
        "A demo that is not finished",
        lead="It is still looking, or was stopped: `whatwhere demo` starts it again.",
        sections=[],
        generator=GENERATOR,
    )
    report.write_text(begun, encoding="utf-8")


def _page(args: argparse.Namespace, looked: Looked, learned: Learned | None) -> Html:
    """The report: photographs first, then what was learned here, then how to do it again."""
    from whatwhere.commands.demo import photos, scenes
    from whatwhere.report import page

    return page(
        "What is where, in photographs",
        lead=(
            f"The model “{looked.model}” was given each of these photographs and a list of names. "
            "It says for every pixel which of the names it shows, or that none of them fits. What "
            "it knows it learned from words about whole pictures: nobody ever drew it a mask."
        ),
        sections=[
            *photos.sections(looked),
            *([] if learned is None else scenes.sections(learned, args.out)),
            _again(args, looked, learned),
        ],
        generator=GENERATOR,
    )


def _again(args: argparse.Namespace, looked: Looked, learned: Learned | None) -> Html:
    from whatwhere import __version__
    from whatwhere.report import Html, facts, section
    from whatwhere.report import command as typed

    further = [looked.next] if learned is None else [looked.next, learned.next]
    known = {"Version": f"whatwhere {__version__}"} | looked.facts
    known |= {} if learned is None else learned.facts
    return section(
        "Again, and further",
        "This report came from the first command. The next looks for names in one photo.",
        "" if learned is None else "The last asks the model that was trained here.",
        inside=Html("\n".join([typed(_command(args)), *map(typed, further), facts(known)])),
    )


def _command(args: argparse.Namespace) -> str:
    """What was typed, without what changes nothing in the report."""
    from whatwhere import models

    words = ["whatwhere", "demo", "--out", args.out]
    words += [] if args.model == models.DEFAULT else ["--model", args.model]
    words += [] if args.photos is None else ["--photos", *args.photos, "--names", args.names]
    words += [] if args.background is None else ["--background", args.background]
    words += ["--train"] if args.train else []
    words += [] if args.seed is None else ["--seed", str(args.seed)]
    words += ["--set", *args.set] if args.set else []
    return shlex.join(words)
