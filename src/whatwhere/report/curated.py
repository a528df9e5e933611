"""The sheet of an audit: pictures, what their captions say and what they borrow beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from whatwhere.curation.audit import Audit
from whatwhere.report import Html, section, tiles

HEIGHT = 224  # pixels that an example is shown with


@dataclass(frozen=True)
class Shown:
    """One picture of the sheet."""

    picture: Image.Image
    captions: tuple[str, ...]
    said: tuple[str, ...]
    gained: tuple[tuple[str, float], ...]


def numbers(found: Audit, *, top: int) -> Html:
    """How many pictures gain how much."""
    pictures = len(found.own)
    some = int((found.gained > 0).sum())
    return tiles(
        [
            ("pictures that gain", f"{some / max(pictures, 1):.0%}", f"{some} of {pictures}"),
            ("gained per picture", f"{found.gained.mean():.2f}", f"of the {top} best"),
            ("said per picture", f"{found.own.mean():.2f}", "by its own captions"),
            ("never said", str(len(found.never)), f"of {len(found.said)} concepts"),
        ]
    )


def concept_table(found: Audit, names: Sequence[str], *, most: int = 30) -> Html:
    """The concepts that most pictures gain, with how many say them."""
    order = np.argsort(-found.recovered, kind="stable")[:most].tolist()
    rows = [
        f'<tr><th scope="row">{escape(names[row])}</th><td>{found.said[row]}</td>'
        f"<td>{found.recovered[row]}</td></tr>"
        for row in order
        if found.recovered[row]
    ]
    head = "".join(f'<th scope="col">{said}</th>' for said in ("concept", "say it", "gain it"))
    return Html("\n".join(['<table class="classes">', f"<tr>{head}</tr>", *rows, "</table>"]))


def examples(shown: Sequence[Shown], *, folder: Path) -> Html:
    """The pictures, kept in `folder`, which lies beside the page."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, one in enumerate(shown):
        small = one.picture.copy()
        small.thumbnail((4 * HEIGHT, HEIGHT))
        path = folder / f"{number:03d}.jpg"
        small.save(path, quality=90)
        said = ", ".join(one.said) or "nothing of the gallery"
        chips = "".join(
            f"<li>{escape(name)} <span>{score:.2f}</span></li>" for name, score in one.gained
        )
        captions = "".join(f"<blockquote>{escape(text)}</blockquote>" for text in one.captions)
        parts.append(
            f'<article><img src="{quote(f"{folder.name}/{path.name}")}" width="{small.width}" '
            f'height="{small.height}" alt="{escape(one.captions[0])}" loading="lazy">\n{captions}'
            f'<p>Said: {escape(said)}</p><ul class="legend"><li>Gained:</li>{chips}</ul></article>'
        )
    return Html("\n".join(parts))


def never(found: Audit, names: Sequence[str]) -> Html:
    """All concepts that no caption mentions."""
    unsaid = [names[row] for row in found.never.tolist()]
    if not unsaid:
        return Html("")
    return section("Never mentioned by any caption", ", ".join(unsaid))
