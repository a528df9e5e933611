"""The embedded model: a tower that learns from photos and a larger network, words from captions.

Two CPU cores train it within three hours, in runs that go on with --resume if they are stopped:

    whatwhere pretrain tiny-stages --photos PHOTOS --out runs/stages \\
        --set stagewise.teacher.weights=mobilenet_v2.safetensors
    whatwhere pretrain tiny-tower --photos PHOTOS --out runs/tower \\
        --set stagewise.teacher.weights=mobilenet_v2.safetensors \\
        image.weights=runs/stages/image.safetensors \\
        stagewise.classes=0.3 stagewise.classifier=mobilenet_v2.safetensors
    for seed in 0 1 2; do
        whatwhere train tiny --captions CAPTIONS --out runs/words-$seed \\
            --set image.weights=runs/tower/image.safetensors training.seed=$seed
    done
    whatwhere ensemble runs/words-0 runs/words-1 runs/words-2 --out runs/tiny
    whatwhere calibrate runs/tiny --captions CAPTIONS --out tiny \\
        --set image.stride=8 image.shrink=2 similarity.smooth=3 reading.presence=1

The model of all three is wider, so that going on from it, as from the embedded one, has a recipe:

    whatwhere train tiny-further --captions CAPTIONS --out runs/tuned --start tiny

The captions of the shipped weights were put together by experiments/tiny_captions.py; a folder of
your own will do. What those weights saw, and what they can and cannot do: models/tiny/README.md.
What was tried on the way: experiments/LOG.md.
"""

from dataclasses import replace

from whatwhere.captions.batches import Batching
from whatwhere.captions.cached import Caching
from whatwhere.concepts.bank import Concepts
from whatwhere.encoders.clip_text import ClipText
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

# The teacher's layers, each a third wider inside than the teacher is: so each can learn its part.
stages = Pretraining(
    image=MobileNetV2(stride=32, expand=(2, 8), frozen=False),
    pretexts=(Stagewise(teacher=MobileNetV2(stride=32)),),
    viewing=Viewing(batch=64, views=1, size=(128, 128), crop=(0.2, 1.0), colour=0.0, workers=1),
    training=Training(
        steps=2100,
        lr=4e-3,
        warmup=50.0,
        weight_decay=0.02,
        betas=(0.9, 0.99),
        eps=1e-8,
        clip=0.0,
        precision="auto",
    ),
)

# From end to end: layers learn to live with what their predecessors get wrong.
tower = replace(
    stages,
    image=replace(stages.image, norms="fixed"),
    pretexts=(Stagewise(teacher=MobileNetV2(stride=32), feed="own", hints=0.5),),
    viewing=replace(stages.viewing, batch=128, size=(160, 160)),
    training=replace(stages.training, lr=5e-4, steps=600, checkpoint_every=100),
)

# A word is one vector, wherever it stands: a name is read as what its words are in captions. A
# class's name says what a photo is of, not all that it shows: five sentences hold six mentions or
# more, class names fewer. For photos with one sentence each, set concept_presence.tells=1.
recipe = Recipe(
    image=MobileNetV2(expand=(2, 8)),
    head=Linear(size=256),
    pool=PatchPool(how="mean"),
    text=ClipText(width=256, layers=0, heads=4, context=77, pool="words", kept=8192),
    objectives=(Contrastive(), ConceptPresence(tells=6, unsaid=True)),
    concepts=Concepts(most=1000, least=5, synonyms=True),
    batching=Batching(batch=128, crop=(1.0, 1.0), feature_crop=(0.5, 1.0), captions="joined"),
    caching=Caching(folder="cache"),
    training=Training(steps=600, lr=2e-3, weight_decay=0.1, validate_every=200),
    reading=Reading(prompts="name"),
)

# The embedded model is three runs of it side by side: of the same sizes, to go on from there with
# captions of any kind, however little they tell.
further = replace(
    recipe,
    text=replace(recipe.text, width=3 * 256, members=3),
    head=Linear(size=3 * 256),
    objectives=(Contrastive(), ConceptPresence(unsaid=True)),
)
