"""Every name's IoU as a bar, and in words what goes wrong most."""

from __future__ import annotations

from html import escape

import numpy as np
from jaxtyping import UInt8

from whatwhere.benchmarks.score import Scores
from whatwhere.report import Html
from whatwhere.report.gallery import swatch


def class_table(scores: Scores, *, colors: UInt8[np.ndarray, "names 3"]) -> Html:
    """Names by IoU, the best first, beside the colours that they have in the pictures."""
    iou = scores.iou
    order = np.argsort(np.where(np.isnan(iou), 1, -iou), kind="stable").tolist()
    rows = [
        f'<tr><th scope="row">{swatch(colors[k])}{escape(scores.classes[k])}'
        f"</th><td>{scores.photos[k]}</td>{_bar(float(iou[k]))}</tr>"
        for k in order
    ]
    head = (
        '<tr><th scope="col">name</th><th scope="col">pictures</th><th scope="col">IoU %</th></tr>'
    )
    return Html("\n".join(['<table class="classes">', head, *rows, "</table>"]))


def _bar(iou: float) -> str:
    if np.isnan(iou):
        return "<td>\N{EN DASH}</td>"
    bar = f'<b style="width: {100 * iou:.1f}%"></b>'
    return f'<td><span class="bar">{bar}</span><span class="value">{100 * iou:.1f}</span></td>'


def worst_mistake(scores: Scores) -> str:
    """The pair of names that loses most pixels, in a sentence; empty if nothing was wrong."""
    wrong = scores.counts.copy()
    np.fill_diagonal(wrong, 0)
    if not wrong.any():
        return ""
    true, guess = np.unravel_index(int(wrong.argmax()), wrong.shape)
    share = wrong[true, guess] / scores.counts[true].sum()
    a, b = scores.classes[int(true)], scores.classes[int(guess)]
    return f"Its most common mistake is to call “{a}” “{b}”: {share:.0%} of the pixels of “{a}”."


def commonest(scores: Scores) -> tuple[str, float, float]:
    """What needs no learning: always the commonest name, with its mIoU and pixel accuracy.

    Its one name has the IoU of its share of the pixels, all others that occur have 0.
    """
    pixels = scores.counts.sum(axis=1)
    share = float(pixels.max() / pixels.sum())
    return scores.classes[int(pixels.argmax())], share / int((pixels > 0).sum()), share
