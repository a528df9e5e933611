"""The learning rate of every step, and which weights decay."""

import math
from dataclasses import replace

import torch
from torch import nn

from whatwhere.training.settings import Training


def for_data(settings: Training, *, samples: int, batch: int) -> Training:
    """The same settings with `epochs` and `lr_for` worked out: only `steps` and `lr` remain.

    `samples` pictures, or captions if each is a sample, make an epoch; `batch` counts all
    processes. The released SimZSS rounds every epoch up to a multiple of its loader's workers
    (28 steps for 400,000 samples by 16,384, where 24.4 see them all); ours rounds once, at the end
    of the run, so that the number of workers decides nothing.

    >>> coco = Training(steps=0, epochs=10.0, lr=3e-5, lr_for=256)
    >>> scaled = for_data(coco, samples=400_000, batch=16_384)
    >>> scaled.steps, round(scaled.lr, 6)
    (245, 0.00192)
    """
    if bool(settings.steps) == bool(settings.epochs):
        raise ValueError(
            f"training.steps={settings.steps} and training.epochs={settings.epochs:g}; one of them "
            "says how long, set the other one to 0"
        )
    steps = settings.steps or math.ceil(settings.epochs * samples / batch)
    lr = settings.lr * batch / settings.lr_for if settings.lr_for else settings.lr
    return replace(settings, steps=steps, epochs=0.0, lr=lr, lr_for=0)


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
    return torch.optim.AdamW(
        groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, fused=True
    )
