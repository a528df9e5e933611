"""Any image model of timm as an encoder: ViTs with or without registers, and convolutional ones."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.encoders.patch_drop import check_drop, kept
from whatwhere.encoders.positions import Positions, dino_positions
from whatwhere.encoders.sequence import check_layers
from whatwhere.encoders.tower import STATISTICS, ImageTower, refuse_injection
from whatwhere.encoders.vit_transformers import renamed
from whatwhere.records import ImageFeatures, Sizes
from whatwhere.weights import read

Whole = Literal["cls", "mean"]
PLAIN_VITS = ("vision_transformer", "deit")  # timm's files of them


@dataclass(frozen=True)
class Vit:
    """Sizes of a plain ViT that timm has no name for. These are those of ViT-B/16."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    patch: int = 16
    size: int = 224

    def arguments(self) -> dict[str, int]:
        """What timm calls them."""
        if min(vars(self).values()) < 1:
            raise ValueError(f"image.vit={self}; take 1 or more of each")
        if self.width % self.heads or self.size % self.patch:
            raise ValueError(
                f"image.vit: width {self.width} does not divide into {self.heads} heads, or size "
                f"{self.size} not into patches of {self.patch}"
            )
        return {
            "embed_dim": self.width,
            "depth": self.layers,
            "num_heads": self.heads,
            "patch_size": self.patch,
            "img_size": self.size,
        }


@dataclass(frozen=True)
class Timm:
    """Features of one layer of a timm model, without registers and with the class token apart.

    `weights` is "pretrained" (timm's own, from the hub or its cache), a local file or a folder
    with `model.safetensors`; None starts at random. `layer` counts blocks of a ViT and stages of
    other networks. `norm` applies the last norm to it, as DINOv2 does. `statistics` of the pixels
    are the model's own ("model") or those of "clip", "imagenet" or "half", because SimZSS and
    CLIPpy feed CLIP's to networks trained with ImageNet's. `size`, if given, is the one declared.

    `whole` is what stands for the whole picture: the class token, if the model has one, or the mean
    of the patches as they leave the network, before any head (SimZSS's `use_gap`).

    For ViTs only, plain or of EVA's family: `patch_drop` is the share of patches that each picture
    loses in training, once they know their places; the features are then one row of those that are
    left. For plain ViTs only: `vit` gives them other sizes than the name has, and `positions` says
    how their table is resampled to the grid of the picture: bicubic and antialiased, or as DINO
    does.
    """

    name: str = "vit_small_patch14_reg4_dinov2.lvd142m"
    weights: str | None = None
    layer: int = -1
    norm: bool = True
    statistics: str = "model"
    size: int | None = None
    whole: Whole = "cls"
    frozen: bool = True
    vit: Vit | None = None
    patch_drop: float = 0.0
    positions: Positions = "antialiased"

    def build(self, sizes: Sizes) -> ImageTower:
        _check_name(self.name)
        check_drop(self.patch_drop, frozen=self.frozen)
        if self.frozen and self.weights is None and sizes.pretrained:
            raise ValueError(
                f"a frozen {self.name} without weights shows noise; set image.weights=FILE or "
                "image.weights=pretrained (from the hub), or image.frozen=False to train it"
            )
        from_hub = self.weights == "pretrained" and sizes.pretrained
        if from_hub and self.vit is not None:
            raise ValueError(
                "the hub has no weights for sizes of your own; set image.vit=none, or "
                "image.weights=none to start at random, or a file"
            )
        try:
            model = _create(self.name, self.vit, pretrained=from_hub)
        except (OSError, RuntimeError) as error:
            if not from_hub:
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"cannot get the weights of {self.name} ({reason:.100}); "
                "give weights= the path of a local file or folder"
            ) from error
        whole = model.state_dict().keys()
        made = tower(
            model,
            layer=self.layer,
            norm=self.norm,
            statistics=self.statistics,
            size=self.size or (self.vit.size if self.vit else None),
            whole=self.whole,
            frozen=self.frozen,
            patch_drop=self.patch_drop,
            positions=self.positions,
        )
        if self.weights not in (None, "pretrained") and sizes.pretrained:
            _load(model, str(self.weights), known=whole)
        return made


def tower(
    model: Any,
    *,
    layer: int = -1,
    norm: bool = True,
    statistics: str = "model",
    size: int | None = None,
    whole: Whole = "cls",
    frozen: bool = True,
    patch_drop: float = 0.0,
    positions: Positions = "antialiased",
) -> ImageTower:
    """An image encoder from a timm model that is already built; what comes after `layer` goes."""
    from timm.layers import PatchEmbed
    from timm.models.vision_transformer import VisionTransformer

    layers = len(model.feature_info)
    if not -layers <= layer < layers:
        raise ValueError(f"no layer {layer}; the model has 0 to {layers - 1} (or -1 for the last)")
    layer %= layers
    facts, config = model.feature_info[layer], model.pretrained_cfg
    if statistics != "model" and statistics not in STATISTICS:
        raise ValueError(f"statistics {statistics!r} are none of model, {', '.join(STATISTICS)}")
    mean, std = (config["mean"], config["std"]) if statistics == "model" else STATISTICS[statistics]
    fixed = any(isinstance(m, PatchEmbed) and m.strict_img_size for m in model.modules())
    native = config["input_size"][-1]
    if fixed and size not in (None, native):
        raise ValueError(f"{type(model).__name__} takes one size only; use {native}, not {size}")
    model.prune_intermediate_layers([layer], prune_norm=not norm, prune_head=True)
    if isinstance(model, VisionTransformer):
        trunk = _PlainVit(model, whole, drop=patch_drop, positions=positions)
    elif positions != "antialiased":
        raise ValueError(
            f"{type(model).__name__} is no plain ViT, so it takes image.positions=antialiased only"
        )
    else:
        trunk = _AnyModel(model, layer=layer, norm=norm, whole=whole, drop=patch_drop)
    return ImageTower(
        trunk,
        mean=tuple(mean),
        std=tuple(std),
        patch=facts["reduction"],
        size=size or native,
        width=facts["num_chs"],
        frozen=frozen,
        any_size=not fixed,
    )


class _PlainVit(nn.Module):
    """A ViT whose tokens all see one another; tokens may be injected between its blocks."""

    def __init__(self, model: Any, whole: Whole, *, drop: float, positions: Positions):
        super().__init__()
        if positions != "antialiased" and not (
            model.num_prefix_tokens == 1
            and model.pos_embed is not None
            and not model.no_embed_class
        ):
            raise ValueError(
                f"image.positions={positions} is for tables with an entry for the class token and "
                "none for registers, as DINO's; use antialiased"
            )
        self.model, self.whole = model, whole
        self.drop, self.positions = drop, positions

    def forward(
        self,
        pixels: Float[Tensor, "batch 3 height width"],
        inject: dict[int, Float[Tensor, "batch extra dim"]] | None = None,
    ) -> ImageFeatures:
        model, inject = self.model, inject or {}
        check_layers(inject, count=len(model.blocks))
        tokens, prefix = self._placed(model.patch_embed(pixels)), model.num_prefix_tokens
        rows, sampled = pixels.shape[2] // model.patch_embed.patch_size[0], False
        if self.training and self.drop:
            patches = kept(tokens[:, prefix:], drop=self.drop)
            tokens, rows, sampled = torch.cat([tokens[:, :prefix], patches], dim=1), 1, True
        tokens = model.norm_pre(tokens)
        own = tokens.shape[1]
        for i, block in enumerate(model.blocks):
            if i in inject:
                tokens = torch.cat([tokens[:, :own], inject[i]], dim=1)
            tokens = block(tokens)
        tokens = model.norm(tokens[:, :own])
        patches = rearrange(
            tokens[:, prefix:], "batch (rows cols) width -> batch rows cols width", rows=rows
        )
        cls = None if model.cls_token is None else tokens[:, 0]
        return _features(patches, cls, self.whole, sampled=sampled)

    def _placed(
        self, patches: Float[Tensor, "batch rows cols width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """All tokens that go into the blocks, with their positions."""
        if self.positions == "antialiased":
            return self.model._pos_embed(patches)
        table = dino_positions(
            self.model.pos_embed,
            grid=(patches.shape[1], patches.shape[2]),
            transposed=self.positions == "dino_transposed",
        )
        cls = self.model.cls_token.expand(patches.shape[0], -1, -1)
        return torch.cat([cls, patches.flatten(1, 2)], dim=1) + table


class _AnyModel(nn.Module):
    """A model of another family through the interface that timm gives to all of them."""

    def __init__(self, model: Any, *, layer: int, norm: bool, whole: Whole, drop: float):
        super().__init__()
        self.model, self.whole, self.drop = model, whole, drop
        if drop:
            _drop_within(model, drop)
        self.options = {"indices": [layer], "norm": norm, "intermediates_only": True}
        # timm returns prefix tokens only where it is asked to, and not every family can be asked.
        asks = inspect.signature(model.forward_intermediates).parameters
        self.has_cls = "return_prefix_tokens" in asks and "cls_token" in dict(
            model.named_parameters()
        )
        if self.has_cls:
            self.options["return_prefix_tokens"] = True

    def forward(
        self,
        pixels: Float[Tensor, "batch 3 height width"],
        inject: dict[int, Tensor] | None = None,
    ) -> ImageFeatures:
        refuse_injection(inject, because=f"{type(self.model).__name__} has no plain token sequence")
        sampled = self.training and self.drop > 0
        (found,) = self.model.forward_intermediates(
            pixels, output_fmt="NLC" if sampled else "NCHW", **self.options
        )
        seen, prefix = found if self.has_cls else (found, None)
        cls = None if prefix is None else prefix[:, 0]
        if sampled:
            return _features(seen[:, None], cls, self.whole, sampled=True)
        patches = rearrange(seen, "batch width rows cols -> batch rows cols width")
        return _features(patches, cls, self.whole)


def _drop_within(model: Any, drop: float) -> None:
    """Let the model drop patches itself, for where they are is also told to its every block.

    EVA-02, DINOv3, Perception Encoder and others of their family, with rotary positions.
    """
    from timm.layers import PatchDropoutWithIndices
    from timm.models.eva import Eva

    if not isinstance(model, Eva):
        raise ValueError(
            f"{type(model).__name__} cannot lose patches; take a plain ViT or one of EVA's family "
            "(DINOv3 among them), or image.patch_drop=0"
        )
    model.patch_drop = PatchDropoutWithIndices(drop, num_prefix_tokens=model.num_prefix_tokens)


def _features(
    patches: Float[Tensor, "batch rows cols width"],
    cls: Float[Tensor, "batch width"] | None,
    whole: Whole,
    *,
    sampled: bool = False,
) -> ImageFeatures:
    return ImageFeatures(patches, cls if whole == "cls" else patches.mean(dim=(1, 2)), sampled)


def _check_name(name: str) -> None:
    import timm

    known = timm.list_models() + timm.list_pretrained()
    if name not in known:
        near = ", ".join(get_close_matches(name, known, n=3)) or "see timm.list_models()"
        raise ValueError(f"timm has no model {name!r}; did you mean: {near}?")


def _create(name: str, vit: Vit | None, *, pretrained: bool) -> Any:
    import timm

    if vit and timm.model_entrypoint(name).__module__.rpartition(".")[2] not in PLAIN_VITS:
        raise ValueError(f"image.vit={vit} is for plain ViTs, which {name} is not; set it none")
    given: dict[str, Any] = {"pretrained": pretrained, "num_classes": 0} | (
        vit.arguments() if vit else {}
    )
    try:
        return timm.create_model(name, dynamic_img_size=True, **given)
    except TypeError as error:
        if "dynamic_img_size" not in str(error):
            raise
        return timm.create_model(name, **given)


def _load(model: Any, path: str, *, known: Collection[str]) -> None:
    """Weights in the layout of timm, in one that timm converts, or of a ViT of `transformers`.

    What comes after the layer in use may be missing, or be there: `known` are the names of the
    whole network. Its classifier is left out. Of a whole DINO checkpoint it is the teacher.
    """
    state = read(path, inside=("state_dict", "model", "teacher"))
    state = renamed({key.removeprefix("backbone."): value for key, value in state.items()})
    convert = vars(sys.modules[type(model).__module__]).get("checkpoint_filter_fn")
    if convert is not None:
        state = convert(state, model)
    own = model.state_dict()
    heads = model.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
    strange = [key for key in state if key not in known and not key.startswith(heads or ("head.",))]
    wrong = [key for key in own if key not in state or state[key].shape != own[key].shape]
    for keys, what in ((wrong, "lacks or has in another shape"), (strange, "has, unknown to it:")):
        if keys:
            raise ValueError(
                f"{path} does not fit {type(model).__name__}: it {what} {len(keys)} tensors, e.g. "
                f"{keys[0]}; choose the name that the file was made with"
            )
    model.load_state_dict({key: state[key] for key in own})
