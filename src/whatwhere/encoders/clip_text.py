"""The text transformer of CLIP: trained from nothing, or from weights with OpenCLIP's names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Literal
from zlib import crc32

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from whatwhere.encoders.clip_tokens import ClipTokens
from whatwhere.encoders.sequence import check_layers, longest, masked_mean
from whatwhere.projection import Projection
from whatwhere.records import Sizes, TextFeatures
from whatwhere.weights import read, under

VOCABULARY = 49408
POOLS = ("eot", "mean", "words")
FEWEST = 4  # rows of a table of kept tokens: the others', the start's, the end's and a word's
Gelu = Literal["exact", "quick"]


@dataclass(frozen=True)
class ClipText:
    """CLIP's text tower (arXiv 2103.00020) whose last norm and projection act on every token.

    So words and captions share the joint space (SimZSS, arXiv 2406.16085); the original projects
    the end token only, which is the same caption vector ("eot"; "mean" averages the real tokens,
    "words" those between start and end, so that a name is what its words are in a caption).
    `causal=False` lets every token see every other, padding included, as SimZSS's option without a
    mask does. `weights` is a local file with OpenCLIP's names, bare or as a part of a whole CLIP.
    `vocabulary` differs only in tiny checkpoints. `gelu` is exact, or the "quick" x * sigmoid(1.702
    x) of OpenAI's weights. With `hidden` the projection is GroupViT's instead of a matrix: linear
    to so many numbers, batch norm, ReLU, linear. `projects` "caption" leaves the words out, which
    saves time where nothing looks at them. `kept` > 0 is for small models: the table of tokens has
    so many rows, one each for the commonest tokens of the captions that are trained on, and one for
    all others; words without a row of their own are unknown. 0: a row for every token of CLIP.
    Without `positions` and `layers` a token is one vector wherever it stands, so that a name read
    alone is what it is in the middle of a caption. With `members` the width is that of so many
    encoders without layers side by side (`whatwhere ensemble`): the last norm is of each by itself.
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
    gelu: Gelu = "exact"
    hidden: int = 0
    projects: Literal["words", "caption"] = "words"
    kept: int = 0
    positions: bool = True
    members: int = 1

    def build(self, sizes: Sizes) -> ClipTextEncoder:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide into {self.heads} heads")
        if self.pool not in POOLS:
            raise ValueError(f"pool {self.pool!r} is not one of {', '.join(POOLS)}")
        if self.members < 1 or self.width % self.members or (self.members > 1 and self.layers):
            raise ValueError(
                f"text.members={self.members} with text.width={self.width}, layers={self.layers}; "
                "take a number that divides the width, and layers=0, whose members do not mix"
            )
        if self.kept:
            self._check_kept()
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

    def _check_kept(self) -> None:
        if not FEWEST <= self.kept <= VOCABULARY:
            raise ValueError(
                f"text.kept={self.kept} rows of tokens; take {FEWEST} to {VOCABULARY}, or 0 for a "
                "row of every token"
            )
        if self.weights is not None or self.vocabulary != VOCABULARY:
            given = f"weights={self.weights}" if self.weights else f"vocabulary={self.vocabulary}"
            raise ValueError(
                f"text.kept={self.kept} chooses among all {VOCABULARY} tokens when a training from "
                f"nothing begins, which text.{given} does not go with; leave one of the two out"
            )


class ClipTextEncoder(nn.Module):
    """Token ids to words and captions. Parameter names are OpenCLIP's, but for a hidden head.

    `kept_ids` says whose row is whose, where not every token has one: row 0 is of all that are not
    kept. -1 there, and in rows that no token needed. `kept_words` are checksums of as many words,
    the commonest: a word that was never learnt may well consist of tokens that were.
    """

    kept_ids: Int[Tensor, " rows"] | None
    kept_words: Int[Tensor, " rows"] | None

    def __init__(self, settings: ClipText, *, dim: int):
        super().__init__()
        width = settings.width
        self.tokenizer = ClipTokens(settings.context)
        self.frozen, self.causal, self.pool = settings.frozen, settings.causal, settings.pool
        self.projects = settings.projects
        self.token_embedding = nn.Embedding(settings.kept or settings.vocabulary, width)
        none = torch.full((settings.kept,), -1)
        self.register_buffer("kept_ids", none if settings.kept else None)
        self.register_buffer("kept_words", none.clone() if settings.kept else None)
        self.context, self.members = settings.context, settings.members
        self.positional_embedding = None
        if settings.positions:
            self.positional_embedding = nn.Parameter(torch.empty(settings.context, width))
        self.transformer = _Transformer(settings)
        self.ln_final = nn.LayerNorm(width)
        self.head = self.text_projection = None
        if settings.hidden:
            self.head = Projection(width, settings.hidden, dim)
        else:
            self.text_projection = nn.Parameter(torch.empty(width, dim))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        if self.positional_embedding is not None:
            nn.init.normal_(self.positional_embedding, std=0.01)
        if self.text_projection is not None:
            nn.init.normal_(self.text_projection, std=width**-0.5)

    def embed(self, ids: Int[Tensor, "batch words"]) -> Float[Tensor, "batch words width"]:
        """Token vectors without their positions, which `encode` adds."""
        return self.token_embedding(ids if self.kept_ids is None else self._rows()[ids])

    def _rows(self) -> Int[Tensor, " ids"]:
        """The row of each token. Made anew each time, which is cheap and never out of date."""
        assert self.kept_ids is not None
        if not torch.compiler.is_exporting() and self.kept_ids[1] < 0:
            raise ValueError(
                "no captions have told this text encoder yet which tokens to keep (text.kept); "
                "train it with `whatwhere train`, or call fit(captions) before it reads"
            )
        rows = self.kept_ids.new_zeros(VOCABULARY + 1)
        rows[self.kept_ids] = torch.arange(len(self.kept_ids), device=rows.device)
        return rows[:-1]  # where -1 wrote to

    @torch.no_grad()
    def fit(self, captions: Iterable[str]) -> None:
        """Rows for the commonest tokens of the captions, where not every token has a row."""
        if self.kept_ids is None or self.kept_words is None:
            return
        words: Counter[str] = Counter()
        for caption in captions:
            words.update(self.tokenizer.words(self.tokenizer.clean(caption)))
        if not words:
            raise ValueError(f"no captions to choose the {len(self.kept_ids)} tokens of text.kept")
        start, end = self.tokenizer.ids("")
        tokens: Counter[int] = Counter()
        for word, count in words.items():
            for token in self.tokenizer.ids(word)[1:-1]:
                tokens[token] += count
        _fill(self.kept_ids, [-1, start, end, *_commonest(tokens)])
        _fill(self.kept_words, [_checksum(word) for word in _commonest(words)])

    def unknown(self, texts: list[str]) -> list[tuple[str, ...]]:
        """Of each text the words that no caption has taught, where not every token has a row."""
        if self.kept_words is None:
            return [() for _ in texts]
        words, rows = set(self.kept_words.tolist()), self._rows().tolist()

        def learnt(word: str) -> bool:
            known = _checksum(word) in words and all(rows[i] for i in self.tokenizer.ids(word))
            return known or not any(map(str.isalnum, word))

        said = [self.tokenizer.words(self.tokenizer.clean(text)) for text in texts]
        return [tuple(word for word in some if not learnt(word)) for some in said]

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
        learns through them what comes after it. Under that mask padding is nothing that any word
        sees, so it is not computed: vectors of padding mean nothing.
        """
        words = embeddings.shape[1]
        if words > self.context:
            raise ValueError(f"captions of {words} tokens do not fit; cut them to {self.context}")
        last = longest(mask) if self.causal else words
        hidden = embeddings[:, :last]
        if self.positional_embedding is not None:
            hidden = hidden + self.positional_embedding[:last]
        hidden = self.transformer(hidden, mask[:, :last], inject or {})
        found = self._projected(self.normed(hidden), mask[:, :last])
        if self.projects == "caption":
            return found
        return replace(found, words=F.pad(found.words, (0, 0, 0, words - last)))

    def normed(
        self, hidden: Float[Tensor, "batch words width"]
    ) -> Float[Tensor, "batch words width"]:
        """Vectors as they meet the projection."""
        last = self.ln_final
        if self.members == 1:
            return last(hidden)
        each = hidden.unflatten(-1, (self.members, -1))
        each = F.layer_norm(each, each.shape[-1:], eps=last.eps)
        return each.flatten(-2) * last.weight + last.bias

    def _projected(
        self, words: Float[Tensor, "batch words width"], mask: Bool[Tensor, "batch words"]
    ) -> TextFeatures:
        whole = _pooled(words, mask, how=self.pool)
        if self.projects == "caption":
            words = words[:, :0]
        if self.head is not None:
            found = self.head(whole, words)
            return TextFeatures(words=found.parts, caption=found.whole)
        assert self.text_projection is not None
        words = words @ self.text_projection
        if self.projects == "caption":
            return TextFeatures(words, whole @ self.text_projection)
        return TextFeatures(words, _pooled(words, mask, how=self.pool))

    def forward(
        self, ids: Int[Tensor, "batch words"], mask: Bool[Tensor, "batch words"]
    ) -> TextFeatures:
        return self.encode(self.embed(ids), mask)


def _commonest(counts: Counter) -> list:
    return sorted(counts, key=lambda thing: (-counts[thing], thing))


def _checksum(word: str) -> int:
    return crc32(word.encode())


def _fill(buffer: Int[Tensor, " rows"], values: list[int]) -> None:
    some = torch.tensor(values[: len(buffer)], dtype=buffer.dtype)
    buffer.fill_(-1)[: len(some)] = some


class _Places:
    """Where the tokens that count stand in a padded batch; alone they are rows of one table."""

    def __init__(self, real: Bool[Tensor, "batch tokens"]):
        self.shape = real.shape
        self.places = real.flatten().nonzero()[:, 0]

    def rows(self, padded: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "real width"]:
        return padded.flatten(0, 1).index_select(0, self.places)

    def padded(self, rows: Float[Tensor, "real width"]) -> Float[Tensor, "batch tokens width"]:
        empty = rows.new_zeros(self.shape.numel(), rows.shape[1])
        return empty.index_copy(0, self.places, rows).unflatten(0, self.shape)


class _Everywhere:
    """All places: where padding counts too, and in an exported graph, whose sizes know no values.

    Under the causal mask no real token sees the padding after it.
    """

    def __init__(self, real: Bool[Tensor, "batch tokens"]):
        self.shape = real.shape

    def rows(self, padded: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "all width"]:
        return padded.flatten(0, 1)

    def padded(self, rows: Float[Tensor, "all width"]) -> Float[Tensor, "batch tokens width"]:
        return rows.unflatten(0, self.shape)


class _Transformer(nn.Module):
    def __init__(self, settings: ClipText):
        super().__init__()
        self.causal = settings.causal
        self.resblocks = nn.ModuleList(
            _Block(settings.width, settings.heads, layers=settings.layers, gelu=settings.gelu)
            for _ in range(settings.layers)
        )

    def forward(
        self,
        hidden: Float[Tensor, "batch words width"],
        mask: Bool[Tensor, "batch words"],
        inject: dict[int, Float[Tensor, "batch extra width"]],
    ) -> Float[Tensor, "batch words width"]:
        check_layers(inject, count=len(self.resblocks))
        words = hidden.shape[1]
        packed = self.causal and not torch.compiler.is_exporting()
        spots = _Places if packed else _Everywhere
        seen = _causal(words, extra=0, device=hidden.device) if self.causal else None
        places = spots(mask)
        rows = places.rows(hidden)
        for i, block in enumerate(self.resblocks):
            if i in inject:
                extra = inject[i].shape[1]
                hidden = torch.cat([places.padded(rows)[:, :words], inject[i]], dim=1)
                if self.causal:
                    seen = _causal(words, extra=extra, device=hidden.device)
                places = spots(F.pad(mask, (0, extra), value=True))
                rows = places.rows(hidden)
            rows = block(rows, places, seen)
        return places.padded(rows)[:, :words]


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, *, layers: int, gelu: Gelu):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = _Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = _Mlp(width, gelu)
        # Branches that write into the residual stream start smaller the more of them there are.
        residual = width**-0.5 * (2 * layers) ** -0.5
        nn.init.normal_(self.attn.in_proj_weight, std=width**-0.5)
        nn.init.normal_(self.attn.out_proj.weight, std=residual)
        nn.init.normal_(self.mlp.c_fc.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(self.mlp.c_proj.weight, std=residual)
        nn.init.zeros_(self.attn.out_proj.bias)

    def forward(
        self,
        rows: Float[Tensor, "real width"],
        places: _Places | _Everywhere,
        seen: Bool[Tensor, "to from"] | None,
    ) -> Float[Tensor, "real width"]:
        rows = rows + self.attn(self.ln_1(rows), places, seen)
        return rows + self.mlp(self.ln_2(rows))


class _Mlp(nn.Module):
    def __init__(self, width: int, gelu: Gelu):
        super().__init__()
        self.gelu = F.gelu if gelu == "exact" else _quick_gelu
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, rows: Float[Tensor, "real width"]) -> Float[Tensor, "real width"]:
        return self.c_proj(self.gelu(self.c_fc(rows)))


def _quick_gelu(x: Float[Tensor, "real width"]) -> Float[Tensor, "real width"]:
    return x * torch.sigmoid(1.702 * x)


class _Attention(nn.Module):
    """Self-attention under the parameter names of `nn.MultiheadAttention`."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(
        self,
        rows: Float[Tensor, "real width"],
        places: _Places | _Everywhere,
        seen: Bool[Tensor, "to from"] | None,
    ) -> Float[Tensor, "real width"]:
        query, key, value = rearrange(
            places.padded(F.linear(rows, self.in_proj_weight, self.in_proj_bias)),
            "batch tokens (three heads width) -> three batch heads tokens width",
            three=3,
            heads=self.heads,
        )
        # Backwards in bfloat16 on a CPU, torch's fused kernel takes eight times as long as plain
        # products (measured with 2.15).
        slow = query.device.type == "cpu" and query.dtype == torch.bfloat16
        with sdpa_kernel(SDPBackend.MATH) if slow else nullcontext():
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        mixed = rearrange(mixed, "batch heads tokens width -> batch tokens (heads width)")
        return self.out_proj(places.rows(mixed))


def _causal(words: int, *, extra: int, device: torch.device) -> Bool[Tensor, "to from"]:
    seen = torch.ones(words + extra, words + extra, dtype=torch.bool, device=device).tril()
    seen[:, words:] = True
    seen[words:, 1:words] = False
    return seen


def _pooled(
    words: Float[Tensor, "batch words dim"], mask: Bool[Tensor, "batch words"], *, how: str
) -> Float[Tensor, "batch dim"]:
    if how == "words":
        inner = F.pad(mask[:, :-2] & mask[:, 1:-1] & mask[:, 2:], (1, 1))  # neither start nor end
        mask = inner | (mask & ~inner.any(dim=1, keepdim=True))
    if how != "eot":
        return masked_mean(words, mask=mask)
    places = torch.arange(mask.shape[1], device=mask.device)
    last = (places * mask).argmax(dim=1)
    return words[torch.arange(words.shape[0], device=words.device), last]
