"""What a segmenter found: arrays to compute with, files to keep, a picture to look at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from whatwhere.segmenter.reading import BACKGROUND

LEGEND = 40  # names at most


@dataclass(frozen=True)
class Segmentation:
    labels: Int[np.ndarray, "height width"]  # rows of `names`
    confidence: Float[np.ndarray, "height width"]  # share of the softmax over known names; 0: none
    names: tuple[str, ...]
    photo: Image.Image
    unknown: tuple[str, ...] = ()  # names with a word that the model never learnt: without a pixel

    def mask(self, name: str) -> np.ndarray:
        """True where the photo shows `name`."""
        if name not in self.names:
            raise ValueError(f"{name!r} was not asked for, only {', '.join(self.names)}")
        return self.labels == self.names.index(name)

    def shares(self) -> dict[str, float]:
        """Part of the photo, 0 to 1, that each name covers; the largest first."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.names)) / self.labels.size
        order = np.argsort(-counts, kind="stable")
        return {self.names[i]: float(counts[i]) for i in order}

    def save(self, path: str | Path) -> Path:
        """The label map as PNG: pixel values are rows of `names`, which the file carries too.

        Up to 256 names: 8 bits with a palette, so that any viewer shows colours. More: 16 bits.
        """
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise ValueError(f"a label map is kept as .png, which loses nothing; got {path.name}")
        if len(self.names) <= 256:
            size = (self.labels.shape[1], self.labels.shape[0])
            picture = Image.frombytes("P", size, self.labels.astype(np.uint8).tobytes())
            picture.putpalette(palette(self.names).ravel().tolist())
        else:
            picture = Image.fromarray(self.labels.astype(np.uint16))
        about = PngInfo()
        about.add_itxt("names", json.dumps(self.names, ensure_ascii=False))
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, pnginfo=about)
        return path

    def overlay(self, *, strength: float = 0.6) -> Image.Image:
        """`tinted`, and below it a legend of the names that occur."""
        return _with_legend(self.tinted(strength=strength), self)

    def tinted(self, *, strength: float = 0.6) -> Image.Image:
        """The photo under its labels' colours, with outlines.

        Colours fade where the confidence is low; what is background is only greyed.
        """
        photo = np.asarray(self.photo, dtype=np.float32)
        tint = palette(self.names)[self.labels].astype(np.float32)
        floor = 1 / max(len(self.names), 2)
        sure = ((self.confidence - floor) / (1 - floor)).clip(0, 1) ** 0.5
        alpha = strength * (0.45 + 0.55 * sure)[..., None]
        mixed = photo * (1 - alpha) + tint * alpha
        mixed[_edges(self.labels, thick=max(1, round(min(self.labels.shape) / 400)))] = 255
        return Image.fromarray(mixed.round().astype(np.uint8))


def palette(names: Sequence[str]) -> UInt8[np.ndarray, "names 3"]:
    """A colour for each name; grey for the background."""
    found = colors(len(names))
    found[[name == BACKGROUND for name in names]] = 72
    return found


def colors(count: int) -> UInt8[np.ndarray, "names 3"]:
    """Colours that look unlike each other, the same for the same row in every picture."""
    known = _unlike_colors()
    return known[np.arange(count) % len(known)]


@cache
def _unlike_colors() -> UInt8[np.ndarray, "colors 3"]:
    """256 colours; each is as far as can be from those before it.

    Distances are those of Oklab (Ottosson 2020), where equal steps look about equally large. Nearly
    black, white, grey and glaring colours are left out: they would hide the photo or outlines.
    """
    levels = np.linspace(0, 1, 18)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _oklab(rgb)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    usable = (lab[:, 0] > 0.5) & (lab[:, 0] < 0.87) & (chroma > 0.1) & (chroma < 0.24)
    rgb, lab = rgb[usable], lab[usable]
    chosen = [int(np.linalg.norm(lab - _oklab(np.array([[0.15, 0.5, 0.9]])), axis=1).argmin())]
    nearest = np.full(len(lab), np.inf)
    while len(chosen) < 256:
        nearest = np.minimum(nearest, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(nearest.argmax()))
    return np.rint(255 * rgb[chosen]).astype(np.uint8)


def _oklab(rgb: Float[np.ndarray, "colors 3"]) -> Float[np.ndarray, "colors 3"]:
    """sRGB in [0, 1] as lightness, green to red, blue to yellow."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    axes = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.cbrt(linear @ cones.T) @ axes.T


def _edges(
    labels: Int[np.ndarray, "height width"], *, thick: int
) -> Bool[np.ndarray, "height width"]:
    edge = np.zeros(labels.shape, dtype=bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    for _ in range(thick - 1):
        edge[:, :-1] |= edge[:, 1:]
        edge[:-1] |= edge[1:]
    return edge


def _with_legend(picture: Image.Image, found: Segmentation) -> Image.Image:
    """The picture above one row of chips (or as many as it takes), largest name first."""
    shares = [(name, share) for name, share in found.shares().items() if share >= 0.001]
    chosen = dict(zip(found.names, palette(found.names).tolist(), strict=True))
    chips = [
        (f"{name}  {share:.0%}" if share >= 0.01 else f"{name}  <1%", tuple(chosen[name]))
        for name, share in shares[:LEGEND]
    ]
    if len(shares) > LEGEND:
        chips.append((f"and {len(shares) - LEGEND} more", (255, 255, 255)))
    size = max(12, round(picture.width / 32))
    font, pad, line = ImageFont.load_default(size), size // 2, round(size * 1.7)
    lengths = [round(font.getlength(text)) + size + pad for text, _ in chips]
    width = max(picture.width, max(lengths) + 2 * pad)
    places, x, y = [], pad, pad
    for length in lengths:
        if x + length + pad > width and x > pad:
            x, y = pad, y + line
        places.append((x, picture.height + y))
        x += length + 2 * pad
    paper = Image.new("RGB", (width, picture.height + y + line), "white")
    paper.paste(picture, (0, 0))
    draw = ImageDraw.Draw(paper)
    for (text, color), (x, y) in zip(chips, places, strict=True):
        draw.rounded_rectangle((x, y, x + size, y + size), radius=size // 4, fill=color)
        draw.text((x + size + pad, y + size / 2), text, fill="black", font=font, anchor="lm")
    return paper
