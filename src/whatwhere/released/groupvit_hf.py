"""Files of GroupViT as Hugging Face's transformers names its tensors (nvidia/groupvit-gcc-yfcc)."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from whatwhere.recipes import Recipe
from whatwhere.released import groupvit
from whatwhere.training import Step

# What a released name begins with or has inside, and what stands there instead.
BEGINS = {
    "img_encoder.patch_embed.proj": "vision_model.embeddings.patch_embeddings.projection",
    "img_encoder.patch_embed.norm": "vision_model.embeddings.layernorm",
    "img_encoder.pos_embed": "vision_model.embeddings.position_embeddings",
    "img_encoder.norm.": "vision_model.layernorm.",
    "img_encoder.layers": "vision_model.encoder.stages",
    "text_encoder.token_embedding": "text_model.embeddings.token_embedding",
    "text_encoder.positional_embedding": "text_model.embeddings.position_embedding.weight",
    "text_encoder.transformer.resblocks": "text_model.encoder.layers",
    "text_encoder.ln_final": "text_model.final_layer_norm",
    "img_projector.linear_hidden": "visual_projection",
    "img_projector.linear_out": "visual_projection.3",
    "text_projector.linear_hidden": "text_projection",
    "text_projector.linear_out": "text_projection.3",
}
INSIDE = {
    ".blocks.": ".layers.",
    ".pre_assign_attn.attn.proj.": ".pre_assign_attn.attn.out_proj.",
    ".c_fc.": ".fc1.",
    ".c_proj.": ".fc2.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
}
BLOCK = {  # of transformer blocks; grouping has names like these that stay
    ".attn.proj.": ".self_attn.out_proj.",
    ".attn.out_proj.": ".self_attn.out_proj.",
    ".norm1.": ".layer_norm1.",
    ".norm2.": ".layer_norm2.",
}
QKV = re.compile(r"(.*)\.attn\.(?:qkv\.|in_proj_)(weight|bias)")

NOT_NEEDED = frozenset(
    (
        "text_model.embeddings.position_ids",
        "visual_projection.1.num_batches_tracked",
        "text_projection.1.num_batches_tracked",
    )
)


def recognises(state: dict[str, Tensor]) -> bool:
    return "vision_model.encoder.stages.0.group_token" in state


def recipe_of(state: dict[str, Tensor], config: dict[str, Any]) -> Recipe:
    """The recipe that the shapes tell; attention heads are as `config` says, or 64 wide."""
    return groupvit.recipe_of(_released(state), config)


def refuse_other_parts(recipe: Recipe) -> None:
    groupvit.refuse_other_parts(recipe)


def tensors(step: Step) -> dict[str, Tensor]:
    """The live weights of a model of ours, under the names of transformers."""
    return _renamed(groupvit.tensors(step))


def written(step: Step, recipe: Recipe, config: dict[str, Any] | None = None) -> dict[str, Tensor]:
    """All that transformers loads; it has no place for the temperature of prompts."""
    state = _renamed(groupvit.written(step, recipe, config))
    return {name: tensor.clone() for name, tensor in state.items()}


def config_of(recipe: Recipe) -> dict[str, Any]:
    """The config.json that goes with the tensors; ValueError for what transformers cannot build.

    It says the attention heads and how groups are averaged, which a file alone cannot.
    """
    refuse_other_parts(recipe)
    image, pool, text = recipe.image, recipe.pool, recipe.text
    for what, own, theirs in (
        ("image.norm", image.norm, True),
        ("pool.looks", pool.looks, True),
        ("pool.groups, but for the last,", pool.groups[:-1], pool.tokens[:-1]),
        ("text.hidden", text.hidden, pool.head[0]),
    ):
        if own != theirs:
            raise ValueError(
                f"of a model with {what} as {own} there is no folder for transformers, which knows "
                f"only {theirs} there; the layout whatwhere keeps it"
            )
    return {
        "architectures": ["GroupViTModel"],
        "model_type": "groupvit",
        "projection_dim": pool.head[1],
        "projection_intermediate_dim": pool.head[0],
        "text_config": {
            "hidden_act": groupvit.ACTIVATIONS["text_config"],
            "hidden_size": text.width,
            "intermediate_size": 4 * text.width,
            "max_position_embeddings": text.context,
            "num_attention_heads": text.heads,
            "num_hidden_layers": text.layers,
            "vocab_size": text.vocabulary,
        },
        "vision_config": {
            "assign_eps": {name: eps for eps, name in groupvit.AVERAGES.items()}[pool.average],
            "depths": pool.depths,
            "hidden_act": groupvit.ACTIVATIONS["vision_config"],
            "hidden_size": image.width,
            "image_size": image.size,
            "intermediate_size": 4 * image.width,
            "num_attention_heads": pool.heads[0],
            "num_group_tokens": [*pool.tokens, 0],
            "num_hidden_layers": sum(pool.depths),
            "num_output_groups": [*pool.groups, 0],
            "patch_size": image.patch,
        },
    }


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for name, tensor in state.items():
        if name == "multi_label_logit_scale":
            continue
        if tensor.ndim == 3 and "_projector." in name:
            tensor = tensor[..., 0]
        new = _name(name)
        if split := QKV.fullmatch(new):
            before, kind = split.groups()
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                found[f"{before}.self_attn.{part}_proj.{kind}"] = piece
        else:
            found[new] = tensor
    return found


def _name(released: str) -> str:
    name = released
    for old, new in BEGINS.items():
        if name.startswith(old):
            name = new + name.removeprefix(old)
            break
    for old, new in (INSIDE | (BLOCK if "blocks." in released else {})).items():
        name = name.replace(old, new)
    return name


def _released(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors by the names of `groupvit`, as far as a recipe follows from them."""
    back = {new: old for old, new in BEGINS.items()}
    found = {}
    for name, tensor in state.items():
        for new in sorted(back, key=len, reverse=True):
            if name.startswith(new):
                old = back[new]
                found[old + name.removeprefix(new).replace(".layers.", ".blocks.")] = tensor
                break
        else:
            found[name] = tensor
    return found
