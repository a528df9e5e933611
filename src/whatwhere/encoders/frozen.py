"""Parts of an encoder that training must not touch: neither weights nor statistics nor dropout."""

from typing import Any

from torch import nn


class Frozen(nn.Module):
    """A network in evaluation mode with fixed weights, whatever its parent is told.

    No graph is kept, because nothing in it asks for gradient. Inputs that do ask, such as learned
    tokens put in between, still get it; wrapping the call in `no_grad` would cut them off.
    """

    def __init__(self, trunk: nn.Module):
        super().__init__()
        self.trunk = trunk.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "Frozen":
        """Evaluation mode, always: a parent's `train()` reaches every child, so it ends here."""
        return super().train(False)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.trunk(*inputs, **named)
