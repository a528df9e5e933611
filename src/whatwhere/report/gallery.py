"""Pictures side by side: photo, truth, what was found, how sure it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from whatwhere.report import Html
from whatwhere.segmenter.segmentation import Segmentation

SHOWN = 480  # pixels that a picture's width is brought to, if it is smaller
SPECK = 0.005  # share of the pixels below which a name is left out of a legend

# From unsure to sure, dark to light, so that it can be read without seeing hues.
SURE = np.array([(26, 18, 64), (50, 66, 140), (34, 138, 150), (120, 200, 122), (250, 236, 140)])


@dataclass(frozen=True)
class Row:
    """One picture of a gallery."""

    key: str  # names its files
    note: str
    found: Segmentation
    truth: Int[np.ndarray, "height width"] | None = None  # rows of `found.names`; None: unlabelled
    caption: str | None = None


def gallery(rows: Sequence[Row], *, folder: Path, colors: UInt8[np.ndarray, "names 3"]) -> Html:
    """The rows, their pictures kept in `folder`, which lies beside the page. No rows: nothing.

    All rows are about the same names, whose colours are `colors`. Photographs that nobody has
    labelled or described have neither truth nor caption: their row is what was found in them.
    """
    if rows:
        folder.mkdir(parents=True, exist_ok=True)
    return Html("\n".join(_row(row, folder, colors) for row in rows))


def confidence_key() -> Html:
    """What the colours of confidence mean."""
    stops = ", ".join(f"rgb({r} {g} {b})" for r, g, b in SURE.tolist())
    return Html(
        '<p class="ramp">Confidence: 0 <span role="img" aria-label="from dark to light" '
        f'style="background: linear-gradient(to right, {stops})"></span> 1, '
        "the share of the best name in the softmax over all names</p>"
    )


def swatch(color: UInt8[np.ndarray, " 3"]) -> Html:
    """A little square of the colour, to stand before a name."""
    r, g, b = color.tolist()
    return Html(f'<i style="background: rgb({r} {g} {b})"></i>')


def _row(row: Row, folder: Path, colors: UInt8[np.ndarray, "names 3"]) -> str:
    found = row.found
    parts = [("photo", found.photo, "Picture")]
    if row.truth is not None:
        parts.append(("truth", Image.fromarray(colors[row.truth]), "Truth"))
    parts.append(("found", Image.fromarray(colors[found.labels]), "Prediction"))
    sure = round(100 * float(found.confidence.mean()))
    parts.append(("confidence", Image.fromarray(ramp(found.confidence)), "Confidence"))
    told = {
        "photo": row.caption or "",
        "truth": "" if row.truth is None else _told(found.names, row.truth),
        "found": _told(found.names, found.labels),
        "confidence": f"{sure} % on average",
    }
    figures = []
    for what, picture, caption in parts:
        path = folder / f"{row.key}-{what}.png"
        large = _enlarged(picture, smooth=what == "photo")
        large.save(path)
        source = quote(f"{folder.name}/{path.name}")
        said = escape(f"{caption}: {told[what]}" if told[what] else caption)
        figures.append(
            f'<figure><img src="{source}" width="{large.width}" height="{large.height}" '
            f'alt="{said}" loading="lazy">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    words = [] if row.caption is None else [f"<blockquote>{escape(row.caption)}</blockquote>"]
    head = ["<article>", f"<h3>{escape(row.note)}</h3>", *words]
    return "\n".join(
        [*head, '<div class="row">', *figures, "</div>", _legend(row, colors), "</article>"]
    )


def _legend(row: Row, colors: UInt8[np.ndarray, "names 3"]) -> str:
    """A chip for each name that is there or was found; what was found but is not there is said."""
    found = row.found
    there = [] if row.truth is None else _largest(found.names, row.truth)
    seen = _largest(found.names, found.labels)
    squares = dict(zip(found.names, map(swatch, colors), strict=True))

    def chip(name: str, remark: str) -> str:
        said = f" <span>{remark}</span>" if remark else ""
        return f"<li>{squares[name]}{escape(name)}{said}</li>"

    chips = [chip(name, "" if name in seen else "not found") for name in there]
    wrong = "" if row.truth is None else "not there"
    chips += [chip(name, wrong) for name in seen if name not in there]
    return f'<ul class="legend">{"".join(chips)}</ul>'


def _told(names: Sequence[str], labels: Int[np.ndarray, "height width"]) -> str:
    return ", ".join(_largest(names, labels))


def _largest(names: Sequence[str], labels: Int[np.ndarray, "height width"]) -> list[str]:
    """Names of more than a speck, the largest first."""
    share = np.bincount(labels.ravel(), minlength=len(names)) / labels.size
    order: Iterable[int] = np.argsort(-share, kind="stable").tolist()
    return [names[i] for i in order if share[i] > SPECK]


def ramp(confidence: Float[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """Numbers from 0 to 1 as colours from dark to light."""
    steps = np.linspace(0, 1, len(SURE))
    bands = [np.interp(confidence, steps, SURE[:, band]) for band in range(3)]
    return np.stack(bands, axis=-1).round().astype(np.uint8)


def _enlarged(picture: Image.Image, *, smooth: bool) -> Image.Image:
    """A whole number of times larger. Labels keep their pixels, which are what was decided."""
    times = max(1, round(SHOWN / picture.width))
    size = (picture.width * times, picture.height * times)
    return picture.resize(size, Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST)
