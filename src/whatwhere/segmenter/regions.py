"""GroupViT's way to read a window: name its few regions, then give each pixel its region's name.

A region's scores are its softmax over all the names, times its softmax over those few that fit the
window as a whole. From then on a region stands for its scores instead of its vector, and the names
for single numbers of it, so that everything after (windows, chunks, background) is as always.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from whatwhere.records import EncodedImages
from whatwhere.segmenter.reading import Regions

LARGEST = 100.0  # scale that training may learn


def name_regions(
    images: EncodedImages,
    vectors: Float[Tensor, "vectors dim"],
    *,
    rule: Regions,
    size: tuple[int, int],
    owner: Int[Tensor, " vectors"] | None = None,
    threshold: float | None = None,
) -> EncodedImages:
    """The same windows, with a number for each name in the place of the joint space.

    `owner` is the row of the name that a vector stands for; None: each stands for its own.

    Pixels of a window of `size` belong to the region with the largest share, once shares are
    upsampled. With a `threshold` there is one number more, the background: 1 for regions that no
    name fits as well as the threshold and as well as the window's best region is fitted, else 0.
    Regions that are patches keep their places. The rule is that of the released code, which passes
    every window through the encoder twice for it; the paper (arXiv 2202.11094) tells less.
    """
    scores = region_scores(images, vectors, rule=rule, owner=owner)
    if threshold is not None:
        best = scores.amax(dim=2)
        bound = best.amax(dim=1, keepdim=True).clamp(max=threshold)
        scores = torch.cat([scores, (best < bound).to(scores)[..., None]], dim=2)
    whole = scores.mean(dim=1)
    if images.where is None:
        return EncodedImages(whole, scores, None, images.grid)
    shares = rearrange(
        images.where, "batch regions (rows cols) -> batch regions rows cols", rows=images.grid[0]
    )
    shares = F.interpolate(shares, size, mode="bilinear", align_corners=False)
    owner = shares.max(dim=1, keepdim=True).indices  # argmax takes three times as long
    owned = torch.zeros_like(shares).scatter_(1, owner, 1)
    return EncodedImages(whole, scores, owned.flatten(2), size)


def region_scores(
    images: EncodedImages,
    vectors: Float[Tensor, "vectors dim"],
    *,
    rule: Regions,
    owner: Int[Tensor, " vectors"] | None = None,
) -> Float[Tensor, "batch regions names"]:
    """How well each name fits each region: 0 for all but `keep` names, and at most 1.

    Of a name's synonyms the best counts, before names compete: else they would share one place.
    """
    logits = _by_name((rule.scale or LARGEST) * images.regions @ vectors.mT, owner)
    whole = _by_name(images.image @ vectors.mT, owner)
    kept = whole.topk(min(rule.keep, whole.shape[1]), dim=1).indices
    left_out = torch.ones_like(whole, dtype=torch.bool).scatter_(1, kept, False)
    among_kept = logits.masked_fill(left_out[:, None], -torch.inf)
    return logits.softmax(dim=2) * among_kept.softmax(dim=2)


def _by_name(
    scores: Float[Tensor, "*place vectors"], owner: Int[Tensor, " vectors"] | None
) -> Float[Tensor, "*place names"]:
    if owner is None:
        return scores
    best = scores.new_full((*scores.shape[:-1], int(owner.max()) + 1), -torch.inf)
    return best.scatter_reduce(-1, owner.expand_as(scores), scores, "amax")
