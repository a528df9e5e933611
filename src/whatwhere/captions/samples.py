"""A picture with its captions, wherever it lies, and the list of what could not be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Literal, Protocol, runtime_checkable

from PIL import Image

from whatwhere.pictures import UNDECODABLE, as_shown, why

Reason = Literal[
    "broken archive",
    "broken image",
    "broken row",
    "empty caption",
    "missing caption",
    "missing image",
    "wrong encoding",
]


@runtime_checkable
class Captioned(Protocol):
    """A picture with captions as training sees it, read from a file or made on demand."""

    @property
    def key(self) -> str: ...
    @property
    def captions(self) -> tuple[str, ...]: ...
    def open(self) -> Image.Image: ...


class BrokenImage(ValueError):
    """A picture that cannot be decoded: which one (`key`) and why (`reason`)."""

    def __init__(self, key: str, reason: str):
        super().__init__(key, reason)  # both in args: data loader workers pickle what they raise
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}; replace or delete the file"


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes [offset, offset + size) of a file; size -1 means up to its end.

    Plain data instead of an open file, so that samples travel to data loader workers.
    """

    path: str
    offset: int = 0
    size: int = -1

    def __call__(self) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and what people say about it. `key` names it for good: sorting, splits, reports."""

    key: str
    captions: tuple[str, ...]  # at least one; stripped, otherwise as written
    read: Callable[[], bytes]  # the encoded picture; must survive pickling

    def open(self) -> Image.Image:
        """The whole picture as a viewer shows it: RGB, 8 bits, upright, transparent on white.

        Everything is decoded here, so a file cut short raises `BrokenImage` now and not later.
        """
        try:
            data = self.read()
            if not data:
                raise ValueError("empty file")
            with Image.open(BytesIO(data)) as picture:
                return as_shown(picture)
        except UNDECODABLE as error:
            raise BrokenImage(self.key, why(error)) from error


def printable(text: str) -> str:
    """The same text, with characters that no terminal or file accepts written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass
class Skipped:
    """What was left out and why, to be listed at the end instead of stopping the work.

    Every key counts once for a reason, so a broken picture met in each epoch, or by several
    workers whose lists are merged, is one broken picture.

    >>> skipped = Skipped()
    >>> skipped.add("broken image", "a.jpg", "cannot identify image file")
    >>> skipped.add("broken image", "b.jpg", "empty file")
    >>> skipped.add("empty caption", "c.jpg")
    >>> print(skipped.report(examples=1))
    2 broken images: a.jpg (cannot identify image file) and 1 more
    1 empty caption: c.jpg
    """

    details: dict[Reason, dict[str, str]] = field(default_factory=dict)  # by reason, then key

    def add(self, reason: Reason, key: str, detail: str = "") -> None:
        self.details.setdefault(reason, {}).setdefault(printable(key), printable(detail))

    def merge(self, other: Skipped) -> None:
        for reason, details in other.details.items():
            for key, detail in details.items():
                self.add(reason, key, detail)

    @property
    def counts(self) -> dict[Reason, int]:
        return {reason: len(self.details[reason]) for reason in sorted(self.details)}

    def __len__(self) -> int:
        return sum(self.counts.values())

    def report(self, *, examples: int = 3) -> str:
        """One line for each reason; nothing skipped gives an empty text."""
        return "\n".join(self._line(reason, examples) for reason in self.counts)

    def _line(self, reason: Reason, examples: int) -> str:
        details = self.details[reason]
        shown = [
            f"{key} ({detail})" if detail else key
            for key, detail in list(details.items())[:examples]
        ]
        more = f" and {len(details) - len(shown)} more" if len(details) > len(shown) else ""
        plural = "" if len(details) == 1 else "s"
        return f"{len(details)} {reason}{plural}: {', '.join(shown)}{more}"
