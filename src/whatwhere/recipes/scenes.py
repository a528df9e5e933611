"""The scenes world, from nothing: a small convolutional tower and captions, no other data.

Two CPU cores see it learn within two minutes; `whatwhere demo --train` runs it. Contrastive
captions on the mean of the patches: from nothing it reads out better than CLIPpy's maximum and more
steadily. Expected: 20.7 ± 2.0 mIoU over 18 names, 3 seeds (experiments/LOG.md).
"""

from whatwhere.captions.batches import Batching
from whatwhere.encoders.clip_text import ClipText
from whatwhere.encoders.conv import Conv
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.pooling.patches import PatchPool
from whatwhere.pretexts.dense_contrast import DenseContrast
from whatwhere.pretraining import Viewing
from whatwhere.recipes import Pretraining, Recipe
from whatwhere.scenes.source import Scenes
from whatwhere.scenes.world import World
from whatwhere.segmenter.reading import Reading
from whatwhere.similarity.cosine import Cosine
from whatwhere.training.settings import Training

KINDS = ("balloon", "boat", "car", "cat", "cactus", "fish", "flower", "house", "sheep", "tree")

recipe = Recipe(
    captions=Scenes(
        World(kinds=KINDS, count=(1, 3), scale=1.4, omit_grounds=0.1), count=3000, tellings=4
    ),
    image=Conv(width=128, stride=8, blocks=1),
    pool=PatchPool(how="mean"),
    text=ClipText(width=64, layers=2, heads=4, context=48),
    similarity=Cosine(calibration="centred"),
    objectives=(Contrastive(),),
    batching=Batching(batch=64, size=(72, 96), crop=(1.0, 1.0)),
    training=Training(steps=400, lr=2e-3, weight_decay=0.05, precision="auto", validate_every=100),
    reading=Reading(side=0, window=0, prompts="photo"),
)

# The same pictures without a word.
tower = Pretraining(
    photos=recipe.captions,
    image=recipe.image,
    pretexts=(DenseContrast(),),
    viewing=Viewing(batch=64, size=(72, 96), crop=(0.3, 1.0), colour=0.2),
    training=Training(steps=400, lr=2e-3, weight_decay=0.05, precision="auto"),
)
