"""The embedded model: a tower that learns from photos and a larger network, words from captions.

Two CPU cores train it within two hours, in runs that go on with --resume if they are stopped:

    whatwhere pretrain tiny-stages --photos PHOTOS --out runs/stages \\
        --set stagewise.teacher.weights=mobilenet_v2.safetensors
    whatwhere pretrain tiny-tower --photos PHOTOS --out runs/tower \\
        --set stagewise.teacher.weights=mobilenet_v2.safetensors \\
        image.weights=runs/stages/image.safetensors
    whatwhere pretrain tiny-last --photos PHOTOS --out runs/last \\
        --set stagewise.teacher.weights=mobilenet_v2.safetensors \\
        image.weights=runs/tower/image.safetensors \\
        stagewise.classes=0.3 stagewise.classifier=mobilenet_v2.safetensors
    whatwhere train tiny --captions CAPTIONS --out runs/tiny \\
        --set image.weights=runs/last/image.safetensors
    whatwhere calibrate runs/tiny --captions CAPTIONS --out tiny \\
        --set image.stride=8 image.shrink=2 similarity.smooth=3 reading.presence=1

The captions of the shipped weights were put together by experiments/tiny_captions.py; a folder of
your own will do. What those weights saw, and what they can and cannot do: models/tiny/README.md.
What was tried on the way: experiments/LOG.md.
"""

from dataclasses import replace

from whatwhere.captions.batches import Batching
from whatwhere.captions.cached import Caching
from whatwhere.concepts.bank import Concepts
from whatwhere.encoders.clip_text import ClipText
from whatwhere.encoders.compact import Compact
from whatwhere.encoders.mobilenet_v2 import MobileNetV2
from whatwhere.heads.linear import Linear
from whatwhere.objectives.concept_presence import ConceptPresence
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.pooling.patches import PatchPool
from whatwhere.pretexts.stagewise import Stagewise
from whatwhere.pretraining import Viewing
from whatwhere.recipes import Pretraining, Recipe
from whatwhere.segmenter.reading import Reading
from whatwhere.training.settings import Training

stages = Pretraining(
    image=Compact(stride=32, frozen=False),
    pretexts=(Stagewise(teacher=MobileNetV2(stride=32)),),
    viewing=Viewing(batch=16, views=1, size=(128, 128), crop=(0.2, 1.0), colour=0.0, workers=1),
    training=Training(
        steps=9000, lr=4e-3, warmup=0.01, weight_decay=0.02, betas=(0.9, 0.999), clip=0.0
    ),
)

# From end to end; then for what leaves the last stage, which is all that is read.
tower = replace(
    stages,
    pretexts=(Stagewise(teacher=MobileNetV2(stride=32), feed="own"),),
    viewing=replace(stages.viewing, batch=64),
    training=replace(stages.training, lr=3e-3, steps=2200, checkpoint_every=200),
)
last = replace(
    tower,
    pretexts=(Stagewise(teacher=MobileNetV2(stride=32), feed="own", hints=0.1),),
    training=replace(tower.training, lr=2e-3, steps=1300),
)

# A word is one vector, wherever it stands: a name is read as what its words are in captions.
recipe = Recipe(
    image=Compact(),
    head=Linear(size=256),
    pool=PatchPool(how="mean"),
    text=ClipText(width=256, layers=0, heads=4, context=77, pool="words", kept=8192),
    objectives=(Contrastive(), ConceptPresence()),
    concepts=Concepts(most=1000, least=5, synonyms=True),
    batching=Batching(batch=128, crop=(1.0, 1.0), captions="joined"),
    caching=Caching(folder="cache"),
    training=Training(steps=600, lr=2e-3, weight_decay=0.1, validate_every=200),
    reading=Reading(prompts="name"),
)
