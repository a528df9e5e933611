"""Files of the released SimZSS (arXiv 2406.16085): timm's and OpenCLIP's names side by side."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from whatwhere.encoders.clip_text import ClipText
from whatwhere.encoders.frozen import Frozen
from whatwhere.encoders.timm_model import Timm
from whatwhere.heads.denoise import Denoise
from whatwhere.heads.identity import Identity
from whatwhere.objectives.concept_consistency import (
    ConceptConsistency,
    ConceptConsistencyObjective,
)
from whatwhere.objectives.contrastive import Contrastive, ContrastiveObjective
from whatwhere.pooling.patches import PatchPool
from whatwhere.recipes import Recipe, simzss, to_json
from whatwhere.similarity.cosine import Cosine
from whatwhere.training import Step
from whatwhere.weights import count_of, tensor_of

VIT, TEXT = "visual.vit.model.", "text."

# Width, blocks, pixels of a patch and registers tell which of the shipped towers it is.
TOWERS = {
    (384, 12, 14, 4): "vit_small_patch14_reg4_dinov2.lvd142m",
    (768, 12, 14, 4): "vit_base_patch14_reg4_dinov2.lvd142m",
    (768, 12, 14, 0): "vit_base_patch14_dinov2.lvd142m",
    (1024, 24, 14, 4): "vit_large_patch14_reg4_dinov2.lvd142m",
    (1024, 24, 14, 0): "vit_large_patch14_dinov2.lvd142m",
    (1536, 40, 14, 4): "vit_giant_patch14_reg4_dinov2.lvd142m",
    (768, 12, 16, 0): "vit_base_patch16_224.dino",
    (768, 12, 8, 0): "vit_base_patch8_224.dino",
}

# The concept loss's: a fixed scale, a momentum, and prototypes of concepts that the file does not
# name. The position table is the denoiser's, and is there without one too.
NOT_NEEDED = frozenset(
    ("logit_scale_local", "beta_ema", "classification_weights_ema", "visual.pos_embed")
)
UNUSED_TABLE = (1, 37 * 37, 768)  # whatever the width of the tower


def recognises(state: dict[str, Tensor]) -> bool:
    return any(name.startswith(VIT) for name in state)


def recipe_of(state: dict[str, Tensor], config: dict[str, Any]) -> Recipe:
    """The shipped configuration that fits the shapes.

    A file does not say whether the class token or the mean of the patches stands for the picture,
    nor the size of pictures in training. Both are those of the first configuration with this tower
    and text width; nothing but whole-picture scores depends on it.
    """
    pixels = tensor_of(state, f"{VIT}patch_embed.proj.weight")
    registers = state.get(f"{VIT}reg_token")
    facts = (
        pixels.shape[0],
        count_of(state, f"{VIT}blocks."),
        pixels.shape[-1],
        0 if registers is None else registers.shape[1],
    )
    if facts not in TOWERS:
        width, blocks, patch, count = facts
        raise ValueError(
            f"no SimZSS was released with a ViT {width} wide, of {blocks} blocks, patches of "
            f"{patch} pixels and {count} registers (there are {', '.join(TOWERS.values())})"
        )
    width = tensor_of(state, f"{TEXT}text_projection").shape[0]
    text = ClipText(
        width=width,
        layers=count_of(state, f"{TEXT}transformer.resblocks."),
        heads=max(width // 64, 1),
        context=tensor_of(state, f"{TEXT}positional_embedding").shape[0],
        vocabulary=tensor_of(state, f"{TEXT}token_embedding.weight").shape[0],
    )
    head = Identity()
    if any(name.startswith("visual.denoiser.") for name in state):
        head = Denoise(grid=math.isqrt(tensor_of(state, "visual.pos_embed").shape[1]))
    shipped = [value for value in vars(simzss).values() if isinstance(value, Recipe)]
    same_tower = [known for known in shipped if known.image.name == TOWERS[facts]]
    same_text = [known for known in same_tower if known.text.width == width]
    return replace(
        (same_text or same_tower)[0],
        text=text,
        head=head,
        objectives=(Contrastive(),),  # the other one's concepts are not in the file
        concepts=None,
    )


def tensors(step: Step) -> dict[str, Tensor]:
    """The live weights of a model of ours, under their released names."""
    model: Any = step.model
    objective: Any = step.objective
    trunk = model.image_encoder.trunk
    vit = (trunk.trunk if isinstance(trunk, Frozen) else trunk).model
    (contrastive,) = (p for p in objective.parts if isinstance(p, ContrastiveObjective))
    return {
        "logit_scale": contrastive.logit_scale.detach()[0],
        **vit.state_dict(prefix=VIT),
        **model.head.state_dict(prefix="visual."),
        **model.text_encoder.state_dict(prefix=TEXT),
    }


def written(step: Step, recipe: Recipe) -> dict[str, Tensor]:
    """All 341 tensors (of the main model) that the released code loads strictly.

    What it keeps and ours does not is filled in: an unused position table where there is no
    denoiser, and concept prototypes, which are zero but for a run with momentum.
    """
    refuse_other_parts(recipe)
    state = _unused(step) | tensors(step)
    back = recipe_of(state, {})
    for part in ("image", "head", "pool", "text"):
        own, read = _decides(getattr(recipe, part)), _decides(getattr(back, part))
        for key, value in own.items():
            if value == read[key]:
                continue
            if (part, key) != ("image", "whole"):
                raise ValueError(
                    f"a file of the simzss layout cannot say {part}.{key}={value}; it would be "
                    f"read as {read[key]}"
                )
            warnings.warn(
                f"a file of the simzss layout does not say image.whole={value}; set it when "
                "loading the file",
                stacklevel=2,
            )
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def refuse_other_parts(recipe: Recipe) -> None:
    """ValueError for a part whose class the released code does not have."""
    allowed = {"image": (Timm,), "head": (Identity, Denoise), "pool": (PatchPool,)}
    for part, kinds in (allowed | {"text": (ClipText,)}).items():
        if not isinstance(found := getattr(recipe, part), kinds):
            raise ValueError(
                f"the simzss layout holds {' or '.join(k.__name__ for k in kinds)} as {part}, "
                f"and this model has {type(found).__name__}"
            )
    if sum(isinstance(part, Contrastive) for part in recipe.objectives) != 1:
        raise ValueError("the simzss layout holds the temperature of one contrastive objective")
    if recipe.similarity != Cosine():
        raise ValueError(
            f"the simzss layout holds plain cosines, not {recipe.similarity}; the layout whatwhere "
            "keeps them"
        )


def _decides(part: Any) -> dict[str, Any]:
    """The settings of a part that its outputs depend on, once it has its weights."""
    settings = to_json(part)
    if isinstance(part, Timm):  # what follows the dot names weights, not a network
        settings["name"] = part.name.partition(".")[0]
    free = ("weights", "frozen", "size", "patch_drop")
    return {k: v for k, v in settings.items() if k not in free}


def _unused(step: Step) -> dict[str, Tensor]:
    model: Any = step.model
    objective: Any = step.objective
    concept, dim = ConceptConsistency(), model.text_encoder.text_projection.shape[1]
    rows = torch.zeros(0, dim)
    for part in objective.parts:
        if isinstance(part, ConceptConsistencyObjective):
            concept = part.settings
            rows = part.bank if concept.momentum else torch.zeros(part.num_concepts, dim)
    return {
        "logit_scale_local": torch.tensor([concept.scale]).log(),
        "beta_ema": torch.tensor(concept.momentum),
        "classification_weights_ema": torch.cat([rows.cpu(), torch.zeros(1, dim)]),
        "visual.pos_embed": torch.zeros(UNUSED_TABLE),
    }
