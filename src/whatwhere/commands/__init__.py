"""One file per verb. `whatwhere VERB --help` imports the parser of that verb and nothing heavy."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import pkgutil
import sys
import warnings
from difflib import get_close_matches
from functools import partial
from typing import NoReturn

from whatwhere import models

MODEL = "tiny, which comes with the package; the --out folder of a training run; a released file"


class Parser(argparse.ArgumentParser):
    """Errors are one line that says what to type instead."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def add_set(parser: argparse.ArgumentParser, says: str) -> None:
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help=says
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")


def add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module or file with parts of your own that the model uses",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=models.DEFAULT, help=f"{MODEL}; default: tiny")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_background(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--background",
        metavar="RULE",
        help="what counts as no name: none, score:0.2, probability:0.5, region:0.9, "
        "names:wall|floor,sky or list:voc60 (40 names that VOC's competed with in CLIPpy's "
        "evaluator); default: the recipe's",
    )


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Options of every verb that looks for names in photos."""
    add_background(parser)
    add_set(parser, "change how photos are read, e.g. side=640 prompts=imagenet")
    add_device(parser)
    add_import(parser)
    add_json(parser)


def from_one(text: str) -> int:
    """A count as typed: a whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"give a whole number from 1 on, not {text}")
    return int(text)


def show_settings(recipe: object) -> int:
    """Every setting as `--set` takes it."""
    from whatwhere.recipes import paths

    for path, value in paths(recipe).items():
        if not paths(value):
            print(f"{'.'.join(path)}={value}")
    return 0


def open_reading(args: argparse.Namespace):
    """The segmenter and the background rule that these options and `model` mean."""
    from whatwhere.runs.loading import load
    from whatwhere.segmenter.reading import parse_background

    background = None if args.background is None else parse_background(args.background)
    segment = load(args.model, overrides=args.set, device=args.device, imports=args.imports)
    return segment, background


def verbs() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    parser = Parser("whatwhere", description=_about(), formatter_class=Raw, add_help=False)
    parser.add_argument("verb", nargs="?")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    chosen, _ = parser.parse_known_args(argv[:1])
    if chosen.version:
        from whatwhere import __version__

        print(f"whatwhere {__version__}")
        return 0
    if chosen.verb is None:
        print(_about())
        return 0 if chosen.help else 2
    if chosen.verb not in verbs():
        close = get_close_matches(chosen.verb, verbs(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        parser.error(f"no command is called {chosen.verb!r}{hint} (there are {', '.join(verbs())})")
    command = importlib.import_module(f"{__name__}.{chosen.verb}")
    prog = f"whatwhere {chosen.verb}"
    sub = Parser(prog, description=command.__doc__, formatter_class=Raw, allow_abbrev=False)
    command.arguments(sub)
    return _run(command, sub.parse_args(argv[1:]), prog)


Raw = argparse.RawDescriptionHelpFormatter


def _run(command, args: argparse.Namespace, prog: str) -> int:
    try:
        with warnings.catch_warnings():
            warnings.showwarning = partial(_show_warning, prog)
            return command.run(args) or 0
    except KeyboardInterrupt:
        print(f"{prog}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, ImportError, OSError) as error:
        if os.environ.get("WHATWHERE_TRACEBACK"):
            raise
        print(f"{prog}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _show_warning(prog: str, message: Warning | str, *where: object, **more: object) -> None:
    """One line, as for errors: the line of code that warned tells a user nothing."""
    print(f"{prog}: {' '.join(str(message).split())}", file=sys.stderr)


def _about() -> str:
    """What the program is for, and each verb with the first line of its file."""
    lines = ["whatwhere: learn what is where from captions alone, and find it in photos", ""]
    for verb in verbs():
        spec = importlib.util.find_spec(f"{__name__}.{verb}")
        assert spec is not None and spec.origin is not None
        with open(spec.origin, encoding="utf-8") as file:
            lines.append(f"  {verb:<10} {file.readline().strip().strip(chr(34))}")
    return "\n".join([*lines, "", "whatwhere VERB --help tells more and shows an example."])
