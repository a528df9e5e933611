"""How pictures are read: size, windows, prompts, background. Plain settings."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from whatwhere.concepts.backgrounds import background_lists

BACKGROUND = "background"
Prompting = Literal["name", "photo", "article", "sentence", "seven", "imagenet"]
Resize = Literal["bicubic", "bilinear"]
Rule = Literal["none", "score", "probability", "names", "list", "region"]
THRESHOLDS: dict[str, Rule] = {rule: rule for rule in ("score", "probability", "region")}


@dataclass(frozen=True)
class Background:
    """When a pixel is none of the names.

    rule       "none": never. "score": its best score is below `threshold` (cosine, -1 to 1).
               "probability": its confidence is (softmax over the names, 0 to 1).
               "names": one of `names`, which compete beside those asked for, scores best.
               "list": the same with the names of a list that ships with the package ("voc60":
               what CLIPpy's evaluator adds to VOC's names), without those asked for.
               "region": no name of its region reaches `threshold` (0 to 1), nor the score of the
               window's best region if that is less; for readings with `regions`.
    """

    rule: Rule = "none"
    threshold: float = 0.0
    names: tuple[str, ...] = ()

    def __post_init__(self):
        if self.rule not in get_args(Rule):
            raise ValueError(f"no background rule {self.rule!r}; use {', '.join(get_args(Rule))}")
        if self.rule == "list" and not (
            len(self.names) == 1 and self.names[0] in background_lists()
        ):
            raise ValueError(
                f"no list of background names is called {','.join(self.names)!r}; use one of "
                f"{', '.join(background_lists())}, or write names:wall,floor"
            )


@dataclass(frozen=True)
class Regions:
    """Regions are named before pixels are; see `segmenter.regions`.

    scale   multiplies cosines before the softmax over the names: 1 / the temperature of training.
            None: what this model's training learned, or 100 if it learned none
    keep    names that fit the window best as a whole; others are out
    """

    scale: float | None = None
    keep: int = 5

    def __post_init__(self):
        if (self.scale is not None and self.scale <= 0) or self.keep < 1:
            raise ValueError(
                f"reading.regions.scale={self.scale}, keep={self.keep}; take a number above 0, "
                "and 1 name or more"
            )


@dataclass(frozen=True)
class Reading:
    """How a picture is read.

    side        pixels of the short side that the picture is resized to; 0 keeps its size
    long        the most pixels of the long side, whatever that makes of the short one (TCL: 2048)
    window      pixels a side of the square windows; 0 sees the picture whole
    stride      pixels between windows
    guide       pixels, of the resized picture, within which scores follow its colours, so that
                outlines lie on edges (the guided filter); 0 leaves scores as they are
    presence    a name that fits the places of a window that it fits best less well than another
                fits its own loses so many times the difference, all over the window: what is
                nowhere for sure is not scattered over a picture of something else
    resize      bicubic: Pillow's, which averages what it shrinks. bilinear: four neighbours and no
                more, as OpenCV's, with which TCL's protocol and most published numbers were read
    prompts     set of captions that a name is put into, whose vectors are averaged
    scale       multiplies scores before the softmax that gives confidences
    chunk       vectors (names and synonyms) scored at a time
    regions     names regions first and lets each pixel take the name of its region, as GroupViT is
                read; none: a pixel scores a name by the shares that regions have of it
    """

    side: int = 448
    long: int = 2048
    window: int = 448
    stride: int = 224
    guide: int = 0
    presence: float = 0.0
    resize: Resize = "bicubic"
    prompts: Prompting = "photo"
    background: Background = Background()
    scale: float = 1 / 0.07
    chunk: int = 32
    regions: Regions | None = None

    def __post_init__(self):
        least = {"side": 0, "long": 1, "window": 0, "stride": 1, "guide": 0, "chunk": 1}
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise ValueError(
                    f"reading.{name}={getattr(self, name)}; take a whole number from {limit} on"
                )
        if self.presence < 0:
            raise ValueError(f"reading.presence={self.presence:g}; take a number from 0 on")
        if self.presence and self.regions is not None:
            raise ValueError(
                "reading.regions keeps the names that fit a photo best by a rule of its own; set "
                "reading.presence=0"
            )
        if self.scale <= 0:
            raise ValueError(f"reading.scale={self.scale:g}; take a number above 0")
        for name, choices in (("resize", get_args(Resize)), ("prompts", get_args(Prompting))):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"reading.{name}={getattr(self, name)}; take one of {', '.join(choices)}"
                )


def parse_background(text: str) -> Background:
    """A rule as typed in a shell.

    >>> parse_background("score:0.2").threshold
    0.2
    >>> parse_background("names:wall|floor, sky").names
    ('wall|floor', 'sky')
    """
    rule, _, value = text.partition(":")
    if rule == "none" and not value:
        return Background()
    if rule == "names" and value.strip():
        return Background("names", names=tuple(name.strip() for name in value.split(",")))
    if rule == "list":
        return Background("list", names=(value,))
    if rule in THRESHOLDS:
        try:
            threshold = float(value)
        except ValueError:
            threshold = math.nan
        if math.isnan(threshold):
            raise ValueError(f"background {text!r} lacks a number; write {rule}:0.2")
        return Background(THRESHOLDS[rule], threshold)
    raise ValueError(
        f"no background rule {text!r}; use none, score:0.2, probability:0.5, region:0.9, "
        "names:wall,floor or list:voc60"
    )
