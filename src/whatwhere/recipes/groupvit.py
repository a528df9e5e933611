"""GroupViT (arXiv 2202.11094): patches gather into groups, groups learn their names from captions.

`groupvit` is the model of CC3M, CC12M and YFCC14M (28.7 million pairs), with three prompts made of
words of each caption; `groupvit-redcaps` that of CC3M, CC12M and RedCaps12M (25.9 million), without
prompts, which the authors found better there and more stable. Everything is trained from nothing.

Where this differs from the released code:
- Prompts name things as our parser finds them, "tennis ball" as one. The released code takes every
  noun and every verb by itself (--set extra_prompts.words=words, or nltk with its data installed).
- The cosine starts where the warm-up ends and falls to 0, the warm-up starts at 0. There it is not
  shifted by the warm-up, starts at 4e-6 and ends at 4e-5 (for a batch of 4096).
- Random crops and mirroring only, no RandAugment and no random erasing.
- Temperatures do not decay.
- bf16 with losses in float32, instead of apex's fp16 with a dynamic scale.
- An epoch is what the captions hold, not a number written down.

The manner in which each benchmark was read for the published numbers has the benchmark's name here:

    whatwhere evaluate M --benchmark voc --root DIR --set reading=whatwhere.recipes.groupvit:voc

and `context`, `coco_object`, `imagenet_s_50`, `imagenet_s_300`, `cityscapes`, `ade20k`,
`coco_stuff`. Published: 52.3 mIoU on VOC, 22.4 on Context, 24.3 on COCO-Object (`groupvit`); 50.8,
23.7 and 27.5 (`groupvit-redcaps`). Not measured here, for want of the data and of 16 GPUs for two
days.
"""

from dataclasses import replace

from whatwhere.captions.batches import Batching
from whatwhere.concepts.word_prompts import WordPrompts
from whatwhere.encoders.clip_text import ClipText
from whatwhere.encoders.patch_embedding import PatchEmbedding
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.objectives.multi_label import MultiLabel
from whatwhere.pooling.groups import Groups
from whatwhere.recipes import Recipe
from whatwhere.segmenter.reading import Background, Reading, Regions
from whatwhere.training.settings import Training


def _reading(
    *, threshold: float | None, side: int = 448, window: int = 448, stride: int = 224
) -> Reading:
    """`threshold` of the background; None: the benchmark has none."""
    return Reading(
        side=side,
        window=window,
        stride=stride,
        resize="bilinear",
        prompts="sentence",
        regions=Regions(keep=5),
        background=Background() if threshold is None else Background("region", threshold),
    )


voc = _reading(threshold=0.95)
context = _reading(threshold=0.35)
coco_object = _reading(threshold=0.95)
imagenet_s_50 = _reading(threshold=0.95)
imagenet_s_300 = _reading(threshold=0.75)
cityscapes = _reading(threshold=None, side=1024)
ade20k = _reading(threshold=None, side=512, window=224, stride=112)
coco_stuff = _reading(threshold=None, side=512, window=224, stride=112)

recipe = Recipe(
    image=PatchEmbedding(width=384, patch=16, size=224),
    pool=Groups(head=(4096, 256)),
    text=ClipText(
        width=256,
        layers=12,
        heads=4,
        context=77,
        gelu="quick",
        hidden=4096,
        projects="caption",
    ),
    objectives=(Contrastive(), MultiLabel()),
    extra_prompts=WordPrompts(count=3),
    batching=Batching(batch=4096, size=(224, 224), crop=(0.08, 1.0), mirror=True),
    training=Training(
        steps=0,
        epochs=30.0,
        lr=1.6e-3,
        lr_for=4096,
        warmup=2 / 30,
        weight_decay=0.05,
        betas=(0.9, 0.999),
        eps=1e-8,
        clip=5.0,
        precision="bf16",
    ),
    reading=voc,
)

redcaps = replace(recipe, objectives=(Contrastive(),), extra_prompts=None)
