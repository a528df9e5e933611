"""Reports: one HTML page with pictures beside it, which any browser opens from the disk.

A page is a title, a lead and sections; every builder of a section escapes the text it is given.
The page asks nothing of the network and runs no script.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import NewType

Html = NewType("Html", str)


def page(title: str, *, lead: str, sections: Sequence[Html], generator: str) -> Html:
    """A whole document. `generator` is who wrote it, as `written_by` finds it again."""
    style = files("whatwhere.report").joinpath("style.css").read_text(encoding="utf-8")
    body = "\n".join(section for section in sections if section)
    return Html(
        f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{_generator(generator)}
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
<header>
<h1>{escape(title)}</h1>
<p class="lead">{escape(lead)}</p>
</header>
{body}
</main>
</body>
</html>
"""
    )


def written_by(document: str, generator: str) -> bool:
    """Whether a document is a page of this generator.

    >>> written_by(page("A page", lead="", sections=[], generator="me"), "me")
    True
    """
    return _generator(generator) in document


def section(heading: str, *paragraphs: str, inside: Html = Html("")) -> Html:
    """A heading, paragraphs of plain text, and what is to be seen below them."""
    texts = "\n".join(f"<p>{escape(text)}</p>" for text in paragraphs if text)
    return Html(f"<section>\n<h2>{escape(heading)}</h2>\n{texts}\n{inside}\n</section>")


def tiles(numbers: Sequence[tuple[str, str, str]]) -> Html:
    """Numbers to be seen first: what it is, how much, and what to hold it against."""
    cells = [
        f"<div><dt>{escape(what)}</dt>"
        f"<dd><strong>{escape(value)}</strong><span>{escape(against)}</span></dd></div>"
        for what, value, against in numbers
    ]
    return Html("\n".join(['<dl class="tiles">', *cells, "</dl>"]))


def facts(known: dict[str, str]) -> Html:
    """Settings, versions, commands: what it takes to do the same again."""
    rows = [f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in known.items()]
    return Html("\n".join(['<dl class="facts">', *rows, "</dl>"]))


def command(text: str) -> Html:
    """What to type, as it is typed."""
    return Html(f'<pre class="command"><code>{escape(text)}</code></pre>')


def _generator(name: str) -> str:
    return f'<meta name="generator" content="{escape(name)}">'
