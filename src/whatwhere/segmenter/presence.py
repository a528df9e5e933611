"""Whether a picture shows a name at all, told by the places that the name fits best.

Multiple-instance learning trains a concept on the few regions of a picture that fit it best
(`objectives.concept_presence`). Read the same way, those places say what is in the picture; where
is said by every place.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

BEST = 0.03  # part of the places: 6 of 14 x 14, as many as training holds a concept against


def presence(scores: Float[Tensor, "batch names rows cols"]) -> Float[Tensor, "batch names"]:
    """Each name's mean score at the places that it fits best."""
    places = scores.flatten(2)
    return places.topk(max(round(BEST * places.shape[2]), 1), dim=2).values.mean(dim=2)
