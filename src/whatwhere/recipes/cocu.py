"""CoCu (arXiv 2309.13505): GroupViT, its prompts made of what similar pictures' captions mention.

    whatwhere curate ... --out curated      (five steps, see `whatwhere curate --help`)
    whatwhere train cocu --captions PATH --out runs/cocu --set extra_prompts.sidecar=curated/sidecar

Everything else is GroupViT's, at the batch of CoCu's released launch (4 x 256). Both released
models are this recipe: that of CC3M borrows from itself; that of CC3M, CC12M and YFCC14M borrows
from CC3M alone (`whatwhere curate rewrite --pool`). Published, at that batch, for the larger: 51.4
mIoU on VOC, 22.7 on COCO-Object, 12.3 on ADE20K, 22.1 on Cityscapes (as quoted by later papers).
Not measured here, for want of the data.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from whatwhere.concepts.word_prompts import prompted
from whatwhere.curation.sampling import Sampling
from whatwhere.curation.sidecar import Sidecar
from whatwhere.recipes import groupvit


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

    def __call__(self, key: str, caption: str, draw: np.random.Generator) -> list[str]:
        if self.sidecar is None:
            raise ValueError(
                "nothing to borrow from; write a sidecar with `whatwhere curate` and name it: "
                "--set extra_prompts.sidecar=DIR"
            )
        (words,) = _opened(self.sidecar, self.how, self.count)([key], [draw])
        return prompted(words, caption, count=self.count, draw=draw)


@cache
def _opened(sidecar: str, how: Sampling, count: int) -> Sidecar:
    return Sidecar(sidecar, how=how, count=count)


recipe = replace(
    groupvit.recipe,
    extra_prompts=BorrowedPrompts(),
    batching=replace(groupvit.recipe.batching, batch=1024),
)
