"""A frozen network stays as it is, and still lets gradient through to learned inputs."""

import torch
from torch import nn

from whatwhere.encoders.frozen import Frozen


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.5))


def test_stays_in_evaluation_mode_when_its_parent_trains():
    frozen = Frozen(network())
    nn.ModuleList([frozen]).train()
    assert not any(module.training for module in frozen.modules())
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    x = torch.randn(7, 3)
    assert torch.equal(frozen(x), frozen(x))
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())


def test_keeps_no_graph_but_passes_gradient_to_an_input_that_asks():
    frozen = Frozen(network())
    assert not any(p.requires_grad for p in frozen.parameters())
    x = torch.randn(7, 3)
    assert frozen(x).grad_fn is None
    x.requires_grad_()
    assert torch.autograd.grad(frozen(x).sum(), x)[0].abs().max() > 0
