"""A class token for networks that have none."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class ClassAttention(nn.Module):
    """A learnt token that looks at all patches once and that no patch sees (arXiv 2103.17239).

    The paper has two such blocks with their feed-forward parts; here it is one attention.
    """

    def __init__(self, width: int, *, heads: int = 4):
        super().__init__()
        if width % heads:
            raise ValueError(
                f"a class token of width {width} does not divide into {heads} heads; set "
                f"image.width to a multiple of {heads}, or image.cls=False"
            )
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, patches: Float[Tensor, "batch rows cols width"]
    ) -> Float[Tensor, "batch width"]:
        tokens = rearrange(patches, "batch rows cols width -> batch (rows cols) width")
        query = self.token.expand(tokens.shape[0], 1, -1)
        seen, _ = self.attention(query, tokens, tokens, need_weights=False)
        return self.norm(query + seen)[:, 0]
