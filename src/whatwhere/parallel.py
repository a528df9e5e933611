"""Tensors from every process, with gradient; alone, the tensor itself."""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, mine):
        everyone = [torch.empty_like(mine) for _ in range(world())]
        dist.all_gather(everyone, mine.contiguous())
        return torch.cat(everyone)

    @staticmethod
    def backward(ctx, *gradients):
        gradient = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient.chunk(world())[rank()]


def everyone(mine: Float[Tensor, " here *rest"]) -> Float[Tensor, " everywhere *rest"]:
    """Rows of all processes, in order of rank; every process must bring equally many.

    The backward pass sums what all processes ask of a row, so that averaging parameter gradients
    over processes (DDP) gives the gradient of one big batch.
    """
    return mine if world() == 1 else _Gather.apply(mine)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, mine):
        total = mine.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, *gradients):
        gradient = gradients[0].clone()
        dist.all_reduce(gradient)
        return gradient


def total(mine: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The sum over all processes, with gradient."""
    return mine if world() == 1 else _Sum.apply(mine)
