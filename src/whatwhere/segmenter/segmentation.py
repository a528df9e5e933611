"""What a segmenter found: arrays to compute with, files to keep, a picture to look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo


@dataclass(frozen=True)
class Segmentation:
    labels: Int[np.ndarray, "height width"]  # rows of `names`
    confidence: Float[np.ndarray, "height width"]  # in (0, 1]: share of the softmax over names
    names: tuple[str, ...]
    photo: Image.Image

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
            picture.putpalette(colors(len(self.names)).ravel().tolist())
        else:
            picture = Image.fromarray(self.labels.astype(np.uint16))
        about = PngInfo()
        about.add_itxt("names", json.dumps(self.names, ensure_ascii=False))
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, pnginfo=about)
        return path

    def overlay(self, *, strength: float = 0.55) -> Image.Image:
        """The photo under its labels' colours, outlines, and a legend of the names that occur.

        Colours fade where the confidence is low.
        """
        photo = np.asarray(self.photo, dtype=np.float32)
        tint = colors(len(self.names))[self.labels].astype(np.float32)
        floor = 1 / max(len(self.names), 2)
        sure = ((self.confidence - floor) / (1 - floor)).clip(0, 1) ** 0.5
        alpha = strength * (0.45 + 0.55 * sure)[..., None]
        mixed = photo * (1 - alpha) + tint * alpha
        mixed[_edges(self.labels)] = 255
        return _with_legend(Image.fromarray(mixed.round().astype(np.uint8)), self)


def colors(count: int) -> np.ndarray:
    """Colours [count, 3] far apart in hue, the same for the same row in every picture."""
    rows = np.arange(count)
    hue = (0.58 + rows * 0.61803398875) % 1.0
    light = np.array([0.86, 0.62, 0.98])[rows % 3]
    rich = np.array([0.72, 0.85, 0.5])[(rows // 3) % 3]
    sector = (hue * 6)[:, None] + np.array([5.0, 3.0, 1.0])
    wave = np.minimum(sector % 6, 4 - sector % 6).clip(0, 1)
    return np.rint(255 * light[:, None] * (1 - rich[:, None] * wave)).astype(np.uint8)


def _edges(labels: np.ndarray) -> np.ndarray:
    edge = np.zeros(labels.shape, dtype=bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    return edge


def _with_legend(picture: Image.Image, found: Segmentation) -> Image.Image:
    """The picture above one row of chips (or as many as it takes), largest name first."""
    shares = [(name, share) for name, share in found.shares().items() if share >= 0.001]
    size = max(11, round(picture.width / 32))
    font = ImageFont.load_default(size)
    pad, line = size // 2, round(size * 1.7)
    chips, x, y = [], pad, pad
    for name, share in shares:
        text = f"{name}  {share:.0%}"
        width = round(font.getlength(text)) + line + pad
        if x + width > picture.width and x > pad:
            x, y = pad, y + line
        chips.append((name, text, x, y))
        x += width + pad
    paper = Image.new("RGB", (picture.width, picture.height + y + line + pad), "white")
    paper.paste(picture, (0, 0))
    draw, palette = ImageDraw.Draw(paper), colors(len(found.names))
    for name, text, x, y in chips:
        top = picture.height + y
        color = tuple(int(v) for v in palette[found.names.index(name)])
        draw.rounded_rectangle((x, top, x + size, top + size), radius=size // 4, fill=color)
        draw.text((x + size + pad, top + size / 2), text, fill="black", font=font, anchor="lm")
    return paper
