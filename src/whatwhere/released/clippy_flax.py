"""CLIPpy's weights as its JAX port keeps them: a tree of arrays, joined by slashes here."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from whatwhere.encoders.hf_text import T5
from whatwhere.encoders.timm_model import Vit
from whatwhere.recipes import Recipe
from whatwhere.released import clippy
from whatwhere.training import Step
from whatwhere.weights import count_of, tensor_of

VIT, T5_ENCODER = "params/visual/", "params/text/transformer/encoder/"
BLOCKS, FIRST = f"{VIT}transformer/resblocks.", f"{T5_ENCODER}block/0/layer/"
WORDS, DENSE = "params/text/transformer/shared/embedding", "params/text/dense/kernel"

NAMES = {  # of layers of the ViT
    "patch_embed.proj": "conv1",
    "norm": "ln_post",
    "norm1": "ln_1",
    "norm2": "ln_2",
    "attn.proj": "attn/out",
    "mlp.fc1": "mlp/c_fc",
    "mlp.fc2": "mlp/c_proj",
}
PERMUTED = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}  # norms, linear maps, the convolution
NOT_NEEDED: frozenset[str] = frozenset()


def recognises(state: dict[str, Tensor]) -> bool:
    return f"{VIT}class_embedding" in state


def recipe_of(state: dict[str, Tensor], config: dict[str, Any]) -> Recipe:
    """The recipe that the shapes tell, attention heads too; the maximum is over patches only."""
    patch, _, _, width = tensor_of(state, f"{VIT}conv1/kernel").shape
    places = tensor_of(state, f"{VIT}positional_embedding").shape[0] - 1
    buckets, heads = tensor_of(
        state, f"{FIRST}0/SelfAttention/relative_attention_bias/embedding"
    ).shape
    vocabulary, text_width = tensor_of(state, WORDS).shape
    return clippy.recipe_with(
        Vit(
            width=width,
            layers=count_of(state, BLOCKS),
            heads=tensor_of(state, f"{BLOCKS}0/attn/query/kernel").shape[1],
            patch=patch,
            size=math.isqrt(places) * patch,
        ),
        T5(
            vocabulary=vocabulary,
            width=text_width,
            layers=count_of(state, f"{T5_ENCODER}block/"),
            heads=heads,
            head_width=tensor_of(state, f"{FIRST}0/SelfAttention/q/kernel").shape[1] // heads,
            hidden=tensor_of(state, f"{FIRST}1/DenseReluDense/wi/kernel").shape[1],
            buckets=buckets,
        ),
        with_cls=False,
    )


def refuse_other_parts(recipe: Recipe) -> None:
    clippy.refuse_other_parts(recipe, layout="clippy_flax")


def tensors(step: Step) -> dict[str, Tensor]:
    """The live weights of a model of ours, as views in the shapes that Flax gives them."""
    heads = clippy.network_of(step.model.image_encoder).blocks[0].attn.num_heads
    found = {}
    for name, tensor in clippy.tensors(step).items():
        if name.startswith(clippy.VIT):
            found |= _of_vit(name.removeprefix(clippy.VIT), tensor, heads)
        elif name.startswith(clippy.T5_ENCODER):
            found |= _of_t5(name.removeprefix(clippy.T5_ENCODER), tensor)
        elif name == clippy.DENSE:
            found[DENSE] = tensor.mT
        elif name != clippy.SHARED:
            found[f"params/{name}"] = tensor
    return found


def written(step: Step, recipe: Recipe) -> dict[str, Tensor]:
    """The whole tree; where it is saved in torch's format, as nested dicts of numpy arrays."""
    refuse_other_parts(recipe)
    clippy.refuse_other_networks(step, layout="clippy_flax")
    state = tensors(step)
    clippy.tell_what_is_not_said(recipe, recipe_of(state, {}), layout="clippy_flax")
    return {
        name: tensor.cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
    }


def _of_vit(name: str, tensor: Tensor, heads: int) -> dict[str, Tensor]:
    if name == "cls_token":
        return {f"{VIT}class_embedding": tensor[0, 0]}
    if name == "pos_embed":
        return {f"{VIT}positional_embedding": tensor[0]}
    place = re.fullmatch(r"(?:blocks\.(\d+)\.)?(.+)\.(weight|bias)", name)
    assert place is not None
    block, layer, kind = place.groups()
    before = VIT if block is None else f"{BLOCKS}{block}/"
    if layer == "attn.qkv":
        pieces = [piece.unflatten(0, (heads, -1)) for piece in tensor.chunk(3)]
        kind = {"weight": "kernel"}.get(kind, kind)
        return {
            f"{before}attn/{part}/{kind}": piece.movedim(2, 0) if piece.ndim == 3 else piece
            for part, piece in zip(("query", "key", "value"), pieces, strict=True)
        }
    if kind == "weight":
        kind = "scale" if tensor.ndim == 1 else "kernel"
        tensor = tensor.permute(*PERMUTED[tensor.ndim])
        tensor = tensor.unflatten(0, (heads, -1)) if layer == "attn.proj" else tensor
    return {f"{before}{NAMES[layer]}/{kind}": tensor}


def _of_t5(name: str, tensor: Tensor) -> dict[str, Tensor]:
    if name == "embed_tokens.weight":
        return {WORDS: tensor}
    layer = name.removesuffix(".weight").replace(".", "/")
    if layer.endswith("relative_attention_bias"):
        return {f"{T5_ENCODER}{layer}/embedding": tensor}
    if tensor.ndim == 1:
        return {f"{T5_ENCODER}{layer}/weight": tensor}
    return {f"{T5_ENCODER}{layer}/kernel": tensor.mT}
