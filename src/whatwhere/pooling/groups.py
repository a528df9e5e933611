"""Patches that gather into ever fewer groups: the regions of GroupViT (arXiv 2202.11094)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.projection import Projection
from whatwhere.records import ImageFeatures, Pooled, Sizes


@dataclass(frozen=True)
class Groups:
    """A transformer in stages; at the end of all but the last, tokens choose a group.

    In each stage learned group tokens live beside the picture's tokens. Then every token chooses
    one group, hard, with a straight-through gradient, and the groups are the tokens of the next
    stage. What comes out of the last stage are the regions; the image vector is their mean; `where`
    composes the soft choices of all stages, which gives better masks than the hard ones.

    depths      transformer blocks of each stage
    heads       attention heads of each stage
    tokens      learned group tokens of each stage but the last
    groups      groups that these stages end in; as published as many as group tokens
    widths      numbers of a token in each stage; none: those of the patches throughout
    looks       whether group tokens attend to the tokens before these choose. Part of the released
                code and not of the paper; whoever left it out failed to reproduce its numbers
    average     "shrunk" divides a group's sum by its members and one, as released, so that small
                groups count less; "true" by its members
    drop_path   share of pictures that the last block leaves alone in training, the others less
    head        hidden and joint width of the projection of regions and image; none: no projection
    spread      of linear weights at the start, as published for tokens of 384 numbers. 0 takes the
                inverse root of their inputs: from 0.02, choices of narrow tokens stay chance
    """

    depths: tuple[int, ...] = (6, 3, 3)
    heads: tuple[int, ...] = (6, 6, 6)
    tokens: tuple[int, ...] = (64, 8)
    groups: tuple[int, ...] = (64, 8)
    widths: tuple[int, ...] = ()
    looks: bool = True
    average: Literal["shrunk", "true"] = "shrunk"
    drop_path: float = 0.1
    head: tuple[int, int] | None = None
    spread: float = 0.02

    def __post_init__(self) -> None:
        stages = len(self.depths)
        lengths = (len(self.heads), len(self.tokens) + 1, len(self.groups) + 1)
        if stages < 2 or set(lengths) != {stages} or len(self.widths) not in (0, stages):
            raise ValueError(
                f"pool.depths={self.depths}, heads={self.heads}, tokens={self.tokens}, "
                f"groups={self.groups}, widths={self.widths}; give two stages or more, tokens and "
                "groups for all but the last, and widths for all or none"
            )

    def dim(self, width: int) -> int:
        """Numbers a joint vector has, given a patch's."""
        return self.head[1] if self.head else (self.widths or (width,))[-1]

    def build(self, sizes: Sizes) -> GroupsPool:
        for width, heads in zip(self._widths(sizes), self.heads, strict=True):
            if width % heads:
                raise ValueError(f"a stage {width} wide does not divide into {heads} heads")
        return GroupsPool(self, sizes)

    def _widths(self, sizes: Sizes) -> tuple[int, ...]:
        return self.widths or (sizes.width,) * len(self.depths)


class GroupsPool(nn.Module):
    """Parameter names below `layers` and `norm` are those of the released GroupViT."""

    def __init__(self, settings: Groups, sizes: Sizes):
        super().__init__()
        widths = settings._widths(sizes)
        last = sum(settings.depths) - 1
        rates = iter([settings.drop_path * i / max(last, 1) for i in range(last + 1)])
        self.widen = nn.Linear(sizes.width, widths[0]) if sizes.width != widths[0] else None
        self.layers = nn.ModuleList(
            _Stage(settings, i, widths, rates) for i in range(len(settings.depths))
        )
        self.norm = nn.LayerNorm(widths[-1])
        for module in self.modules():
            if isinstance(module, nn.Linear):
                spread = settings.spread or module.in_features**-0.5
                nn.init.trunc_normal_(module.weight, std=spread)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.head = None
        if settings.head:
            self.head = Projection(widths[-1], settings.head[0], settings.head[1])

    def forward(
        self,
        features: ImageFeatures,
        noise: Sequence[Float[Tensor, "batch _ _"]] | None = None,
    ) -> Pooled:
        """`noise` [batch groups tokens] is added to the scores by which tokens choose a group.

        One for each stage but the last. None: Gumbel noise in training, none in evaluation.
        """
        tokens = rearrange(features.patches, "batch rows cols width -> batch (rows cols) width")
        tokens = tokens if self.widen is None else self.widen(tokens)
        before = where = None
        for i, stage in enumerate(self.layers):
            staged = stage(tokens, before, None if noise is None or stage.last else noise[i])
            tokens, before = staged.tokens, staged.group_tokens
            if staged.soft is not None:
                where = staged.soft if where is None else staged.soft @ where
        regions = self.norm(tokens)
        image = regions.mean(dim=1)
        if self.head is None:
            return Pooled(image, regions, where)
        projected = self.head(image, regions)
        return Pooled(projected.whole, projected.parts, where)


class _Staged(NamedTuple):
    tokens: Float[Tensor, "batch tokens width"]
    group_tokens: Float[Tensor, "batch group_tokens width"] | None  # before they became groups
    soft: Float[Tensor, "batch groups tokens_before"] | None  # which group a token would choose


class _Stage(nn.Module):
    def __init__(self, settings: Groups, stage: int, widths: Sequence[int], rates: Iterator[float]):
        super().__init__()
        width, heads = widths[stage], settings.heads[stage]
        self.last = stage == len(settings.depths) - 1
        self.group_projector = self.group_token = self.downsample = None
        if not self.last:
            count = settings.tokens[stage]
            self.group_token = nn.Parameter(torch.zeros(1, count, width))
            if stage:
                before = widths[stage - 1]
                mix = _Mlp(settings.tokens[stage - 1], before // 2, count)
                self.group_projector = nn.ModuleList(
                    [nn.LayerNorm(before), mix, *_reshaped(before, width)]
                )
            else:  # later ones start from those before
                nn.init.trunc_normal_(self.group_token, std=0.02)
        self.blocks = nn.ModuleList(
            _Block(width, heads, drop=next(rates)) for _ in range(settings.depths[stage])
        )
        if not self.last:
            self.downsample = _Grouping(settings, stage, width, widths[stage + 1])

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        before: Float[Tensor, "batch group_tokens_before width_before"] | None,
        noise: Float[Tensor, "batch groups tokens"] | None,
    ) -> _Staged:
        count = tokens.shape[1]
        if self.group_token is not None:
            group_tokens = self.group_token.expand(tokens.shape[0], -1, -1)
            if self.group_projector is not None:
                norm, mix, *reshape = self.group_projector
                started = mix(norm(before).mT).mT  # over the tokens, channel by channel
                group_tokens = group_tokens + nn.Sequential(*reshape)(started)
            tokens = torch.cat([tokens, group_tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        if self.downsample is None:
            return _Staged(tokens, None, None)
        tokens, group_tokens = tokens[:, :count], tokens[:, count:]
        grouped, soft = self.downsample(tokens, group_tokens, noise)
        return _Staged(grouped, group_tokens, soft)


class _Grouping(nn.Module):
    def __init__(self, settings: Groups, stage: int, width: int, width_after: int):
        super().__init__()
        self.norm_tokens, self.norm_post_tokens = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norm_x, self.norm_new_x = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp_inter = _Mlp(settings.tokens[stage], width // 2, settings.groups[stage])
        self.pre_assign_attn = _Look(width, settings.heads[stage]) if settings.looks else None
        self.assign = _Assign(width, true_mean=settings.average == "true")
        self.mlp_channels = _Mlp(width, 4 * width, width_after)
        self.reduction = nn.Sequential(*_reshaped(width, width_after))

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        group_tokens: Float[Tensor, "batch group_tokens width"],
        noise: Float[Tensor, "batch groups tokens"] | None,
    ) -> tuple[Float[Tensor, "batch groups width_after"], Float[Tensor, "batch groups tokens"]]:
        tokens = self.norm_x(tokens)
        groups = self.norm_post_tokens(self.mlp_inter(self.norm_tokens(group_tokens).mT).mT)
        if self.pre_assign_attn is not None:
            groups = self.pre_assign_attn(groups, tokens)
        gathered, soft = self.assign(groups, tokens, noise)
        groups = groups + gathered
        return self.reduction(groups) + self.mlp_channels(self.norm_new_x(groups)), soft


class _Assign(nn.Module):
    """Every token chooses the group that it fits best; each group takes the mean of its members."""

    def __init__(self, width: int, *, true_mean: bool):
        super().__init__()
        self.true_mean = true_mean
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(
        self,
        groups: Float[Tensor, "batch groups width"],
        tokens: Float[Tensor, "batch tokens width"],
        noise: Float[Tensor, "batch groups tokens"] | None,
    ) -> tuple[Float[Tensor, "batch groups width"], Float[Tensor, "batch groups tokens"]]:
        scores = self.q_proj(groups) @ self.k_proj(tokens).mT * groups.shape[-1] ** -0.5
        scores = scores.float()
        if noise is None and self.training:
            noise = -torch.empty_like(scores).exponential_().log()  # Gumbel
        soft = scores.softmax(dim=1)
        hard = straight_through(soft if noise is None else (scores + noise).softmax(dim=1))
        members = hard.sum(dim=2, keepdim=True)
        share = hard / (members.clamp(min=1) if self.true_mean else members + 1)
        return self.proj(share.type_as(tokens) @ self.v_proj(tokens)), soft


def straight_through(
    soft: Float[Tensor, "batch groups tokens"],
) -> Float[Tensor, "batch groups tokens"]:
    """One for the group that a token chose and zero for the others, with the gradient of `soft`."""
    chosen = soft.argmax(dim=1, keepdim=True)
    hard = torch.zeros_like(soft).scatter_(1, chosen, 1)
    return hard - soft.detach() + soft


class _Look(nn.Module):
    """Groups attend to the tokens, without a norm before."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attn = _CrossAttention(width, heads)
        self.norm2, self.norm_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = _Mlp(width, 4 * width, width)

    def forward(
        self,
        groups: Float[Tensor, "batch groups width"],
        tokens: Float[Tensor, "batch tokens width"],
    ) -> Float[Tensor, "batch groups width"]:
        groups = groups + self.attn(groups, tokens)
        return self.norm_post(groups + self.mlp(self.norm2(groups)))


class _CrossAttention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(
        self,
        groups: Float[Tensor, "batch groups width"],
        tokens: Float[Tensor, "batch tokens width"],
    ) -> Float[Tensor, "batch groups width"]:
        query, key, value = (
            rearrange(x, "batch count (heads width) -> batch heads count width", heads=self.heads)
            for x in (self.q_proj(groups), self.k_proj(tokens), self.v_proj(tokens))
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(rearrange(mixed, "batch heads count width -> batch count (heads width)"))


class _Block(nn.Module):
    """A pre-norm transformer block; `drop` is the share of pictures that skip a branch."""

    def __init__(self, width: int, heads: int, *, drop: float):
        super().__init__()
        self.drop = drop
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = _SelfAttention(width, heads)
        self.mlp = _Mlp(width, 4 * width, width)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        tokens = tokens + self._kept(self.attn(self.norm1(tokens)))
        return tokens + self._kept(self.mlp(self.norm2(tokens)))

    def _kept(
        self, branch: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Stochastic depth (arXiv 1603.09382): what stays is scaled up, so the mean is the same."""
        if not self.training or not self.drop:
            return branch
        kept = branch.new_empty(len(branch), 1, 1).bernoulli_(1 - self.drop)
        return branch * (kept / (1 - self.drop))


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        query, key, value = rearrange(
            self.qkv(tokens),
            "batch tokens (three heads width) -> three batch heads tokens width",
            three=3,
            heads=self.heads,
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(rearrange(mixed, "batch heads tokens width -> batch tokens (heads width)"))


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int, width_after: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width_after)

    def forward(self, x: Float[Tensor, "*place width"]) -> Float[Tensor, "*place width_after"]:
        return self.fc2(F.gelu(self.fc1(x)))


def _reshaped(width: int, width_after: int) -> list[nn.Module]:
    """What brings tokens to another width; nothing where it stays the same."""
    if width == width_after:
        return []
    return [nn.LayerNorm(width), nn.Linear(width, width_after, bias=False)]
