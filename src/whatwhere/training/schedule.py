"""The learning rate of every step, and which weights decay."""

import math

import torch
from torch import nn

from whatwhere.training.settings import Training


def lr_at(step: int, settings: Training) -> float:
    """lr * (step + 1) / warm-up, then half a cosine over the steps that remain.

    >>> [round(lr_at(s, Training(steps=6, lr=1.0, warmup=2.0)), 3) for s in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    share = settings.warmup < 1
    warm = int(settings.warmup * settings.steps) if share else int(settings.warmup)
    if step < warm:
        return settings.lr * (step + 1) / warm
    progress = (step - warm) / max(settings.steps - warm, 1)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * progress))


def optimizer(module: nn.Module, settings: Training) -> torch.optim.AdamW:
    """Over the weights that learn, in two groups.

    Vectors (biases, norms, temperatures) and T5's table of relative biases do not decay, all else
    does: the groups of SimZSS and of CLIPpy as released.
    """
    learning = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    if not learning:
        raise ValueError("every part is frozen and no objective has weights: nothing to train")
    decayed = [p for name, p in learning if p.ndim >= 2 and "bias" not in name]
    plain = [p for name, p in learning if p.ndim < 2 or "bias" in name]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps)
