"""Files of the released GroupViT (arXiv 2202.11094), and of CoCu, which shares its layout."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from whatwhere.encoders.clip_text import ClipText
from whatwhere.encoders.patch_embedding import PatchEmbedding
from whatwhere.objectives.contrastive import Contrastive, ContrastiveObjective
from whatwhere.objectives.multi_label import MultiLabel, MultiLabelObjective
from whatwhere.pooling.groups import Groups
from whatwhere.projection import Projection
from whatwhere.recipes import Recipe, groupvit
from whatwhere.similarity.cosine import Cosine
from whatwhere.training import Step
from whatwhere.weights import count_of, tensor_of

IMAGE, TEXT = "img_encoder.", "text_encoder."
HEAD = 64  # numbers of a vector that each attention head sees, in all that was released
SCALES = {"logit_scale": ContrastiveObjective, "multi_label_logit_scale": MultiLabelObjective}

# What Hugging Face's config.json may change and no tensor tells
ACTIVATIONS = {"vision_config": "gelu", "text_config": "quick_gelu"}
AVERAGES: dict[float, Literal["shrunk", "true"]] = {1.0: "shrunk", 1e-6: "true"}  # by assign_eps

# How many batches the statistics were taken from, which nothing depends on.
NOT_NEEDED = frozenset(
    f"{tower}_projector.linear_hidden.1.num_batches_tracked" for tower in ("img", "text")
)


def recognises(state: dict[str, Tensor]) -> bool:
    return f"{IMAGE}patch_embed.proj.weight" in state


def recipe_of(state: dict[str, Tensor], config: dict[str, Any]) -> Recipe:
    """The recipe that the shapes tell.

    They do not tell the attention heads: those are as `config` says (`num_attention_heads` of
    `vision_config` and `text_config`), or 64 wide.
    """
    for side, own in ACTIVATIONS.items():
        if (found := config.get(side, {}).get("hidden_act", own)) != own:
            raise ValueError(f"config.json: {side}.hidden_act is {found}; only {own} is known")
    eps = config.get("vision_config", {}).get("assign_eps", 1.0)
    if eps not in AVERAGES:
        raise ValueError(
            f"config.json: vision_config.assign_eps is {eps:g}; it may be 1 (as released: a sum by "
            "one more than a group has members) or 1e-6 (their mean)"
        )
    pixels = tensor_of(state, f"{IMAGE}patch_embed.proj.weight")
    width, patch = pixels.shape[0], pixels.shape[-1]
    stages = range(count_of(state, f"{IMAGE}layers."))
    grouping = [f"{IMAGE}layers.{i}." for i in stages[:-1]]
    pool = Groups(
        depths=tuple(count_of(state, f"{IMAGE}layers.{i}.blocks.") for i in stages),
        heads=(_heads(config, "vision_config", width),) * len(stages),
        tokens=tuple(tensor_of(state, f"{name}group_token").shape[1] for name in grouping),
        groups=tuple(
            len(tensor_of(state, f"{name}downsample.mlp_inter.fc2.bias")) for name in grouping
        ),
        looks=any(".pre_assign_attn." in name for name in state),
        average=AVERAGES[eps],
        head=_head(state, "img_projector."),
    )
    text_width = tensor_of(state, f"{TEXT}ln_final.weight").shape[0]
    text = replace(
        groupvit.recipe.text,
        width=text_width,
        layers=count_of(state, f"{TEXT}transformer.resblocks."),
        heads=_heads(config, "text_config", text_width),
        context=tensor_of(state, f"{TEXT}positional_embedding").shape[0],
        vocabulary=tensor_of(state, f"{TEXT}token_embedding.weight").shape[0],
        hidden=_head(state, "text_projector.")[0],
    )
    labels = "multi_label_logit_scale" in state
    shipped = groupvit.recipe if labels else groupvit.redcaps
    return replace(
        shipped,
        image=PatchEmbedding(
            width=width,
            patch=patch,
            size=math.isqrt(tensor_of(state, f"{IMAGE}pos_embed").shape[1]) * patch,
            norm=f"{IMAGE}patch_embed.norm.weight" in state,
        ),
        pool=pool,
        text=text,
        objectives=(Contrastive(), MultiLabel()) if labels else (Contrastive(),),
    )


def tensors(step: Step) -> dict[str, Tensor]:
    """The live weights of a model of ours, under their released names."""
    model: Any = step.model
    objective: Any = step.objective
    pool = {k: v for k, v in model.pool.state_dict().items() if not k.startswith("head.")}
    text = {k: v for k, v in model.text_encoder.state_dict().items() if not k.startswith("head.")}
    trunk = model.image_encoder.trunk
    scales = {
        name: part.logit_scale.detach()[0]
        for name, kind in SCALES.items()
        for part in objective.parts
        if isinstance(part, kind)
    }
    return {
        **trunk.state_dict(prefix=IMAGE),
        **{f"{IMAGE}{name}": tensor for name, tensor in pool.items()},
        **_projector(model.pool.head, "img_projector."),
        **{f"{TEXT}{name}": tensor for name, tensor in text.items()},
        **_projector(model.text_encoder.head, "text_projector."),
        **scales,
    }


def written(step: Step, recipe: Recipe, config: dict[str, Any] | None = None) -> dict[str, Tensor]:
    """All that the released code loads strictly; `config` is what goes with it as config.json."""
    refuse_other_parts(recipe)
    state = tensors(step)
    back = recipe_of(state, config or {})
    for part, free in (
        ("image", {"weights", "frozen", "patch_drop"}),
        ("pool", {"drop_path", "spread"}),
        ("text", {"weights", "frozen", "projects"}),
    ):
        own, read = vars(getattr(recipe, part)), vars(getattr(back, part))
        for key in own.keys() - free:
            if own[key] != read[key]:
                raise ValueError(
                    f"a file of the groupvit layout cannot say {part}.{key}={own[key]}; it would "
                    f"be read as {read[key]}"
                )
    batches = {name: torch.tensor(0) for name in NOT_NEEDED}
    return {name: tensor.detach().cpu().clone() for name, tensor in (state | batches).items()}


def refuse_other_parts(recipe: Recipe) -> None:
    """ValueError for a part that the released code does not have."""
    for part, kind in (("image", PatchEmbedding), ("pool", Groups), ("text", ClipText)):
        if not isinstance(found := getattr(recipe, part), kind):
            raise ValueError(
                f"the groupvit layout holds {kind.__name__} as {part}, and this model has "
                f"{type(found).__name__}"
            )
    if recipe.pool.head is None or not recipe.text.hidden or recipe.pool.widths:
        raise ValueError(
            "the groupvit layout holds one width throughout and a projection of two layers on both "
            "sides: pool.widths=(), pool.head=(4096,256) and text.hidden=4096"
        )
    if recipe.similarity != Cosine():
        raise ValueError(
            f"the groupvit layout holds plain cosines, not {recipe.similarity}; the layout "
            "whatwhere keeps them"
        )


def _projector(head: Projection, prefix: str) -> dict[str, Tensor]:
    """Linear maps are convolutions of one pixel there."""
    names = {"hidden": "linear_hidden.0", "norm": "linear_hidden.1", "out": "linear_out"}
    found = {}
    for name, tensor in head.state_dict().items():
        layer, _, kind = name.partition(".")
        tensor = tensor[..., None] if kind == "weight" and layer != "norm" else tensor
        found[f"{prefix}{names[layer]}.{kind}"] = tensor
    return {name: tensor for name, tensor in found.items() if name not in NOT_NEEDED}


def _head(state: dict[str, Tensor], prefix: str) -> tuple[int, int]:
    hidden = tensor_of(state, f"{prefix}linear_hidden.0.weight").shape[0]
    return hidden, tensor_of(state, f"{prefix}linear_out.weight").shape[0]


def _heads(config: dict[str, Any], tower: str, width: int) -> int:
    return config.get(tower, {}).get("num_attention_heads", max(width // HEAD, 1))
