"""Pairs of pictures and captions, cut, tokenised and stacked: step k of a run is always the same.

A batch follows from (seed, step, process) alone, whatever was drawn before. So a run that was
interrupted goes on with the very batches that it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from whatwhere.captions.samples import BrokenImage, Captioned
from whatwhere.records import Batch, PackedFeatures, Phrases, Span, Tokenizer, Tokens
from whatwhere.transforms import centre_crop, random_crop, to_tensor

# From a picture's key and its caption, as many texts for each picture.
DrawPrompts = Callable[[str, str, np.random.Generator], list[str]]


@runtime_checkable
class Pairs(Protocol):
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Captioned: ...


@runtime_checkable
class Features(Protocol):
    """Cached features of the pictures of `Pairs`, row by row, in one view or more."""

    @property
    def broken(self) -> list[tuple[int, str]]: ...
    @property
    def views(self) -> int: ...
    def __len__(self) -> int: ...
    def seen(self, rows: Sequence[int], views: Sequence[int]) -> PackedFeatures: ...


@dataclass(frozen=True)
class Batching:
    """How pairs become batches.

    captions  "sampled": an epoch shows every picture once, with one of its captions, drawn anew.
              "each": an epoch shows every caption once, with its picture (SimZSS on COCO), so a
              batch may hold a picture twice.
              "joined": an epoch shows every picture once, with all its captions as one text, in
              another order each time: what one caption leaves out, another mentions.
    crop      share of the picture's area that a random crop keeps; (1, 1) takes the centre.
    feature_crop  what `crop` is behind a cache: shares of the rows and of the columns of patches
              that a step sees, in one random window that is the same for the whole batch.
    """

    batch: int = 256
    size: tuple[int, int] = (224, 224)  # height, width in pixels
    crop: tuple[float, float] = (0.9, 1.0)
    feature_crop: tuple[float, float] = (1.0, 1.0)
    mirror: bool = False
    captions: Literal["sampled", "each", "joined"] = "sampled"
    workers: int = 0  # processes that prepare batches beside the training

    def __post_init__(self) -> None:
        if self.batch < 1 or min(self.size) < 1 or self.workers < 0:
            raise ValueError(
                f"batching.batch={self.batch}, size={self.size}, workers={self.workers}; take a "
                "batch and sizes of 1 or more, workers of 0 or more"
            )
        for name in ("crop", "feature_crop"):
            least, most = getattr(self, name)
            if not 0 < least <= most <= 1:
                raise ValueError(
                    f"batching.{name}=({least:g},{most:g}); take two shares, as in (0.9,1.0)"
                )

    @property
    def plain(self) -> bool:
        """Whether every picture is seen as its centre."""
        return self.crop == (1.0, 1.0) and not self.mirror


@dataclass(frozen=True)
class Prepared:
    """A batch, and what had to be left out of it: (key, reason)."""

    batch: Batch
    broken: tuple[tuple[str, str], ...]


class Batches(Dataset):
    """Item k is what this process trains on in step k, counted from the start of the run."""

    def __init__(
        self,
        pairs: Pairs,
        settings: Batching,
        *,
        tokenizer: Tokenizer,
        find_phrases: Callable[[str], list[Span]] | None,
        seed: int,
        draw_prompts: DrawPrompts | None = None,
        features: Features | None = None,
        rank: int = 0,
        world: int = 1,
    ):
        if settings.batch % world:
            raise ValueError(
                f"a batch of {settings.batch} does not divide among {world} processes; "
                f"use batching.batch={settings.batch // world * world or world}"
            )
        if features is None and settings.feature_crop != (1.0, 1.0):
            raise ValueError(
                f"batching.feature_crop={settings.feature_crop} is for cached features; set "
                "caching.folder, or batching.feature_crop=(1,1) and batching.crop"
            )
        self.pairs, self.settings, self.seed = pairs, settings, seed
        self.tokenizer, self.find_phrases, self.features = tokenizer, find_phrases, features
        self.draw_prompts = draw_prompts
        self.rank, self.world = rank, world
        self._views = 1 if features is None or settings.plain else features.views
        lost = set() if features is None else {row for row, _ in features.broken}
        rows = [row for row in range(len(pairs)) if row not in lost]
        if settings.captions == "each":
            self.samples = [(i, j) for i in rows for j in range(len(pairs[i].captions))]
        else:
            self.samples = [(i, -1) for i in rows]
        if len(self.samples) < settings.batch:
            raise ValueError(
                f"{len(self.samples)} samples do not fill a batch of {settings.batch}; "
                f"use batching.batch={max(len(self.samples), 1)} or fewer"
            )
        self._order: tuple[int, np.ndarray] | None = None  # of the epoch asked for last

    @property
    def steps_per_epoch(self) -> int:
        return len(self.samples) // self.settings.batch

    def from_step(self, first: int, *, last: int) -> Iterator[Prepared]:
        """Steps first, ..., last - 1."""
        return in_order(self, range(first, last), workers=self.settings.workers)

    def __getitem__(self, index: int) -> Prepared:
        share = self.settings.batch // self.world
        epoch, place = divmod(index, self.steps_per_epoch)
        start = place * self.settings.batch + self.rank * share
        chosen = [self.samples[i] for i in self._epoch(epoch)[start : start + share]]
        texts, prompts, rows, views, pictures, broken = [], [], [], [], [], []
        for row, column in chosen:
            draw = np.random.default_rng((self.seed, epoch, row, column + 1))
            if self.features is None:
                row, picture, faults = self._picture(row, draw)
                pictures.append(picture)
                broken += faults
            captions = self.pairs[row].captions
            texts.append(self.tokenizer.clean(self._text(captions, column, draw)))
            if self.draw_prompts is not None:
                prompts += self.draw_prompts(self.pairs[row].key, texts[-1], draw)
            rows.append(row)
            views.append(int(draw.integers(self._views)) if self._views > 1 else 0)
        tokens = self.tokenizer(texts)
        batch = Batch(
            tokens=tokens,
            images=torch.stack(pictures) if self.features is None else None,
            features=None
            if self.features is None
            else self._crop(self.features.seen(rows, views), index),
            phrases=None
            if self.find_phrases is None
            else align([self.find_phrases(text) for text in texts], tokens),
            prompts=None
            if self.draw_prompts is None
            else self.tokenizer([self.tokenizer.clean(text) for text in prompts]),
        )
        return Prepared(batch, tuple(broken))

    def _crop(self, features: PackedFeatures, index: int) -> PackedFeatures:
        """What step `index` sees of them; the same in all processes."""
        draw = np.random.default_rng((self.seed, index, 0))
        least, most = self.settings.feature_crop
        sides = []
        for places in features.patches.unit.shape[1:]:
            few, many = (max(1, round(share * places)) for share in (least, most))
            side = int(draw.integers(few, many + 1))
            start = int(draw.integers(places - side + 1))
            sides.append(slice(start, start + side))
        return features.window(*sides)

    def _text(self, captions: Sequence[str], column: int, draw: np.random.Generator) -> str:
        """The caption of this column, or what the settings make of all of them."""
        if 0 <= column < len(captions):
            return captions[column]
        if self.settings.captions == "joined":
            return " ".join(captions[i] for i in draw.permutation(len(captions)))
        return captions[int(draw.integers(len(captions)))]

    def _epoch(self, epoch: int) -> np.ndarray:
        if self._order is None or self._order[0] != epoch:
            draw = np.random.default_rng((self.seed, epoch))
            self._order = epoch, draw.permutation(len(self.samples))
        return self._order[1]

    def _picture(self, row: int, draw: np.random.Generator):
        """The picture of `row`, or of the next row whose picture is not broken."""
        faults: list[tuple[str, str]] = []
        for step in range(len(self.pairs)):
            sample = self.pairs[(row + step) % len(self.pairs)]
            try:
                picture = sample.open()
            except BrokenImage as error:
                faults.append((sample.key, error.reason))
                continue
            return (row + step) % len(self.pairs), self._cut(picture, draw), faults
        raise ValueError(f"none of the {len(self.pairs)} pictures can be opened: {faults[0][1]}")

    def _cut(self, picture: Image.Image, draw: np.random.Generator) -> torch.Tensor:
        s, (width, height) = self.settings, picture.size
        if s.plain:
            view = centre_crop(height, width, size=s.size)
        else:
            view = random_crop(height, width, size=s.size, scale=s.crop, mirror=s.mirror, draw=draw)
        return to_tensor(view.picture(picture))


def in_order(batches: Dataset, steps: range, *, workers: int) -> Iterator[Any]:
    """The items of these steps, prepared by so many processes beside this one."""
    return iter(
        DataLoader(
            batches,
            sampler=steps,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
        )
    )


def align(spans: Sequence[Sequence[Span]], tokens: Tokens) -> Phrases:
    """Spans of characters, per caption, as the tokens that they touch.

    A span that no token touches (the caption was cut before it) is left out.
    """
    caption, concept, phrase_of, word_of = [], [], [], []
    for row, found in enumerate(spans):
        if not found:
            continue
        offsets = tokens.offsets[row].numpy()
        for span in found:
            touches = np.zeros(len(offsets), dtype=bool)
            for start, end in span.parts or ((span.start, span.end),):
                touches |= (offsets[:, 0] < end) & (offsets[:, 1] > start)
            touched = np.flatnonzero(touches & (offsets[:, 1] > offsets[:, 0]))
            if len(touched) == 0:
                continue
            phrase_of += [len(caption)] * len(touched)
            word_of += touched.tolist()
            caption.append(row)
            concept.append(span.concept)
    lists = (caption, concept, phrase_of, word_of)
    return Phrases(*(torch.tensor(values, dtype=torch.long) for values in lists))
