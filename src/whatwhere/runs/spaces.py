"""Models with one space for pictures and texts, ours or open_clip's, behind two functions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from PIL import Image
from torch import Tensor, nn

from whatwhere.records import to
from whatwhere.runs.loading import load
from whatwhere.training import pick_device
from whatwhere.transforms import centre_square, to_tensor

OPEN_CLIP = "open_clip:"


@dataclass(frozen=True)
class Space:
    """Both functions return unit vectors."""

    identity: str  # of everything that decides the vectors
    dim: int
    pictures: Callable[[Sequence[Image.Image]], Float32[np.ndarray, "pictures dim"]]
    texts: Callable[[Sequence[str]], Float32[np.ndarray, "texts dim"]]
    again: Callable[[], Space] | None = None  # opens it in another process, on a device there

    def __reduce__(self) -> tuple:
        """Weights do not travel to another process: they are read again there."""
        if self.again is None:
            return Space, (self.identity, self.dim, self.pictures, self.texts)
        return _same, (self.identity, self.again)


def _same(identity: str, again: Callable[[], Space]) -> Space:
    space = again()
    if space.identity != identity:
        raise ValueError("the model has other weights here than where the work was sent from")
    return space


def open_space(name: str, *, device: str = "auto", imports: Sequence[str] = ()) -> Space:
    """A run, a checkpoint or a released file; or open_clip:ARCHITECTURE:WEIGHTS.

    The weights of open_clip are a local file, or a tag that open_clip can download.
    """
    again = partial(open_space, name, device=device, imports=tuple(imports))
    if name.startswith(OPEN_CLIP):
        return replace(_open_clip(name, device), again=again)
    segment = load(name, device=device, imports=imports)
    model, tokenizer = segment.model, segment.model.text_encoder.tokenizer
    side = model.image_encoder.size

    @torch.no_grad()
    def pictures(some: Sequence[Image.Image]) -> Float32[np.ndarray, "pictures dim"]:
        squares = [to_tensor(centre_square(picture, side=side)) for picture in some]
        return _numbers(model.encode_images(torch.stack(squares).to(model.device)).image)

    @torch.no_grad()
    def texts(some: Sequence[str]) -> Float32[np.ndarray, "texts dim"]:
        tokens = tokenizer([tokenizer.clean(text) for text in some])
        return _numbers(model.encode_texts(to(tokens, model.device)).caption)

    return replace(_space(model, f"whatwhere, {side} px", pictures, texts), again=again)


def _open_clip(name: str, device: str) -> Space:
    import open_clip

    architecture, found, weights = name.removeprefix(OPEN_CLIP).partition(":")
    if not found or architecture not in open_clip.list_models():
        raise ValueError(
            f"{name}: write open_clip:ARCHITECTURE:WEIGHTS, as in open_clip:ViT-B-16:clip.pt, with "
            "an architecture that open_clip.list_models() lists"
        )
    if not Path(weights).is_file() and weights not in open_clip.list_pretrained_tags_by_model(
        architecture
    ):
        raise ValueError(f"no weights at {weights!r}, and open_clip has none of that name")
    try:
        model, _, prepare = open_clip.create_model_and_transforms(architecture, pretrained=weights)
    except Exception as error:  # the unpickler may fall over junk in any way
        reason = next(iter(str(error).splitlines()), "")
        raise ValueError(
            f"open_clip cannot read {weights} as {architecture} ({reason:.100}); give a file of "
            "that architecture, or a tag that open_clip.list_pretrained() names and can download"
        ) from error
    model, tokenize = model.to(pick_device(device)).eval(), open_clip.get_tokenizer(architecture)
    here = next(model.parameters()).device

    @torch.no_grad()
    def pictures(some: Sequence[Image.Image]) -> Float32[np.ndarray, "pictures dim"]:
        squares = torch.stack([prepare(picture) for picture in some])
        return _numbers(F.normalize(model.encode_image(squares.to(here)), dim=-1))

    @torch.no_grad()
    def texts(some: Sequence[str]) -> Float32[np.ndarray, "texts dim"]:
        return _numbers(F.normalize(model.encode_text(tokenize(list(some)).to(here)), dim=-1))

    return _space(model, f"open_clip {architecture}, {prepare}", pictures, texts)


def _numbers(vectors: Float32[Tensor, "things dim"]) -> Float32[np.ndarray, "things dim"]:
    return vectors.cpu().numpy()


def _space(model: nn.Module, how: str, pictures: Callable, texts: Callable) -> Space:
    digest = hashlib.sha256(how.encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return Space(digest.hexdigest()[:16], texts(["dim"]).shape[1], pictures, texts)
