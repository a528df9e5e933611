"""Photos cut into groups by the patch vectors of an image encoder, without any names."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

import whatwhere.grouping
from whatwhere import models
from whatwhere.encoders.tower import takes_any_size
from whatwhere.grouping.principal import Principal
from whatwhere.recipes import bring, override
from whatwhere.records import ImageEncoder, Sizes
from whatwhere.runs.loading import load
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.photos import Photo, read_photo
from whatwhere.segmenter.segmentation import Segmentation
from whatwhere.training import pick_device
from whatwhere.transforms import short_side, to_tensor, whole


@dataclass(frozen=True)
class BottomUp:
    """How photos are grouped.

    how     a grouping
    image   an image encoder to be used alone; None: that of a model
    side    pixels of the short side that the photo is resized to; 0 keeps its size
    long    the most pixels of the long side, whatever that makes of the short one
    shape   kept: sides in proportion, to the nearest that divide into patches. square: squashed to
            `side`. An encoder of one size is always shown squares of that size
    """

    how: Any = Principal()
    image: Any = None
    side: int = 448
    long: int = 2048
    shape: Literal["kept", "square"] = "kept"

    def __post_init__(self):
        if self.side < 0 or self.long < 1:
            raise ValueError(
                f"side is {self.side}, long {self.long}; take numbers of pixels, or side=0"
            )


class Grouper:
    """`group(photo)`; a group's number says nothing, in particular not what it shows.

    look      pictures in [0, 1] to patch vectors on a grid
    encoder   the image encoder behind them, which says what sizes it takes
    """

    def __init__(
        self,
        look: Callable[
            [Float[Tensor, "batch 3 height width"]], Float[Tensor, "batch rows cols dim"]
        ],
        settings: BottomUp,
        *,
        encoder: ImageEncoder,
        device: torch.device,
    ):
        if not takes_any_size(encoder):
            settings = replace(settings, side=encoder.size, shape="square")
        self.look, self.settings, self.device = look, settings, device
        self.patch = encoder.patch

    @torch.no_grad()
    def __call__(self, photo: Photo) -> Segmentation:
        """The photo whole, in one look, for the groups of two windows could not be matched."""
        picture = read_photo(photo)
        size = self._size(picture)
        pixels = to_tensor(whole(picture.height, picture.width, size).picture(picture))
        patches = self.look(pixels[None].to(self.device))[0].float()
        groups = self.settings.how(patches.flatten(0, 1)).reshape(patches.shape[:2])
        labels = enlarged(groups.cpu().numpy(), size=(picture.height, picture.width))
        names = tuple(f"group {number + 1}" for number in range(self.settings.how.num_groups))
        return Segmentation(labels, np.ones(labels.shape, np.float32), names, picture)

    def _size(self, picture: Image.Image) -> tuple[int, int]:
        own, side = (picture.height, picture.width), self.settings.side
        if self.settings.shape == "square":
            size = (side or min(own),) * 2
        else:
            size = short_side(*own, side=side or min(own), long=self.settings.long)
        rows, cols = (max(round(n / self.patch), 1) * self.patch for n in size)
        return rows, cols


def enlarged(
    groups: Int[np.ndarray, "rows cols"], *, size: tuple[int, int]
) -> Int[np.ndarray, "height width"]:
    """The group of the patch that each pixel's middle lies in."""
    rows, cols = (
        (2 * np.arange(pixels) + 1) * patches // (2 * pixels)
        for pixels, patches in zip(size, groups.shape, strict=True)
    )
    return groups[np.ix_(rows, cols)]


def of_model(segment: Segmenter, settings: BottomUp) -> Grouper:
    """Groups of a model's patches where captions taught them: in the joint space."""
    model = segment.model

    @torch.no_grad()
    def look(
        images: Float[Tensor, "batch 3 height width"],
    ) -> Float[Tensor, "batch rows cols dim"]:
        features = model.features(images)
        if model.encode_features(features).where is not None:
            raise ValueError(
                "this model groups patches itself, and they mean little before; see its groups "
                "with `whatwhere segment`, or take an image encoder alone (--encoder)"
            )
        return features.patches if model.head.fixed else model.head(features).patches

    return Grouper(
        look,
        settings,
        encoder=model.image_encoder,
        device=model.device,
    )


def open_grouper(
    *,
    model: str | None = None,
    encoder: str | None = None,
    how: str = "principal",
    overrides: Sequence[str] = (),
    device: str = "auto",
    imports: Sequence[str] = (),
) -> Grouper:
    """A grouper from a model, or from an image encoder alone, given as `module:Class`.

    Without either it is the model that comes with the package. `overrides` are settings of
    `BottomUp`: `weights=FILE`, `side=640`, `how.centred=neither`.
    """
    if model is not None and encoder is not None:
        raise ValueError(
            "give either a model, --model DIR, or an image encoder alone, such as --encoder "
            "whatwhere.encoders.mobilenet_v2:MobileNetV2 --set weights=FILE"
        )
    for module in imports:
        bring(module)
    given = [] if encoder is None else [f"image={encoder}"]
    settings = override(BottomUp(find_how(how)), [*given, *overrides])
    if encoder is None:
        if settings.image is not None:
            raise ValueError("a model has its own image encoder; leave --set image out")
        segment = load(model or models.DEFAULT, device=device, imports=imports)
        return of_model(segment, settings)
    tower = settings.image.build(Sizes())
    if not isinstance(tower, ImageEncoder):
        raise ValueError(f"{encoder} is no image encoder; take one of whatwhere.encoders")
    assert isinstance(tower, torch.nn.Module)
    on = pick_device(device)
    tower = tower.eval().to(on)
    return Grouper(lambda images: tower(images).patches, settings, encoder=tower, device=on)


def find_how(name: str, overrides: Sequence[str] = ()) -> Any:
    """A file of `grouping/`, or `module:Class`, with settings such as `how.num_groups=5`."""
    if ":" in name:
        return override(BottomUp(), [f"how={name}", *overrides]).how
    known = sorted(file.name for file in pkgutil.iter_modules(whatwhere.grouping.__path__))
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(
            f"no grouping is called {name!r}{hint} (there are {', '.join(known)}; module:Class "
            "works too)"
        )
    module = importlib.import_module(f"{whatwhere.grouping.__name__}.{name}")
    (settings,) = (
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and is_dataclass(thing) and thing.__module__ == module.__name__
    )
    return override(BottomUp(settings()), overrides).how


def described(settings: BottomUp) -> dict[str, str | int | float]:
    """What a score depends on."""
    said = {"how": type(settings.how).__name__} | asdict(settings.how)
    return said | {"side": settings.side, "long": settings.long, "shape": settings.shape}


def beside(found: Segmentation) -> Image.Image:
    """The photo, and to its right its groups in plain colours, outlined, with a legend."""
    right = found.overlay(strength=0.75)
    gap = max(4, found.photo.width // 50)
    paper = Image.new("RGB", (found.photo.width + gap + right.width, right.height), "white")
    paper.paste(found.photo, (0, 0))
    paper.paste(right, (found.photo.width + gap, 0))
    return paper


def save(found: Segmentation, folder: Path, name: str) -> tuple[Path, Path]:
    """NAME-groups.jpg, the picture, and NAME-labels.png, the label map."""
    labels = found.save(folder / f"{name}-labels.png")
    picture = folder / f"{name}-groups.jpg"
    beside(found).save(picture, quality=92)
    return picture, labels
