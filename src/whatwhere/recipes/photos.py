"""Your own photos and captions on two CPU cores: a frozen tower, and words that learn to see.

SimZSS (arXiv 2406.16085) at the size of a small machine: the image encoder stays as it is, its
features are computed once, and a small text transformer learns from captions which words mean
which patches. The tower is MobileNetV2: give its weights with --set image.weights=FILE. Its
features are whitened (see `heads/whiten.py`), which the published towers do not need. Expected
mIoU and spread: experiments/LOG.md.
"""

from whatwhere.captions.batches import Batching
from whatwhere.captions.cached import Caching
from whatwhere.concepts.bank import Concepts
from whatwhere.encoders.clip_text import ClipText
from whatwhere.encoders.mobilenet_v2 import MobileNetV2
from whatwhere.heads.whiten import Whiten
from whatwhere.objectives.concept_consistency import ConceptConsistency
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.pooling.patches import PatchPool
from whatwhere.recipes import Recipe
from whatwhere.training.settings import Training

recipe = Recipe(
    image=MobileNetV2(layers=(18,)),
    head=Whiten(size=256),
    pool=PatchPool(how="mean"),
    text=ClipText(width=128, layers=2, heads=4, context=32),
    objectives=(Contrastive(), ConceptConsistency(weight=0.5)),
    concepts=Concepts(most=1000, least=10),
    batching=Batching(batch=256, crop=(1.0, 1.0)),
    caching=Caching(folder="cache"),
    training=Training(steps=1000, lr=1e-3, precision="auto", validate_every=250),
)
