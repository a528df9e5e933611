"""Files of the released CLIPpy (arXiv 2210.09996): timm's and sentence-transformers' names."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import replace
from typing import Any

from torch import Tensor

from whatwhere.encoders.frozen import Frozen
from whatwhere.encoders.hf_text import T5, HuggingFaceText
from whatwhere.encoders.timm_model import Timm, Vit
from whatwhere.heads.identity import Identity
from whatwhere.objectives.contrastive import Contrastive, ContrastiveObjective
from whatwhere.pooling.patches import PatchPool
from whatwhere.recipes import Recipe, clippy
from whatwhere.similarity.cosine import Cosine
from whatwhere.training import Step
from whatwhere.weights import count_of, tensor_of

VIT, T5_ENCODER, DENSE = "visual.trunk.", "text.0.auto_model.encoder.", "text.2.linear.weight"
SHARED = "text.0.auto_model.shared.weight"  # the word vectors once more
HEAD = 64  # numbers of a vector that each attention head of the released ViT sees

# Nothing in a file that the released code trained; its inference module adds a classifier, which
# is told as unused.
NOT_NEEDED: frozenset[str] = frozenset()

# Parts of a plain ViT: nothing else has a place in the released one.
PLAIN = re.compile(
    r"cls_token|pos_embed|(patch_embed\.proj|norm|blocks\.\d+\.(norm[12]|attn\.(qkv|proj)|"
    r"mlp\.fc[12]))\.(weight|bias)"
)

# What decides nothing once there are weights, and what the code around a file chooses.
FREE = {
    "image": {"name", "weights", "frozen", "size", "vit", "patch_drop"},
    "pool": set(),
    "text": {"source", "frozen", "start", "t5", "head"},
}
CHOSEN = {("image", "positions"), ("pool", "how"), ("pool", "with_cls"), ("text", "context")}


def recognises(state: dict[str, Tensor]) -> bool:
    return f"{VIT}cls_token" in state


def recipe_of(state: dict[str, Tensor], config: dict[str, Any]) -> Recipe:
    """The recipe that the shapes tell, its ViT with attention heads 64 wide.

    Pictures become the maximum over all tokens, the class token included, as the released weights
    were trained and measured; maps never see the class token. Positions are resampled as DINO does,
    rows and columns in their places. Tokenizers are in no such file: `text.source` names theirs.
    """
    pixels = tensor_of(state, f"{VIT}patch_embed.proj.weight")
    width, patch = pixels.shape[0], pixels.shape[-1]
    places = tensor_of(state, f"{VIT}pos_embed").shape[1] - 1
    words = SHARED if SHARED in state else f"{T5_ENCODER}embed_tokens.weight"
    first = f"{T5_ENCODER}block.0.layer."
    buckets, heads = tensor_of(
        state, f"{first}0.SelfAttention.relative_attention_bias.weight"
    ).shape
    return recipe_with(
        Vit(
            width=width,
            layers=count_of(state, f"{VIT}blocks."),
            heads=max(width // HEAD, 1),
            patch=patch,
            size=math.isqrt(places) * patch,
        ),
        T5(
            vocabulary=tensor_of(state, words).shape[0],
            width=tensor_of(state, DENSE).shape[1],
            layers=count_of(state, f"{T5_ENCODER}block."),
            heads=heads,
            head_width=tensor_of(state, f"{first}0.SelfAttention.q.weight").shape[0] // heads,
            hidden=tensor_of(state, f"{first}1.DenseReluDense.wi.weight").shape[0],
            buckets=buckets,
        ),
        with_cls=True,
    )


def recipe_with(vit: Vit, t5: T5, *, with_cls: bool) -> Recipe:
    """CLIPpy's recipe with towers of these sizes."""
    shipped = clippy.recipe
    return replace(
        shipped,
        image=replace(shipped.image, vit=None if vit == Vit() else vit, size=vit.size),
        pool=replace(shipped.pool, with_cls=with_cls),
        text=replace(shipped.text, t5=t5),
    )


def tensors(step: Step) -> dict[str, Tensor]:
    """The live weights of a model of ours, under their released names."""
    model: Any = step.model
    objective: Any = step.objective
    (contrastive,) = (p for p in objective.parts if isinstance(p, ContrastiveObjective))
    state = {
        "logit_scale": contrastive.logit_scale.detach()[0],
        **network_of(model.image_encoder).state_dict(prefix=VIT),
        **network_of(model.text_encoder).state_dict(prefix=T5_ENCODER),
        DENSE: model.text_encoder.head.weight.detach(),
    }
    return state | {SHARED: state[f"{T5_ENCODER}embed_tokens.weight"]}


def written(step: Step, recipe: Recipe) -> dict[str, Tensor]:
    """All that the released code loads strictly."""
    refuse_other_parts(recipe)
    refuse_other_networks(step, layout="clippy")
    state = tensors(step)
    back = recipe_of(state, {})
    heads = network_of(step.model.image_encoder).blocks[0].attn.num_heads
    if heads != (back.image.vit or Vit()).heads:
        raise ValueError(
            f"a file of the clippy layout cannot say that its ViT has {heads} attention heads, not "
            f"{HEAD} numbers in each; the layout clippy_flax says it"
        )
    tell_what_is_not_said(recipe, back, layout="clippy")
    return {name: tensor.cpu().clone() for name, tensor in state.items()}


def refuse_other_parts(recipe: Recipe, *, layout: str = "clippy") -> None:
    """ValueError for a part that the released code does not have."""
    kinds = {"image": Timm, "head": Identity, "pool": PatchPool, "text": HuggingFaceText}
    for part, kind in kinds.items():
        if not isinstance(found := getattr(recipe, part), kind):
            raise ValueError(
                f"the {layout} layout holds {kind.__name__} as {part}, and this model has "
                f"{type(found).__name__}"
            )
    if sum(isinstance(part, Contrastive) for part in recipe.objectives) != 1:
        raise ValueError(f"the {layout} layout holds the temperature of one contrastive objective")
    if recipe.similarity != Cosine():
        raise ValueError(
            f"the {layout} layout holds plain cosines, not {recipe.similarity}; the layout "
            "whatwhere keeps them"
        )
    if recipe.text.head == "none":
        raise ValueError(f"the {layout} layout holds a dense layer behind the text encoder")


def refuse_other_networks(step: Step, *, layout: str) -> None:
    """ValueError for an encoder that has other layers than the released one."""
    vit = network_of(step.model.image_encoder).state_dict()
    if strange := [name for name in vit if not PLAIN.fullmatch(name)]:
        raise ValueError(
            f"the {layout} layout holds a plain ViT, and this model has {strange[0]}; the layout "
            "whatwhere keeps it"
        )
    config = network_of(step.model.text_encoder).config
    if config.model_type != "t5" or config.feed_forward_proj != "relu":
        raise ValueError(f"the {layout} layout holds a T5 with ReLU as text encoder")


def tell_what_is_not_said(recipe: Recipe, back: Recipe, *, layout: str) -> None:
    """A warning of the settings that the reader of a file must know; ValueError for others."""
    unsaid = []
    for part, free in FREE.items():
        own, read = vars(getattr(recipe, part)), vars(getattr(back, part))
        for key in sorted(own.keys() - free):
            if own[key] == read[key]:
                continue
            if (part, key) not in CHOSEN:
                raise ValueError(
                    f"a file of the {layout} layout cannot say {part}.{key}={own[key]}; it would "
                    f"be read as {read[key]}"
                )
            unsaid.append(f"{part}.{key}={own[key]}")
    if unsaid:
        warnings.warn(
            f"a file of the {layout} layout does not say {', '.join(unsaid)}; set it when loading "
            "the file",
            stacklevel=3,
        )


def network_of(tower: Any) -> Any:
    """The library's model inside an encoder."""
    return (tower.trunk.trunk if isinstance(tower.trunk, Frozen) else tower.trunk).model
