"""Segmenter: a model and names; pictures in, label maps out. It has no branch per method.

Every picture is seen through square windows that overlap; a name's score at a pixel is the mean
over the windows that show it. Names are taken in chunks and only the best so far is kept, so memory
does not grow with the vocabulary.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from einops import reduce
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor

from whatwhere.concepts.backgrounds import background_names
from whatwhere.concepts.names import Names, parse_names, refuse_shared
from whatwhere.concepts.prompts import Prompts
from whatwhere.model import Model
from whatwhere.records import EncodedImages, to
from whatwhere.segmenter.guided import guided
from whatwhere.segmenter.photos import Photo, read_photo
from whatwhere.segmenter.presence import presence
from whatwhere.segmenter.reading import BACKGROUND, Background, Reading
from whatwhere.segmenter.regions import name_regions
from whatwhere.segmenter.segmentation import Segmentation
from whatwhere.segmenter.windows import Window, windows
from whatwhere.transforms import short_side, to_tensor, whole

SCORES = 2**26  # numbers held at a time: 256 MiB, so large photos are scored by fewer names
TEXTS = 256  # prompts encoded at a time


@dataclass(frozen=True)
class Looked:
    """A photo after the image encoder: other names can be asked for without looking again."""

    picture: Image.Image
    seen: _Seen


@dataclass(frozen=True)
class _Seen:
    """A picture's windows, encoded in batches, and the picture that they lie on."""

    places: list[Window]
    encoded: list[EncodedImages]
    pixels: Float[Tensor, "3 seen_height seen_width"]

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[2]


class Segmenter:
    """`segment(photo, names)`; `load` gives one."""

    def __init__(self, model: Model, reading: Reading | None = None):
        self.model = model.eval()
        self.reading = reading or Reading()
        if self.reading.regions is not None and model.similarity.readout.calibration != "none":
            raise ValueError(
                "regions are named by their cosines as they are: with reading.regions, set "
                "similarity.calibration=none"
            )
        self.device = model.device
        self._asked: tuple[list[str], Float[Tensor, "vectors dim"]] | None = None
        self._lacks: dict[str, tuple[str, ...]] = {}  # of names the words that were never learnt
        self._warned: set[str] = set()

    @torch.no_grad()
    def __call__(
        self,
        photo: Photo | Looked,
        names: str | Sequence[str],
        *,
        background: Background | None = None,
    ) -> Segmentation:
        """Which of `names` each pixel shows.

        `photo` is a path, a PIL picture, an array [height, width, 3] of bytes or of numbers in
        [0, 1], a tensor [3, height, width] in [0, 1], or what `look` made of one. `names` is
        "dog, grass|lawn" or a list; `|` joins synonyms, of which the best counts. The label map
        has the photo's size; where a background rule is set, label 0 is the background.

        A name with a word that the model has never learnt competes for no pixel, whatever its
        vector; a warning tells of it. If no name is left, the confidence is 0 everywhere.
        """
        looked = photo if isinstance(photo, Looked) else self.look(photo)
        classes = parse_names(names)
        rule = background or self.reading.background
        others = _others(rule, classes)
        if rule.rule != "none":
            taken = (BACKGROUND, *(synonym for synonyms in others for synonym in synonyms))
            places = ["the background", *(f"name {i + 1} ({c[0]})" for i, c in enumerate(classes))]
            refuse_shared([taken, *classes], places)
        vectors, owner = self.name_vectors([*classes, *others])
        unknown = self.unknown(classes)
        self._warn(unknown)
        best, label, confidence = self.best(looked, vectors, owner, rule=rule)
        shown = tuple(synonyms[0] for synonyms in classes)
        if rule.rule != "none":
            shown = (BACKGROUND, *shown)
            none = _none(best, label=label, confidence=confidence, rule=rule, names=len(classes))
            label = torch.where(none, 0, label + 1)
        return Segmentation(
            _array(label), _array(confidence), shown, looked.picture, tuple(unknown)
        )

    def unknown(self, classes: Sequence[Names]) -> dict[str, tuple[str, ...]]:
        """The names that no pixel is given to, each with its words that were never learnt.

        Of a name with synonyms all must have such a word.
        """
        found, lacking = {}, self._lacking(classes)
        for synonyms in classes:
            lacks = [lacking[synonym] for synonym in synonyms]
            if all(lacks):
                found[synonyms[0]] = tuple(dict.fromkeys(word for some in lacks for word in some))
        return found

    def known(self, classes: Sequence[Names]) -> tuple[list[str], list[int]]:
        """Synonyms without a word that was never learnt, and the row of the name of each."""
        lacking = self._lacking(classes)
        pairs = [
            (synonym, row)
            for row, synonyms in enumerate(classes)
            for synonym in synonyms
            if not lacking[synonym]
        ]
        return [synonym for synonym, _ in pairs], [row for _, row in pairs]

    def _lacking(self, classes: Sequence[Names]) -> dict[str, tuple[str, ...]]:
        """The encoder is asked about a name once, not for every photo."""
        flat = (synonym for synonyms in classes for synonym in synonyms)
        if new := [synonym for synonym in flat if synonym not in self._lacks]:
            self._lacks |= zip(new, self.model.text_encoder.unknown(new), strict=True)
        return self._lacks

    def _warn(self, unknown: dict[str, tuple[str, ...]]) -> None:
        """Once, however many photos are asked about."""
        for name in [name for name in unknown if name not in self._warned]:
            words = ", ".join(unknown[name])
            plural = "" if len(unknown[name]) == 1 else "s"
            warnings.warn(
                f"{name!r} is given no pixel, since no caption has taught this model the "
                f"word{plural} {words}",
                stacklevel=4,  # who called the segmenter, from inside its no_grad
            )
        self._warned |= unknown.keys()

    @torch.no_grad()
    def look(self, photo: Photo) -> Looked:
        """The photo's windows through the image encoder, which is most of the work."""
        picture = read_photo(photo)
        return Looked(picture, self._see(self._resized(picture)))

    def name_vectors(
        self, classes: Sequence[tuple[str, ...]]
    ) -> tuple[Float[Tensor, "vectors dim"], Int[Tensor, " vectors"]]:
        """A unit vector for each synonym of each name, and the row of the name it stands for.

        The mean of the unit vectors of the prompts, normalised, as for CLIP and SimZSS. Synonyms
        with a word that was never learnt are left out, so a name may have no vector.
        """
        known, owner = self.known(classes)
        if self._asked is None or self._asked[0] != known:
            vectors = torch.zeros(0, 0, device=self.device)
            if known:
                vectors = self.model.similarity.readout.names(self.embed(known))
            self._asked = (known, vectors)
        return self._asked[1], torch.tensor(owner, dtype=torch.long, device=self.device)

    @torch.no_grad()
    def embed(self, names: Sequence[str]) -> Float[Tensor, "vectors dim"]:
        """A unit vector for each name, before any calibration, as pictures are compared with."""
        tokenizer, ask = self.model.text_encoder.tokenizer, Prompts(self.reading.prompts)
        step = max(TEXTS // len(ask("thing")), 1)
        means = []
        for start in range(0, len(names), step):
            texts = [ask(name) for name in names[start : start + step]]
            tokens = tokenizer([tokenizer.clean(text) for some in texts for text in some])
            encoded = self.model.encode_texts(to(tokens, self.device)).caption
            means.append(reduce(encoded, "(n prompts) dim -> n dim", "mean", n=len(texts)))
        return F.normalize(torch.cat(means), dim=-1)

    def scores(
        self, picture: Image.Image, vectors: Float[Tensor, "vectors dim"]
    ) -> Float[Tensor, "scores height width"]:
        """Scores at every pixel of the photo, all vectors at once (memory grows with them)."""
        full = (picture.height, picture.width)
        return self.slide(self._resized(picture), vectors=vectors, full=full)

    @torch.no_grad()
    def slide(
        self,
        pixels: Float[Tensor, "3 seen_height seen_width"],
        *,
        vectors: Float[Tensor, "vectors dim"],
        full: tuple[int, int],
    ) -> Float[Tensor, "scores height width"]:
        """Scores, at the size `full`, of pixels that have the size at which windows see them.

        Where the reading has the background rule "region", its scores come last.
        """
        seen, vectors = self._settled(self._see(pixels), vectors, None, self.reading.background)
        return self._place(seen, vectors, full, self._absence(seen, vectors))

    def _settled(
        self,
        seen: _Seen,
        vectors: Float[Tensor, "vectors dim"],
        owner: Int[Tensor, " vectors"] | None,
        rule: Background,
    ) -> tuple[_Seen, Float[Tensor, "vectors_after dim_after"]]:
        """Windows whose regions have been named, if the reading wants them to be; else as given."""
        regions = self.reading.regions
        if regions is None:
            if rule.rule == "region":
                raise ValueError(
                    "the background rule 'region' is for readings that name regions first; add "
                    "--set reading.regions=whatwhere.segmenter.reading:Regions"
                )
            return seen, vectors
        size = (seen.places[0].height, seen.places[0].width)
        threshold = rule.threshold if rule.rule == "region" else None
        named = [
            name_regions(some, vectors, rule=regions, size=size, owner=owner, threshold=threshold)
            for some in seen.encoded
        ]
        return replace(seen, encoded=named), torch.eye(named[0].regions.shape[2]).to(vectors)

    @torch.no_grad()
    def best(
        self,
        looked: Looked,
        vectors: Float[Tensor, "vectors dim"],
        owner: Int[Tensor, " vectors"],
        *,
        rule: Background | None = None,
    ) -> tuple[
        Float[Tensor, "height width"], Int[Tensor, "height width"], Float[Tensor, "height width"]
    ]:
        """Best score, its name, and that name's share of the softmax, name by name in chunks.

        Names without a vector get no pixel; if there are no others, the score is -inf and the share
        0. Under the background rule "region" the background is one more name, of number -1.
        """
        full = (looked.picture.height, looked.picture.width)
        best = torch.full(full, -torch.inf, device=self.device)
        label = torch.zeros(full, dtype=torch.long, device=self.device)
        mass = torch.zeros(full, device=self.device)  # sum of exp(scale * (score - best))
        if len(vectors) == 0:
            return best, label, mass
        named, owner = owner.unique(return_inverse=True)
        named = F.pad(named, (0, 1), value=-1)
        seen, vectors = self._settled(looked.seen, vectors, owner, rule or Background())
        if self.reading.regions is not None:
            owner = torch.arange(len(vectors), device=owner.device)
        chunk = min(self.reading.chunk, SCORES // (full[0] * full[1]))
        absence = self._absence(seen, vectors)
        for first, last, rows in _chunks(owner, chunk):
            scores = self._place(seen, vectors[rows], full, absence[:, rows])
            some = _best_synonym(scores, owner[rows] - first, last - first)
            top, which = some.max(dim=0)
            label = torch.where(top > best, which + first, label)
            top = torch.maximum(top, best)
            mass *= best.sub_(top).mul_(self.reading.scale).exp_()
            mass += some.sub_(top).mul_(self.reading.scale).exp_().sum(dim=0)
            best = top
            del scores, some  # or they would be there while the next ones come
        return best, named[label], 1 / mass

    def _resized(self, picture: Image.Image) -> Float[Tensor, "3 height width"]:
        own = (picture.height, picture.width)
        size = own
        if self.reading.side:
            size = short_side(*own, side=self.reading.side, long=self.reading.long)
        if self.reading.resize == "bicubic":
            return to_tensor(whole(*own, size).picture(picture))
        pixels = to_tensor(picture)[None]
        return F.interpolate(pixels, size, mode="bilinear", align_corners=False)[0]

    def _see(self, pixels: Float[Tensor, "3 height width"]) -> _Seen:
        reading, encoder = self.reading, self.model.image_encoder
        size = (pixels.shape[1], pixels.shape[2])
        places = windows(size, window=reading.window, stride=reading.stride)
        crops = torch.stack([w.cut(pixels, multiple=encoder.patch) for w in places])
        batches = crops.to(self.device).split(8)
        encoded = [self.model.encode_images(some) for some in batches]
        return _Seen(places, encoded, pixels.to(self.device))

    def _absence(
        self, seen: _Seen, vectors: Float[Tensor, "vectors dim"]
    ) -> Float[Tensor, "windows vectors"]:
        """What each vector loses in each window for fitting no place of it as well as the best."""
        if not self.reading.presence:
            return torch.zeros(len(seen.places), len(vectors), device=self.device)
        dense, chunk = self.model.similarity.readout.dense, self.reading.chunk
        found = [
            torch.cat([presence(dense(some, part)) for part in vectors.split(chunk)], dim=1)
            for some in seen.encoded
        ]
        shown = torch.cat(found)
        return self.reading.presence * (shown.amax(dim=1, keepdim=True) - shown)

    def _place(
        self,
        seen: _Seen,
        vectors: Float[Tensor, "vectors dim"],
        full: tuple[int, int],
        absence: Float[Tensor, "windows vectors"],
    ) -> Float[Tensor, "vectors height width"]:
        """Window scores, brought to the window's pixels, averaged where windows overlap, resized.

        The order of TCL's protocol (mmsegmentation's slide inference): upsample, add, divide by
        the number of windows, resize to the photo. Absence is taken off before the first step, a
        guide acts before the last.
        """
        canvas = torch.zeros(len(vectors), *seen.size, device=self.device)
        hits = torch.zeros(seen.size, device=self.device)
        dense = self.model.similarity.readout.dense
        maps = (one for some in seen.encoded for one in dense(some, vectors))
        for place, scores, lost in zip(seen.places, maps, absence, strict=True):
            if self.reading.presence:  # maps of regions are large: not for nothing
                scores = scores - lost[:, None, None]
            place.add(scores, canvas, hits)
        canvas /= hits
        if self.reading.guide:
            canvas = guided(canvas, seen.pixels, radius=self.reading.guide)
        if canvas.shape[1:] == full:
            return canvas
        return F.interpolate(canvas[None], full, mode="bilinear", align_corners=False)[0]


def _others(rule: Background, asked: Sequence[Names]) -> list[Names]:
    """Names that compete beside those asked for and whose pixels are background."""
    if rule.rule == "list":
        return background_names(*rule.names, asked=asked)
    return parse_names(rule.names) if rule.rule == "names" else []


def _none(
    best: Float[Tensor, "height width"],
    *,
    label: Int[Tensor, "height width"],
    confidence: Float[Tensor, "height width"],
    rule: Background,
    names: int,
) -> Bool[Tensor, "height width"]:
    """Where the rule says background; `label` counts the names, then what competes beside them."""
    if rule.rule in ("names", "list", "region"):
        none = (label < 0) | (label >= names)
    else:
        none = (best if rule.rule == "score" else confidence) < rule.threshold
    return none | (best == -torch.inf)  # no name that was asked for is known


def _best_synonym(
    scores: Float[Tensor, "vectors height width"], owner: Int[Tensor, " vectors"], names: int
) -> Float[Tensor, "names height width"]:
    if len(scores) == names:
        return scores
    best = scores.new_full((names, *scores.shape[1:]), -torch.inf)
    return best.scatter_reduce(0, owner[:, None, None].expand_as(scores), scores, "amax")


def _chunks(owner: Int[Tensor, " vectors"], chunk: int) -> Iterator[tuple[int, int, slice]]:
    """(first name, one after the last, their rows): whole names, about `chunk` vectors together."""
    counts = torch.bincount(owner).tolist()
    first = row = 0
    while first < len(counts):
        last, stop = first + 1, row + counts[first]
        while last < len(counts) and stop + counts[last] - row <= chunk:
            stop += counts[last]
            last += 1
        yield first, last, slice(row, stop)
        first, row = last, stop


def _array(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()
