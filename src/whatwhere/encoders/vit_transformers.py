"""Weights of plain ViTs as the library `transformers` names them (facebook/dino-vitb16)."""

import re

import torch
from torch import Tensor

LANDMARK = "embeddings.patch_embeddings.projection.weight"
NAMES = (
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("encoder.layer.", "blocks."),
    (".layernorm_before.", ".norm1."),
    (".layernorm_after.", ".norm2."),
    (".attention.output.dense.", ".attn.proj."),
    (".intermediate.dense.", ".mlp.fc1."),
    (".output.dense.", ".mlp.fc2."),
    ("layernorm.", "norm."),
)
QUERY = re.compile(r"(.*)\.attention\.attention\.query\.(weight|bias)")


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under timm's names, or as they are if they are not `transformers`' own.

    Queries, keys and values, three matrices there, are one here. The pooler is left out: it is
    trained for tasks that have nothing to do with patches.
    """
    found = [key for key in state if key.endswith(LANDMARK)]
    if not found:
        return state
    prefix = found[0].removesuffix(LANDMARK)
    own = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    own = {key: tensor for key, tensor in own.items() if not key.startswith("pooler.")}
    joined = {}
    for key, tensor in own.items():
        if match := QUERY.fullmatch(key):
            parts = (key.replace(".query.", f".{part}.") for part in ("key", "value"))
            block, kind = match.groups()
            joined[f"{block}.attn.qkv.{kind}"] = torch.cat([tensor, *(own[part] for part in parts)])
        elif ".attention.attention." not in key:
            joined[key] = tensor
    return {_renamed(key): tensor for key, tensor in joined.items()}


def _renamed(key: str) -> str:
    for theirs, timms in NAMES:
        key = key.replace(theirs, timms)
    return key
