"""The demo's first part: a model looks at photographs, and the page shows what it found."""

from __future__ import annotations

import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from whatwhere import models
from whatwhere.commands.demo.samples import SAMPLES, find
from whatwhere.commands.segment import find_photos, outputs
from whatwhere.concepts.names import parse_names, split_synonyms
from whatwhere.report import Html, section, tiles
from whatwhere.report.gallery import confidence_key
from whatwhere.report.photos import Asked, article, photo_file
from whatwhere.runs.evaluating import typed
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.photos import read_photo
from whatwhere.segmenter.reading import BACKGROUND, Background


@dataclass(frozen=True)
class Photo:
    """A photograph to be looked at; the rest as in `report.photos.Asked`."""

    key: str
    title: str
    file: Path
    names: tuple[str, ...]  # as typed: "grass|lawn"
    others: frozenset[str] | None = None
    credit: str = ""
    source: str = ""


@dataclass(frozen=True)
class Answer:
    """What came out of one photo, small enough to be kept for all of them."""

    photo: Photo
    article: Html
    names: tuple[str, ...]
    seen: tuple[str, ...]
    shares: dict[str, float]
    confidence: float
    seconds: float


@dataclass(frozen=True)
class Looked:
    """What there is to say of all photos."""

    model: str
    answers: list[Answer]
    rule: Background
    given: bool  # the rule was asked for; else it is the model's own
    facts: dict[str, str]
    machine: str
    next: str

    @property
    def seconds(self) -> float:
        """A photo, without the first one's start."""
        return statistics.median(answer.seconds for answer in self.answers)

    @property
    def grey(self) -> float:
        """Share of the pixels, every photo counting alike."""
        return statistics.fmean(answer.shares.get(BACKGROUND, 0.0) for answer in self.answers)

    def counts(self) -> tuple[int, int, int, int] | None:
        """Names there and seen, there, not there and seen, not there; None if nobody knows."""
        seen = there = wrong = absent = 0
        for answer in self.answers:
            others = answer.photo.others
            if others is None:
                return None
            shown = set(answer.names) - others
            there, absent = there + len(shown), absent + len(others)
            seen, wrong = seen + len(shown & {*answer.seen}), wrong + len(others & {*answer.seen})
        return seen, there, wrong, absent

    def sentence(self) -> str:
        count = len(self.answers)
        said = f"{count} photo{'s' if count > 1 else ''}, {self.seconds:.2f} s each"
        if (counts := self.counts()) is not None:
            seen, there, wrong, absent = counts
            said += f": {seen} of {there} names that they show were found, and {wrong} of {absent}"
            said += " that they do not"
        return f"{said}; {self.grey:.0%} of the pixels stay grey"

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "background": typed(self.rule),
            "photos": [
                {
                    "photo": str(answer.photo.file),
                    "names": list(answer.names),
                    "shares": {name: round(share, 4) for name, share in answer.shares.items()},
                    "confidence": round(answer.confidence, 4),
                    "seconds": round(answer.seconds, 3),
                }
                for answer in self.answers
            ],
        }


def samples() -> list[Photo]:
    """Those that come with installed packages."""
    return [
        Photo(
            key=one.key,
            title=one.title,
            file=find(one),
            names=(*one.shows, *one.others),
            others=frozenset(split_synonyms(names)[0] for names in one.others),
            credit=f"{one.author}, {one.licence}; comes with {one.package}",
            source=one.source,
        )
        for one in SAMPLES
    ]


def own(given: Sequence[str], names: str) -> list[Photo]:
    """Files, folders and globs of a person, of which nobody knows what they show."""
    asked = tuple("|".join(synonyms) for synonyms in parse_names(names))
    files = outputs(find_photos(list(given)))
    return [Photo(key=key, title=file.name, file=file, names=asked) for file, key in files.items()]


def look(
    segment: Segmenter,
    photos: Sequence[Photo],
    *,
    model: str,
    rule: Background | None,
    folder: Path,
    quiet: bool,
) -> Looked:
    """Every photo that can be read; others are told of. Pictures for the page go to `folder`.

    rule    None: the model's own
    """
    answers = []
    for photo in tqdm(photos, "looking", unit=" photos", disable=quiet or len(photos) < 3):
        try:
            picture = read_photo(photo.file)
        except ValueError as error:
            print(f"skipped {photo.file}: {error}", file=sys.stderr)
            continue
        clock = time.perf_counter()
        found = segment(picture, photo.names, background=rule)
        seconds = time.perf_counter() - clock
        asked = Asked(
            photo.key, photo.title, found, seconds, photo.others, photo.credit, photo.source
        )
        answers.append(
            Answer(
                photo,
                article(asked, folder=folder),
                asked.names,
                asked.seen,
                found.shares(),
                float(found.confidence.mean()),
                seconds,
            )
        )
    if not answers:
        raise ValueError("none of the photos can be read; give others: --photos FILE")
    kept = rule or segment.reading.background
    return Looked(
        model=model,
        answers=answers,
        rule=kept,
        given=rule is not None,
        facts=_facts(segment, model, kept),
        machine=machine(segment.device),
        next=_next(answers[0].photo, model, folder),
    )


def _facts(segment: Segmenter, model: str, rule: Background) -> dict[str, str]:
    reading = segment.reading
    weights = sum(weight.numel() for weight in segment.model.parameters())
    size = f"short side {reading.side}" if reading.side else "own size"
    windows = f"windows of {reading.window} every {reading.stride}" if reading.window else "whole"
    return {
        "Model": f"{model}, {weights / 1e6:.1f} million weights",
        "Photos read": f"{size}, {windows}, prompts {reading.prompts}",
        "Background": typed(rule),
    }


def machine(device: torch.device) -> str:
    """What the times were taken on."""
    if device.type == "cuda":
        return f"on {torch.cuda.get_device_name()}"
    threads = torch.get_num_threads()
    return f"on {threads} CPU thread{'s' if threads > 1 else ''}"


def _next(photo: Photo, model: str, folder: Path) -> str:
    """A command that works. Photos that come with packages lie deep, so their copy is taken."""
    file = photo.file if photo.others is None else folder / photo_file(photo.key)
    words = ["whatwhere", "segment", str(file), "--names", ", ".join(photo.names)]
    return shlex.join([*words, *([] if model == models.DEFAULT else ["--model", model])])


def sections(looked: Looked) -> list[Html]:
    """How well, in numbers; and every photo."""
    articles = "\n".join(answer.article for answer in looked.answers)
    return [
        _numbers(looked),
        section(
            "What it found",
            _told(looked),
            _abstention(looked),
            inside=Html(f"{confidence_key()}\n{articles}"),
        ),
    ]


def _numbers(looked: Looked) -> Html:
    each = ("A photo takes", f"{looked.seconds:.2f} s", f"the median, {looked.machine}")
    grey = ("Left grey", f"{looked.grey:.0%}", "of the pixels: none of the names fits")
    counts = looked.counts()
    if counts is None:
        return tiles([("Photos", str(len(looked.answers)), "of yours"), grey, each])
    seen, there, wrong, absent = counts
    return tiles(
        [
            ("Names in the photos", f"{seen} of {there}", "found somewhere"),
            ("Names not in them", f"{wrong} of {absent}", "found all the same"),
            grey,
            each,
        ]
    )


def _told(looked: Looked) -> str:
    if looked.counts() is None:
        return (
            "Beside each photo, the same under the colours of the names. The share of the photo "
            "that each name got stands below."
        )
    return (
        "Beside each photo, the same under the colours of the names. Of the names asked for, some "
        "are not in the photo: what they get is wrong, and is marked. A name counts as found from "
        "half a percent of the pixels on; whether in the right place, only looking tells."
    )


def _abstention(looked: Looked) -> str:
    rule = typed(looked.rule)
    if looked.rule.rule == "none":
        whose = "--background none" if looked.given else "This model has no rule for abstaining:"
        return f"{whose} gives every pixel to the name that fits best, however badly it fits."
    whose = "as asked for" if looked.given else "the model's own"
    return (
        "Where the photo is only greyed, the model abstains: none of the names fits well enough "
        f"there. The background rule that decides it is {rule}, {whose}."
    )
