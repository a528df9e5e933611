"""What borrowing would tell a model that captions do not, before any training is paid for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from whatwhere.curation.mentions import Mentions


@dataclass(frozen=True)
class Audit:
    """Counts over pictures; concepts are rows of the gallery."""

    said: Int64[np.ndarray, " concepts"]  # pictures whose own captions mention it
    recovered: Int64[np.ndarray, " concepts"]  # pictures that borrow it and do not mention it
    own: Int64[np.ndarray, " pictures"]  # concepts that its captions mention
    gained: Int64[np.ndarray, " pictures"]  # concepts that it borrows beside those

    @property
    def never(self) -> Int64[np.ndarray, " unsaid"]:
        """Concepts that no caption mentions."""
        return np.flatnonzero(self.said == 0)


def audit(own: Mentions, borrowed: Int64[np.ndarray, "pictures kept"], *, concepts: int) -> Audit:
    """Own mentions against what is borrowed; -1 fills up.

    >>> found = audit(Mentions.of([[0], []]), np.array([[0, 2], [2, -1]]), concepts=4)
    >>> found.said.tolist(), found.recovered.tolist(), found.gained.tolist()
    ([1, 0, 0, 0], [0, 0, 2, 0], [1, 1])
    """
    picture, column = np.nonzero(borrowed >= 0)
    concept = borrowed[picture, column]
    new = ~np.isin(picture * concepts + concept, own.picture * concepts + own.concept)
    return Audit(
        said=np.bincount(own.concept, minlength=concepts),
        recovered=np.bincount(concept[new], minlength=concepts),
        own=np.diff(own.start),
        gained=np.bincount(picture[new], minlength=len(borrowed)),
    )
