"""Any image model of timm as an encoder: ViTs with or without registers, and convolutional ones."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.encoders.sequence import check_layers
from whatwhere.encoders.tower import STATISTICS, ImageTower, refuse_injection
from whatwhere.records import ImageFeatures, Sizes
from whatwhere.weights import read

Whole = Literal["cls", "mean"]


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
    """

    name: str = "vit_small_patch14_reg4_dinov2.lvd142m"
    weights: str | None = None
    layer: int = -1
    norm: bool = True
    statistics: str = "model"
    size: int | None = None
    whole: Whole = "cls"
    frozen: bool = True

    def build(self, sizes: Sizes) -> ImageTower:
        _check_name(self.name)
        if self.frozen and self.weights is None and sizes.pretrained:
            raise ValueError(
                f"a frozen {self.name} without weights shows noise; set image.weights=FILE or "
                "image.weights=pretrained (from the hub), or image.frozen=False to train it"
            )
        from_hub = self.weights == "pretrained" and sizes.pretrained
        try:
            model = _create(self.name, pretrained=from_hub)
        except (OSError, RuntimeError) as error:
            if not from_hub:
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"cannot get the weights of {self.name} ({reason:.100}); "
                "give weights= the path of a local file or folder"
            ) from error
        if self.weights not in (None, "pretrained") and sizes.pretrained:
            _load(model, str(self.weights))
        return tower(
            model,
            layer=self.layer,
            norm=self.norm,
            statistics=self.statistics,
            size=self.size,
            whole=self.whole,
            frozen=self.frozen,
        )


def tower(
    model: Any,
    *,
    layer: int = -1,
    norm: bool = True,
    statistics: str = "model",
    size: int | None = None,
    whole: Whole = "cls",
    frozen: bool = True,
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
    plain = isinstance(model, VisionTransformer)
    return ImageTower(
        _PlainVit(model, whole) if plain else _AnyModel(model, layer=layer, norm=norm, whole=whole),
        mean=tuple(mean),
        std=tuple(std),
        patch=facts["reduction"],
        size=size or native,
        width=facts["num_chs"],
        frozen=frozen,
        any_size=not fixed,
    )


class _PlainVit(nn.Module):
    """A ViT whose tokens all see one another; tokens may be injected between its blocks.

    The position table is resampled to the grid of the picture, bicubic and antialiased.
    """

    def __init__(self, model: Any, whole: Whole):
        super().__init__()
        self.model, self.whole = model, whole

    def forward(
        self,
        pixels: Float[Tensor, "batch 3 height width"],
        inject: dict[int, Float[Tensor, "batch extra dim"]] | None = None,
    ) -> ImageFeatures:
        model, inject = self.model, inject or {}
        check_layers(inject, count=len(model.blocks))
        tokens = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(pixels))))
        own = tokens.shape[1]
        for i, block in enumerate(model.blocks):
            if i in inject:
                tokens = torch.cat([tokens[:, :own], inject[i]], dim=1)
            tokens = block(tokens)
        tokens = model.norm(tokens[:, :own])
        rows = pixels.shape[2] // model.patch_embed.patch_size[0]
        patches = rearrange(
            tokens[:, model.num_prefix_tokens :],
            "batch (rows cols) width -> batch rows cols width",
            rows=rows,
        )
        return _features(patches, None if model.cls_token is None else tokens[:, 0], self.whole)


class _AnyModel(nn.Module):
    """A model of another family through the interface that timm gives to all of them."""

    def __init__(self, model: Any, *, layer: int, norm: bool, whole: Whole):
        super().__init__()
        self.model, self.whole = model, whole
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
        (found,) = self.model.forward_intermediates(pixels, **self.options)
        maps, prefix = found if self.has_cls else (found, None)
        patches = rearrange(maps, "batch width rows cols -> batch rows cols width")
        return _features(patches, None if prefix is None else prefix[:, 0], self.whole)


def _features(
    patches: Float[Tensor, "batch rows cols width"],
    cls: Float[Tensor, "batch width"] | None,
    whole: Whole,
) -> ImageFeatures:
    return ImageFeatures(patches, cls if whole == "cls" else patches.mean(dim=(1, 2)))


def _check_name(name: str) -> None:
    import timm

    known = timm.list_models() + timm.list_pretrained()
    if name not in known:
        near = ", ".join(get_close_matches(name, known, n=3)) or "see timm.list_models()"
        raise ValueError(f"timm has no model {name!r}; did you mean: {near}?")


def _create(name: str, *, pretrained: bool) -> Any:
    import timm

    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, dynamic_img_size=True)
    except TypeError as error:
        if "dynamic_img_size" not in str(error):
            raise
        return timm.create_model(name, pretrained=pretrained, num_classes=0)


def _load(model: Any, path: str) -> None:
    """Weights in the layout of timm or in one that timm converts; its classifier is left out."""
    folder = Path(path).expanduser()
    files = [folder / name for name in ("model.safetensors", "pytorch_model.bin")]
    state = read(str(next(filter(Path.is_file, files), folder)))
    convert = vars(sys.modules[type(model).__module__]).get("checkpoint_filter_fn")
    if convert is not None:
        state = convert(state, model)
    own = model.state_dict()
    heads = model.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
    strange = [key for key in state if key not in own and not key.startswith(heads or ("head.",))]
    wrong = [key for key in own if key not in state or state[key].shape != own[key].shape]
    for keys, what in ((wrong, "lacks or has in another shape"), (strange, "has, unknown to it:")):
        if keys:
            raise ValueError(
                f"{path} does not fit {type(model).__name__}: it {what} {len(keys)} tensors, e.g. "
                f"{keys[0]}; choose the name that the file was made with"
            )
    model.load_state_dict({key: state[key] for key in own})
