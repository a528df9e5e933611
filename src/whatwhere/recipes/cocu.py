"""CoCu (arXiv 2309.13505): GroupViT, its prompts made of what similar pictures' captions mention.

    whatwhere curate ... --out curated      (five steps, see `whatwhere curate --help`)
    whatwhere train cocu --captions PATH --out runs/cocu --set extra_prompts.sidecar=curated/sidecar

Everything else is GroupViT's, at the batch of CoCu's released launch (4 x 256). `cocu` is the model
of CC3M, CC12M and YFCC14M (27 million pairs), which borrows from CC3M alone (`whatwhere curate
rewrite --pool`); `cocu-cc3m` that of CC3M, which borrows from itself. They differ in their captions
and sidecar only. Published for the larger: 51.4 mIoU on VOC, 22.7 on COCO-Object, 12.3 on ADE20K,
22.1 on Cityscapes (as quoted by later papers). Not measured here, for want of the data.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from whatwhere.concepts.word_prompts import prompted
from whatwhere.curation.sampling import Sampling
from whatwhere.curation.sidecar import Sidecar, contents
from whatwhere.parallel import rank
from whatwhere.recipes import groupvit

FEW = 0.1  # of the training pictures: a sidecar that knows fewer is another one's


@dataclass(frozen=True)
class BorrowedPrompts:
    """`count` texts for a picture: concepts that it may borrow, each in one of CLIP's 80 templates.

    how   "top": the best, as CoCu's released code does; only the templates vary. "softmax" and
          "cluster" draw anew every time a picture comes, see `curation.sampling`.

    A picture that may borrow fewer fills up with its caption.
    """

    sidecar: str | None = None  # a folder that `whatwhere curate rewrite` wrote
    count: int = 3
    how: Sampling = "top"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"extra_prompts.count={self.count}; take 1 or more")

    def of(self, keys: Sequence[str]) -> BorrowedPrompts:
        """What draws the texts of these pictures; ValueError if the sidecar knows few of them."""
        _sidecar.cache_clear()  # another run of this process may have found other contents there
        held = self._opened()
        known = sum(key in held.row for key in keys)
        said = f"the sidecar {self.sidecar} knows {known} of the {len(keys)} training pictures"
        if known < FEW * len(keys):
            raise ValueError(
                f"{said}; its {len(held)} keys are such as {next(iter(held.row), 'none')!r}, "
                f"theirs such as {keys[0]!r}: write one for these captions with `whatwhere "
                "curate`, or train on those that it was written for"
            )
        if known < len(keys) and rank() == 0:
            print(f"{said}; the others are told nothing but their captions", file=sys.stderr)
        return self

    def contents(self) -> str:
        """What tells the sidecar from one of other contents in its place."""
        return contents(self._folder())

    def __call__(self, key: str, caption: str, draw: np.random.Generator) -> list[str]:
        (words,) = self._opened()([key], [draw])
        return prompted(words, caption, count=self.count, draw=draw)

    def _opened(self) -> Sidecar:
        return _sidecar(self._folder(), self.how, self.count)

    def _folder(self) -> str:
        if self.sidecar is None:
            raise ValueError(
                "nothing to borrow from; write a sidecar with `whatwhere curate` and name it: "
                "--set extra_prompts.sidecar=DIR"
            )
        return self.sidecar


@cache
def _sidecar(folder: str, how: Sampling, count: int) -> Sidecar:
    return Sidecar(folder, how=how, count=count)


recipe = replace(
    groupvit.recipe,
    extra_prompts=BorrowedPrompts(),
    batching=replace(groupvit.recipe.batching, batch=1024),
)

cc3m = recipe
