"""Which spatial relations of two things are true, decided by their pixels."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from jaxtyping import Bool

from .scene import Relation

NEAR = 0.1  # share of the picture's width that may lie between neighbours
HIDES = 0.04  # share of a thing that must be hidden to call another one in front of it


def relations(
    visible: Bool[np.ndarray, "things height width"],
    whole: Bool[np.ndarray, "things height width"],
) -> list[Relation]:
    """All that hold clearly, things ordered back to front.

    left/right/above/below: the centre of each thing's visible pixels lies beyond the other's box,
    and farther in this direction than across. front/behind: one hides part of the other.
    near: boxes at one height and hardly a gap between their sides, and neither hides the other.
    """
    boxes, centres = [box(mask) for mask in visible], [_centre(mask) for mask in visible]
    found = []
    for one, two in permutations(range(len(visible)), 2):
        front, back = max(one, two), min(one, two)
        hides = (whole[front] & whole[back]).sum() >= HIDES * whole[back].sum()
        if hides:
            found.append(Relation("front" if one == front else "behind", one, two))
        elif _near(boxes[one], boxes[two], gap=NEAR * visible.shape[2]):
            found.append(Relation("near", one, two))
        for axis, before, after in ((1, "left", "right"), (0, "above", "below")):
            way = _apart(boxes, centres, one, two, axis)
            if way:
                found.append(Relation(before if way < 0 else after, one, two))
    return found


def box(mask: Bool[np.ndarray, "height width"]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of the true pixels; bottom and right excluded."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1


def _centre(mask: np.ndarray) -> tuple[float, float]:
    rows, cols = np.nonzero(mask)
    return float(rows.mean()) + 0.5, float(cols.mean()) + 0.5


def _apart(boxes: list, centres: list, one: int, two: int, axis: int) -> float:
    """How far `one` lies after (+) or before (-) `two` along the axis; 0 if not clearly so."""
    away = centres[one][axis] - centres[two][axis]
    if abs(away) <= abs(centres[one][1 - axis] - centres[two][1 - axis]):
        return 0.0
    low, high = (one, two) if away < 0 else (two, one)
    clear = centres[low][axis] < boxes[high][axis] and boxes[low][axis + 2] < centres[high][axis]
    return away if clear else 0.0


def _near(one: tuple[int, ...], two: tuple[int, ...], *, gap: float) -> bool:
    together = min(one[2], two[2]) - max(one[0], two[0])
    level = together >= 0.5 * min(one[2] - one[0], two[2] - two[0])
    return level and 0 <= max(one[1], two[1]) - min(one[3], two[3]) <= gap
