"""The records that flow from file to loss to label map.

Axis names are the same in the whole package:
batch, views (of one photo, without captions), words (caption tokens), rows, cols, patches (= rows *
cols), regions, phrases, covered, dim (the joint space), width (inside an encoder), height and width
of pictures in pixels, names, images and texts (the two sides of a comparison), vectors (names with
all their synonyms).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import BFloat16, Bool, Float, Int, Int8
from torch import Tensor

Record = TypeVar("Record")


class Span(NamedTuple):
    """A noun phrase in a cleaned caption: its characters [start, end) and its concept's row."""

    start: int
    end: int
    concept: int
    parts: tuple[tuple[int, int], ...] = ()  # its own characters, if it leaves some out between


@dataclass(frozen=True)
class Tokens:
    """Tokenised captions."""

    ids: Int[Tensor, "batch words"]
    mask: Bool[Tensor, "batch words"]  # real tokens: start and end included, padding not
    offsets: Int[Tensor, "batch words 2"]  # characters [start, end) of the cleaned text; 0,0 = none


@dataclass(frozen=True)
class Phrases:
    """Noun phrases found in the captions of one batch, flattened over the batch and ragged."""

    caption: Int[Tensor, " phrases"]  # row of the caption that the phrase is in, ascending
    concept: Int[Tensor, " phrases"]  # row of the concept bank
    covered_phrase: Int[Tensor, " covered"]  # the phrase that owns each covered token, ascending
    covered_word: Int[Tensor, " covered"]  # that token's place in its caption


@dataclass(frozen=True)
class ImageFeatures:
    """What an image encoder makes of pictures, not normalised."""

    patches: Float[Tensor, "batch rows cols width"]
    cls: Float[Tensor, "batch width"] | None = None  # None: the encoder has no such token
    sampled: bool = False  # some patches were dropped: those left are one row, in any order


@dataclass(frozen=True)
class Packed:
    """Vectors in few bytes: each number times the unit of its vector."""

    numbers: Int8[Tensor, "*place width"] | BFloat16[Tensor, "*place width"]
    unit: Float[Tensor, "*place"]

    def unpack(self) -> Float[Tensor, "*place width"]:
        return self.numbers.float().mul_(self.unit[..., None])


@dataclass(frozen=True)
class PackedFeatures:
    """`ImageFeatures` as a cache keeps them: small to read and to move, unpacked where used."""

    patches: Packed
    cls: Packed | None = None

    def window(self, rows: slice, cols: slice) -> PackedFeatures:
        """Those of some patches. What a CLS token saw is not taken back."""
        numbers, unit = (some[:, rows, cols] for some in (self.patches.numbers, self.patches.unit))
        return PackedFeatures(Packed(numbers, unit), self.cls)

    def unpack(self) -> ImageFeatures:
        return ImageFeatures(self.patches.unpack(), None if self.cls is None else self.cls.unpack())


@dataclass(frozen=True)
class TextFeatures:
    """What a text encoder makes of captions, in the joint space, not normalised."""

    words: Float[Tensor, "batch words dim"]
    caption: Float[Tensor, "batch dim"]


@dataclass(frozen=True)
class Batch:
    """What the captions give, row by row. Either pictures or the cached features of pictures."""

    tokens: Tokens
    images: Float[Tensor, "batch 3 height width"] | None = None  # in [0, 1]
    features: ImageFeatures | PackedFeatures | None = None
    phrases: Phrases | None = None
    prompts: Tokens | None = None  # as many texts for each picture, all of a picture in a row

    def __len__(self) -> int:
        return len(self.tokens.ids)


@dataclass(frozen=True)
class Views:
    """Several looks at each of some photos, cut and coloured differently."""

    pictures: Float[Tensor, "batch views 3 height width"]  # in [0, 1]
    boxes: Float[Tensor, "batch views 4"]  # top, left, height, width of each in its photo's pixels
    mirrored: Bool[Tensor, "batch views"]

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True)
class Look:
    """An image encoder and the views it is to look at, once, when a pretext first asks."""

    encoder: Callable[[Tensor], ImageFeatures]
    views: Views

    @property
    def pictures(self) -> Float[Tensor, "batch_views 3 height width"]:
        """All views of a photo in a row."""
        return rearrange(self.views.pictures, "batch views ... -> (batch views) ...")

    @cached_property
    def features(self) -> ImageFeatures:
        return self.encoder(self.pictures)


@dataclass(frozen=True)
class Pooled:
    """What a pooling makes of the features of a picture, not normalised."""

    image: Float[Tensor, "batch dim"]
    regions: Float[Tensor, "batch regions dim"]
    where: Float[Tensor, "batch regions patches"] | None = None  # None: region i is patch i


@dataclass(frozen=True)
class EncodedImages:
    """Pictures in the joint space. All vectors have unit length."""

    image: Float[Tensor, "batch dim"]
    regions: Float[Tensor, "batch regions dim"]
    where: Float[Tensor, "batch regions patches"] | None  # share of each patch; None: the identity
    grid: tuple[int, int]  # rows, cols; patches = rows * cols


@dataclass(frozen=True)
class EncodedTexts:
    """Captions in the joint space. All vectors have unit length."""

    words: Float[Tensor, "batch words dim"]
    caption: Float[Tensor, "batch dim"]


@dataclass(frozen=True)
class Pairs:
    """Scores of this process's rows against the rows of every process; row i's own is first + i.

    The two matrices need not be transposes of each other.
    """

    image_to_text: Float[Tensor, "images texts"]
    text_to_image: Float[Tensor, "texts_here images_everywhere"]
    first: int = 0


@dataclass(frozen=True)
class Encoded:
    """What the model makes of a batch."""

    images: EncodedImages
    texts: EncodedTexts
    pairs: Pairs
    prompts: Float[Tensor, "prompts dim"] | None = None  # of unit length, in the batch's order


@dataclass(frozen=True)
class Losses:
    """What an objective returns: `terms` are summed and differentiated, `report` is only logged."""

    terms: dict[str, Float[Tensor, ""]]
    report: dict[str, Float[Tensor, ""]] = field(default_factory=dict)

    @property
    def total(self) -> Float[Tensor, ""]:
        return torch.stack(list(self.terms.values())).sum()


@dataclass(frozen=True)
class Sizes:
    """What parts with weights need to know when they are built."""

    dim: int = 0  # of the vectors that come out; after the head, of the joint space
    width: int = 0  # of the patch vectors that come in
    concepts: int = 0  # names in the bank
    pretrained: bool = True  # False: a checkpoint will bring the weights, read no other file


@runtime_checkable
class ImageEncoder(Protocol):
    """Pixels to patch vectors."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    patch: int  # pixels between neighbouring patches
    size: int  # pixels a side it was made for
    width: int
    frozen: bool

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns for a picture; ValueError names a size that works."""
        ...

    def __call__(
        self,
        images: Float[Tensor, "batch 3 height width"],
        inject: dict[int, Float[Tensor, "batch extra dim"]] | None = None,
    ) -> ImageFeatures: ...


@runtime_checkable
class ShowsStages(Protocol):
    """A network whose features can be seen on the way."""

    def stage_maps(
        self, pixels: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch channels rows cols"]]:
        """What leaves each stage, from normalised pixels."""
        ...


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids, with the characters that each token came from."""

    context: int  # the most tokens a caption may have; longer ones are cut

    def clean(self, text: str) -> str:
        """The text that offsets refer to. Cleaning twice changes nothing."""
        ...

    def __call__(self, texts: list[str]) -> Tokens:
        """Tokens of texts that are already clean."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Token ids to word vectors and a caption vector, both in the joint space."""

    tokenizer: Tokenizer
    frozen: bool

    def fit(self, captions: Iterable[str]) -> None:
        """Called once before training, with every caption, to choose which tokens get a vector."""
        ...

    def unknown(self, texts: list[str]) -> list[tuple[str, ...]]:
        """Of each text the words that this encoder has surely not learnt; cleaned or not."""
        ...

    def embed(self, ids: Int[Tensor, "batch words"]) -> Float[Tensor, "batch words width"]:
        """Token vectors before any mixing; learned prompts are put in here."""
        ...

    def encode(
        self,
        embeddings: Float[Tensor, "batch words width"],
        mask: Bool[Tensor, "batch words"],
        inject: dict[int, Float[Tensor, "batch extra width"]] | None = None,
    ) -> TextFeatures: ...


def to(record: Record, device: torch.device | str) -> Record:
    """The same record with every tensor in it, however deep, on `device`."""
    return _map(record, lambda tensor: tensor.to(device, non_blocking=True))


def _map(value: Any, change: Any) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: _map(getattr(value, f.name), change) for f in fields(value)}
        )
    return value
