"""Photographs with what was found in them laid over, what was asked for, and what it took."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from whatwhere.report import Html
from whatwhere.report.gallery import SPECK, ramp, swatch
from whatwhere.segmenter.reading import BACKGROUND
from whatwhere.segmenter.segmentation import Segmentation, palette

LARGEST = 1280  # pixels that the long side of a picture is brought to, if it is longer


@dataclass(frozen=True)
class Asked:
    """A photograph, the names asked of it and what came out.

    others   names of these that it does not show, for all that is known; None: nothing is known
    credit   whose it is and under which licence; "" says nothing
    source   where it can be found, as a link behind the credit
    """

    key: str  # names its files
    title: str
    found: Segmentation
    seconds: float
    others: frozenset[str] | None = None
    credit: str = ""
    source: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """As asked for, the background not among them."""
        return tuple(name for name in self.found.names if name != BACKGROUND)

    @property
    def seen(self) -> tuple[str, ...]:
        """Names on more than a speck of it, the largest first."""
        shares = self.found.shares().items()
        return tuple(name for name, share in shares if name != BACKGROUND and share > SPECK)


def article(asked: Asked, *, folder: Path) -> Html:
    """The photo, what was found and how sure it is; the pictures go to `folder` beside the page."""
    folder.mkdir(parents=True, exist_ok=True)
    found, seen = asked.found, ", ".join(asked.seen) or "none of the names"
    sure = f"Confidence, {found.confidence.mean():.0%} on average"
    figures = [
        _figure(picture, folder / name, caption, said)
        for picture, name, caption, said in (
            (found.photo, photo_file(asked.key), "Photo", asked.title),
            (found.tinted(), f"{asked.key}-found.jpg", "Found", seen),
            (
                Image.fromarray(ramp(found.confidence)),
                f"{asked.key}-confidence.jpg",
                sure,
                asked.title,
            ),
        )
    ]
    took = f"{found.photo.width} by {found.photo.height} pixels, {asked.seconds:.2f} s"
    head = f"<h3>{escape(asked.title)} <span>{took}</span></h3>"
    return Html(
        "\n".join(
            [
                "<article>",
                head,
                '<div class="row photos">',
                *figures,
                "</div>",
                _legend(asked),
                *_silent(asked),
                *_credit(asked),
                "</article>",
            ]
        )
    )


def photo_file(key: str) -> str:
    """The name of the file that holds the photo itself."""
    return f"{key}.jpg"


def _figure(picture: Image.Image, path: Path, caption: str, said: str) -> str:
    shown = picture.copy()
    shown.thumbnail((LARGEST, LARGEST))
    shown.save(path, quality=92)
    return (
        f'<figure><img src="{quote(f"{path.parent.name}/{path.name}")}" width="{shown.width}" '
        f'height="{shown.height}" alt="{escape(f"{caption}: {said}")}" loading="lazy">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _legend(asked: Asked) -> str:
    """A chip for each name that was found and for what stayed grey."""
    shares = asked.found.shares()
    squares = dict(zip(asked.found.names, map(swatch, palette(asked.found.names)), strict=True))
    shown = [*asked.seen, *([BACKGROUND] if shares.get(BACKGROUND, 0) > SPECK else [])]
    chips = []
    for name in shown:
        wrong = asked.others is not None and name in asked.others
        said = "none of these" if name == BACKGROUND else escape(name)
        remark = ' <b class="wrong">not there</b>' if wrong else ""
        chips.append(f"<li>{squares[name]}{said} <span>{shares[name]:.0%}</span>{remark}</li>")
    return f'<ul class="legend">{"".join(chips)}</ul>'


def _silent(asked: Asked) -> list[str]:
    """Names that were asked for and got nothing: rightly, wrongly, or nobody knows."""
    left = [name for name in asked.names if name not in asked.seen]
    if asked.others is None:
        groups = {"Asked for and not found: ": left}
    else:
        groups = {
            "Missed: ": [name for name in left if name not in asked.others],
            "Not there, and not found: ": [name for name in left if name in asked.others],
        }
    said = [escape(head + ", ".join(names)) for head, names in groups.items() if names]
    return [f'<p class="silent">{" · ".join(said)}</p>'] if said else []


def _credit(asked: Asked) -> list[str]:
    if not asked.credit:
        return []
    text = escape(asked.credit)
    linked = f'<a href="{escape(asked.source)}">{text}</a>' if asked.source else text
    return [f'<p class="credit">Photo: {linked}</p>']
