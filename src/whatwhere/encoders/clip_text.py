"""The text transformer of CLIP: trained from nothing, or from weights with OpenCLIP's names."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from whatwhere.encoders.clip_tokens import ClipTokens
from whatwhere.encoders.sequence import check_layers, masked_mean
from whatwhere.encoders.weights import read, under
from whatwhere.records import Sizes, TextFeatures

VOCABULARY = 49408


@dataclass(frozen=True)
class ClipText:
    """CLIP's text tower (arXiv 2103.00020) whose last norm and projection act on every token.

    So words and captions share the joint space (SimZSS, arXiv 2406.16085); the original projects
    the end token only, which is the same caption vector ("eot"; "mean" averages the real tokens).
    `causal=False` lets every token see every other, padding included, as SimZSS's option without a
    mask does. `weights` is a local file with OpenCLIP's names, bare or as a part of a whole CLIP;
    the exact GELU is used, not OpenAI's quick one. `vocabulary` differs only in tiny checkpoints.
    """

    width: int = 512
    layers: int = 12
    heads: int = 8
    context: int = 77
    pool: str = "eot"
    causal: bool = True
    weights: str | None = None
    frozen: bool = False
    vocabulary: int = VOCABULARY

    def build(self, sizes: Sizes) -> ClipTextEncoder:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide into {self.heads} heads")
        if self.pool not in ("eot", "mean"):
            raise ValueError(f"pool {self.pool!r} is not one of 'eot', 'mean'")
        encoder = ClipTextEncoder(self, dim=sizes.dim)
        if self.weights is not None and sizes.pretrained:
            own = encoder.state_dict()
            found = under(read(self.weights), landmark="token_embedding.weight", wanted=own)
            for key, value in found.items():
                if value.shape != own[key].shape:
                    raise ValueError(
                        f"{key} of {self.weights} is {tuple(value.shape)}, not "
                        f"{tuple(own[key].shape)}; set width, context and dim as in the file"
                    )
            encoder.load_state_dict(found)
        return encoder.requires_grad_(not self.frozen)


class ClipTextEncoder(nn.Module):
    """Token ids to words and captions. Parameter names are OpenCLIP's."""

    def __init__(self, settings: ClipText, *, dim: int):
        super().__init__()
        width = settings.width
        self.tokenizer = ClipTokens(settings.context)
        self.frozen, self.causal, self.pool = settings.frozen, settings.causal, settings.pool
        self.token_embedding = nn.Embedding(settings.vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.empty(settings.context, width))
        self.transformer = _Transformer(settings)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, dim))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.text_projection, std=width**-0.5)

    def embed(self, ids: Int[Tensor, "batch words"]) -> Float[Tensor, "batch words width"]:
        """Token vectors without their positions, which `encode` adds."""
        return self.token_embedding(ids)

    def encode(
        self,
        embeddings: Float[Tensor, "batch words width"],
        mask: Bool[Tensor, "batch words"],
        inject: dict[int, Float[Tensor, "batch extra width"]] | None = None,
    ) -> TextFeatures:
        """Words and captions in the joint space; the caption is read at the last real token.

        Injected tokens come in after the words before the block of their number and live on until
        a later entry replaces them. Every word sees them. Under the causal mask they see the start
        token and one another, as learned prompts between start and caption do, so that no word
        learns through them what comes after it. Words beyond the longest caption are zero.
        """
        words, context = embeddings.shape[1], len(self.positional_embedding)
        if words > context:
            raise ValueError(f"captions of {words} tokens do not fit; cut them to {context}")
        longest = int(mask.sum(dim=1).max()) if self.causal else words
        hidden = embeddings[:, :longest] + self.positional_embedding[:longest]
        hidden = self.transformer(hidden, inject or {})
        projected = self.ln_final(hidden) @ self.text_projection
        return TextFeatures(
            words=F.pad(projected, (0, 0, 0, words - longest)),
            caption=_pooled(projected, mask[:, :longest], how=self.pool),
        )

    def forward(
        self, ids: Int[Tensor, "batch words"], mask: Bool[Tensor, "batch words"]
    ) -> TextFeatures:
        return self.encode(self.embed(ids), mask)


class _Transformer(nn.Module):
    def __init__(self, settings: ClipText):
        super().__init__()
        self.causal = settings.causal
        self.resblocks = nn.ModuleList(
            _Block(settings.width, settings.heads, layers=settings.layers)
            for _ in range(settings.layers)
        )

    def forward(
        self,
        hidden: Float[Tensor, "batch words width"],
        inject: dict[int, Float[Tensor, "batch extra width"]],
    ) -> Float[Tensor, "batch words width"]:
        check_layers(inject, count=len(self.resblocks))
        words = hidden.shape[1]
        seen = None
        for i, block in enumerate(self.resblocks):
            if i in inject:
                hidden = torch.cat([hidden[:, :words], inject[i]], dim=1)
            if self.causal and (i == 0 or i in inject):
                seen = _causal(words, extra=hidden.shape[1] - words, device=hidden.device)
            hidden = block(hidden, seen)
        return hidden[:, :words]


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, *, layers: int):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = _Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = _Mlp(width)
        # Branches that write into the residual stream start smaller the more of them there are.
        residual = width**-0.5 * (2 * layers) ** -0.5
        nn.init.normal_(self.attn.in_proj_weight, std=width**-0.5)
        nn.init.normal_(self.attn.out_proj.weight, std=residual)
        nn.init.normal_(self.mlp.c_fc.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(self.mlp.c_proj.weight, std=residual)
        nn.init.zeros_(self.attn.out_proj.bias)

    def forward(
        self, hidden: Float[Tensor, "batch tokens width"], seen: Bool[Tensor, "to from"] | None
    ) -> Float[Tensor, "batch tokens width"]:
        hidden = hidden + self.attn(self.ln_1(hidden), seen)
        return hidden + self.mlp(self.ln_2(hidden))


class _Mlp(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(
        self, hidden: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        return self.c_proj(F.gelu(self.c_fc(hidden)))


class _Attention(nn.Module):
    """Self-attention under the parameter names of `nn.MultiheadAttention`."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(
        self, hidden: Float[Tensor, "batch tokens width"], seen: Bool[Tensor, "to from"] | None
    ) -> Float[Tensor, "batch tokens width"]:
        query, key, value = rearrange(
            F.linear(hidden, self.in_proj_weight, self.in_proj_bias),
            "batch tokens (three heads width) -> three batch heads tokens width",
            three=3,
            heads=self.heads,
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return self.out_proj(
            rearrange(mixed, "batch heads tokens width -> batch tokens (heads width)")
        )


def _causal(words: int, *, extra: int, device: torch.device) -> Bool[Tensor, "to from"]:
    seen = torch.ones(words + extra, words + extra, dtype=torch.bool, device=device).tril()
    seen[:, words:] = True
    seen[words:, 1:words] = False
    return seen


def _pooled(
    words: Float[Tensor, "batch words dim"], mask: Bool[Tensor, "batch words"], *, how: str
) -> Float[Tensor, "batch dim"]:
    if how == "mean":
        return masked_mean(words, mask=mask)
    places = torch.arange(mask.shape[1], device=mask.device)
    last = (places * mask).argmax(dim=1)
    return words[torch.arange(len(words), device=words.device), last]
