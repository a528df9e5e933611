"""Several objectives at once: their terms and reports, side by side."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from whatwhere.records import Losses


class Together(nn.Module):
    def __init__(self, parts: Sequence):
        super().__init__()
        self.parts = list(parts)
        self.weights = nn.ModuleList(part for part in parts if isinstance(part, nn.Module))

    def forward(self, *seen: Any) -> Losses:
        terms, report = {}, {}
        for part in self.parts:
            losses = part(*seen)
            if twice := (terms | report).keys() & (losses.terms | losses.report).keys():
                raise ValueError(f"two objectives both report {sorted(twice)}; remove one of them")
            terms |= losses.terms
            report |= losses.report
        return Losses(terms, report)
