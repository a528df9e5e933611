"""Text encoders of Hugging Face (BERT, MiniLM, T5 and kin) from the hub or a local folder."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer
from torch import Tensor, nn

from whatwhere.encoders.frozen import Frozen
from whatwhere.encoders.sequence import check_layers, longest, masked_mean
from whatwhere.encoders.tokenizing import mended, tokens
from whatwhere.records import Sizes, TextFeatures, Tokens
from whatwhere.weights import read

HEADS = ("new", "dense", "none")
POOLS = ("mean", "first", "max")


@dataclass(frozen=True)
class T5:
    """Sizes of a T5 encoder (v1.0: ReLU, not gated). These are those of Sentence-T5-base."""

    vocabulary: int = 32_128
    width: int = 768
    layers: int = 12
    heads: int = 12
    head_width: int = 64  # numbers of a vector that each attention head sees
    hidden: int = 3072
    buckets: int = 32  # of distances between words

    def config(self) -> Any:
        return _transformers().T5Config(
            vocab_size=self.vocabulary,
            d_model=self.width,
            num_layers=self.layers,
            num_heads=self.heads,
            d_kv=self.head_width,
            d_ff=self.hidden,
            relative_attention_num_buckets=self.buckets,
        )


@dataclass(frozen=True)
class HuggingFaceText:
    """A pretrained text encoder, its tokens averaged, and one linear map into the joint space.

    So Sentence-T5 makes sentences (arXiv 2108.08877) and CLIPpy uses it (arXiv 2210.09996); the
    map has no bias, so that words and captions go through it alike. `head` is a "new" one, always
    trained, or the "dense" one that a sentence-transformers folder holds, or "none", where the
    joint space is the encoder's own. `pool` is "mean", "first" or "max". `frozen` fixes all that is
    pretrained. `source` is an id on the hub or a folder; its weights are read only if no checkpoint
    brings them and `start` is not "random". `t5` gives the sizes without asking the source, which
    then needs only hold the tokenizer.
    """

    source: str = "sentence-transformers/sentence-t5-base"
    pool: str = "mean"
    head: str = "new"
    context: int = 77
    frozen: bool = True
    start: Literal["pretrained", "random"] = "pretrained"
    t5: T5 | None = None

    def build(self, sizes: Sizes) -> HuggingFaceTextEncoder:
        if self.pool not in POOLS or self.head not in HEADS:
            raise ValueError(
                f"pool {self.pool!r} is not one of {POOLS} or head {self.head!r} not of {HEADS}"
            )
        pretrained = sizes.pretrained and self.start == "pretrained"
        if self.frozen and self.start == "random":
            raise ValueError(
                "a frozen text encoder with a random start says nothing; set text.frozen=False"
            )
        model = _model(self.source, self.t5, pretrained=pretrained)
        positions = model.config.to_dict().get("max_position_embeddings", self.context)
        if self.context > positions:
            raise ValueError(
                f"context {self.context} is too long for {self.source}; use {positions}"
            )
        width = model.config.hidden_size
        head: nn.Module = nn.Linear(width, sizes.dim, bias=False)
        if self.head == "none":
            if width != sizes.dim:
                raise ValueError(f"without a head the joint space has dim {width}, not {sizes.dim}")
            head = nn.Identity()
        if self.head == "dense" and pretrained:
            weight = _dense(self.source)
            if weight.shape != (sizes.dim, width):
                raise ValueError(
                    f"the dense layer of {self.source} gives dim {len(weight)}, not {sizes.dim}"
                )
            head.load_state_dict({"weight": weight})
        tokenizer = HuggingFaceTokens(self.source, self.context, model.config.vocab_size)
        if (Path(self.source) / "tokenizer.json").is_file():
            tokenizer.check()  # of a hub, at the first text: a model may be built without one
        trunk = _Trunk(model)
        return HuggingFaceTextEncoder(
            Frozen(trunk) if self.frozen else trunk,
            head.requires_grad_(self.head == "new" or not self.frozen),
            tokenizer=tokenizer,
            pool=self.pool,
            frozen=self.frozen and self.head != "new",
        )


@dataclass(frozen=True)
class HuggingFaceTokens:
    """The tokenizer that belongs to an encoder. A plain value, read once in each process.

    `vocabulary` is how many tokens the encoder has vectors for.
    """

    source: str
    context: int = 77
    vocabulary: int | None = None

    def check(self) -> None:
        """ValueError if the tokenizer cannot be read or has tokens without a vector."""
        _tokenizer(self.source, self.context, self.vocabulary)

    def clean(self, text: str) -> str:
        """Mojibake and HTML entities mended, blanks collapsed; case is the tokenizer's matter."""
        return mended(text, lower=False)

    def __call__(self, texts: list[str]) -> Tokens:
        return tokens(
            texts,
            tokenizer=_tokenizer(self.source, self.context, self.vocabulary),
            context=self.context,
        )


class HuggingFaceTextEncoder(nn.Module):
    """Token ids to words and captions. `frozen` is true only if nothing in it is trained."""

    def __init__(
        self,
        trunk: nn.Module,
        head: nn.Module,
        *,
        tokenizer: HuggingFaceTokens,
        pool: str,
        frozen: bool,
    ):
        super().__init__()
        self.trunk, self.head = trunk, head
        self.tokenizer, self.pool, self.frozen = tokenizer, pool, frozen

    def fit(self, captions: Iterable[str]) -> None:
        """Nothing to choose: every token has its vector."""

    def unknown(self, texts: list[str]) -> list[tuple[str, ...]]:
        """Nothing that is known of: what it was pretrained on knew more than our captions."""
        return [() for _ in texts]

    def embed(self, ids: Int[Tensor, "batch words"]) -> Float[Tensor, "batch words width"]:
        """Token vectors without positions or token types, which `encode` adds."""
        trunk: Any = self.trunk.trunk if isinstance(self.trunk, Frozen) else self.trunk
        return trunk.model.get_input_embeddings()(ids)

    def encode(
        self,
        embeddings: Float[Tensor, "batch words width"],
        mask: Bool[Tensor, "batch words"],
        inject: dict[int, Float[Tensor, "batch extra width"]] | None = None,
    ) -> TextFeatures:
        """Words and captions in the joint space. Words beyond the longest caption are zero.

        Injected tokens come in before the block of their number, are seen by every word, see every
        real word and one another, and live on until a later entry replaces them. They have no
        place in the sentence: BERT gives them no position, T5 no bias. Only these two take them.
        """
        words = embeddings.shape[1]
        mask = mask[:, : longest(mask)]
        hidden = self.trunk(embeddings[:, : mask.shape[1]], mask, inject)
        return TextFeatures(
            words=F.pad(self.head(hidden), (0, 0, 0, words - mask.shape[1])),
            caption=self.head(_pooled(hidden, mask, how=self.pool)),
        )

    def forward(
        self, ids: Int[Tensor, "batch words"], mask: Bool[Tensor, "batch words"]
    ) -> TextFeatures:
        return self.encode(self.embed(ids), mask)


class _Trunk(nn.Module):
    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(
        self,
        embeddings: Float[Tensor, "batch words width"],
        mask: Bool[Tensor, "batch words"],
        inject: dict[int, Float[Tensor, "batch extra width"]] | None,
    ) -> Float[Tensor, "batch words width"]:
        if not inject:
            found = self.model(inputs_embeds=embeddings, attention_mask=mask.long())
            return found.last_hidden_state
        kind = self.model.config.model_type
        if kind == "bert":
            return _through_bert(self.model, embeddings, mask=mask, inject=inject)
        if kind == "t5":
            return _through_t5(self.model, embeddings, mask=mask, inject=inject)
        raise ValueError(f"cannot inject tokens into {kind}: only into bert (MiniLM too) and t5")


def _through_bert(
    model: Any,
    embeddings: Float[Tensor, "batch words width"],
    *,
    mask: Bool[Tensor, "batch words"],
    inject: dict[int, Tensor],
) -> Float[Tensor, "batch words width"]:
    """The model's own forward pass, with tokens coming in between its blocks."""
    blocks, words = model.encoder.layer, mask.shape[1]
    check_layers(inject, count=len(blocks))
    hidden = model.embeddings(inputs_embeds=embeddings)
    unseen = _unseen(mask, dtype=hidden.dtype)
    for i, block in enumerate(blocks):
        if i in inject:
            hidden = torch.cat([hidden[:, :words], inject[i]], dim=1)
        hidden = block(hidden, F.pad(unseen, (0, hidden.shape[1] - words)))
    return hidden[:, :words]


def _through_t5(
    model: Any,
    embeddings: Float[Tensor, "batch words width"],
    *,
    mask: Bool[Tensor, "batch words"],
    inject: dict[int, Tensor],
) -> Float[Tensor, "batch words width"]:
    """The model's own forward pass, with tokens coming in between its blocks."""
    words = mask.shape[1]
    check_layers(inject, count=len(model.block))
    bias = model.block[0].layer[0].SelfAttention.compute_bias(words, words)
    unseen = _unseen(mask, dtype=embeddings.dtype)
    hidden = model.dropout(embeddings)
    for i, block in enumerate(model.block):
        if i in inject:
            hidden = torch.cat([hidden[:, :words], inject[i]], dim=1)
        extra = hidden.shape[1] - words
        seen = F.pad(bias, (0, extra, 0, extra)) + F.pad(unseen, (0, extra))
        hidden = block(hidden, position_bias=seen)[0]
    return model.dropout(model.final_layer_norm(hidden[:, :words]))


def _unseen(
    mask: Bool[Tensor, "batch words"], *, dtype: torch.dtype
) -> Float[Tensor, "batch 1 1 words"]:
    """What is added to attention scores: nothing for real tokens, nearly -inf for padding."""
    return (~mask)[:, None, None].to(dtype) * torch.finfo(dtype).min


def _pooled(
    hidden: Float[Tensor, "batch words width"], mask: Bool[Tensor, "batch words"], *, how: str
) -> Float[Tensor, "batch width"]:
    if how == "first":
        return hidden[:, 0]
    if how == "max":
        return hidden.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(dim=1)
    return masked_mean(hidden, mask=mask)


def _model(source: str, sizes: T5 | None, *, pretrained: bool) -> Any:
    """The bare encoder, in float32, without what the features do not need."""
    hub = _transformers()
    with _explained(source):
        if pretrained:
            model, report = hub.AutoModelForTextEncoding.from_pretrained(
                source, dtype=torch.float32, output_loading_info=True
            )
            missing = [key for key in report["missing_keys"] if not key.startswith("pooler.")]
            if missing:
                raise ValueError(
                    f"{source} lacks {len(missing)} weights of its model: {missing[0]}"
                )
            if sizes is not None:
                _check_sizes(model.config, sizes, source)
        else:
            config = sizes.config() if sizes else hub.AutoConfig.from_pretrained(source)
            model = hub.AutoModelForTextEncoding.from_config(config, dtype=torch.float32)
    if model.config.model_type == "t5":
        model = model.encoder  # the wrapper around it lists the word vectors twice
    if "pooler" in dict(model.named_children()):
        model.pooler = None  # unused weights would stall training on several devices
    return model


def _check_sizes(config: Any, sizes: T5, source: str) -> None:
    """ValueError if what was read is not what the settings say of it."""
    own, read = sizes.config().to_dict(), config.to_dict()
    keys = ("model_type", "vocab_size", "d_model", "num_layers", "num_heads", "d_kv", "d_ff")
    if wrong := [key for key in keys if own[key] != read.get(key)]:
        found = ", ".join(f"{key} {read.get(key)} instead of {own[key]}" for key in wrong)
        raise ValueError(f"{source} has {found}; set text.t5 as there, or text.t5=none")


def _dense(source: str) -> Float[Tensor, "dim width"]:
    """The linear layer behind the average of a sentence-transformers model."""
    from transformers.utils import cached_file

    with _explained(source):
        config = json.loads(Path(str(cached_file(source, "2_Dense/config.json"))).read_text())
        if config["bias"] or not config["activation_function"].endswith("Identity"):
            raise ValueError(f"the dense layer of {source} is not linear; use head='new'")
        for name in ("model.safetensors", "pytorch_model.bin"):  # older snapshots have the latter
            file = cached_file(
                source, f"2_Dense/{name}", _raise_exceptions_for_missing_entries=False
            )
            if file is not None:
                return read(str(file))["linear.weight"]
    raise ValueError(
        f"{source} has no weights of its dense layer (2_Dense/model.safetensors or "
        "pytorch_model.bin); use text.head=new"
    )


@lru_cache
def _tokenizer(source: str, context: int, vocabulary: int | None) -> Tokenizer:
    with _explained(source):
        found = _transformers().AutoTokenizer.from_pretrained(source)
    if not found.is_fast:
        raise ValueError(
            f"the tokenizer of {source} gives no offsets; choose one with tokenizer.json"
        )
    tokenizer = found.backend_tokenizer
    largest = max(tokenizer.get_vocab().values())
    if vocabulary is not None and largest >= vocabulary:
        raise ValueError(
            f"the tokenizer of {source} numbers its tokens up to {largest}, and the text encoder "
            f"has vectors for {vocabulary}; give the tokenizer that it was trained with "
            "(text.source=FOLDER), or set text.t5.vocabulary where it is trained anew"
        )
    tokenizer.enable_truncation(context)
    tokenizer.enable_padding(length=context, pad_id=found.pad_token_id, pad_token=found.pad_token)
    return tokenizer


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "Hugging Face text encoders need transformers: pip install 'whatwhere[hf]'"
        ) from error
    return transformers


@contextmanager
def _explained(source: str) -> Generator[None]:
    """What the library raises for files that are not there, in a line of our own."""
    try:
        yield
    except OSError as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"cannot read {source!r} ({reason:.100}); give an id that the hub has, or a folder "
            "with config.json, the tokenizer's files and the weights: text.source=FOLDER (its "
            "tokenizer is enough to use a model that is trained)"
        ) from error
