"""A model as ONNX files for programs without torch; its vocabulary stays open."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from whatwhere.concepts.names import parse_names
from whatwhere.encoders.tower import takes_any_size
from whatwhere.model import Model
from whatwhere.records import Tokens
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.presence import BEST
from whatwhere.segmenter.reading import Reading

NEEDED = ("onnx", "onnxscript", "onnxruntime")
PAGE = Path(__file__).with_name("onnx.md")
AGREES = 1e-3  # what a number of the files may differ from torch's; all are at most 1


def check_installed() -> None:
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ImportError(f"ONNX files need {', '.join(missing)}: pip install 'whatwhere[onnx]'")


def write(
    model: Model, reading: Reading, target: Path, *, names: str | Sequence[str] | None = None
) -> None:
    """The folder `target`: the two sides of the model, the vectors of names, and how to use them.

    A file is compared with torch, at another size than it was made with, before it is kept.
    """
    check_installed()
    if reading.regions is not None:
        warnings.warn(
            "the model names regions before pixels (reading.regions), which ONNX files do not: "
            "there, a pixel scores a name by the shares that regions have of it",
            stacklevel=2,
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as aside:
        folder = Path(aside) / target.name
        folder.mkdir()
        image_side(model, folder / "image.onnx")
        try:
            text_side(model, folder / "text.onnx")
        except ValueError as error:
            warnings.warn(f"without text.onnx: {error}", stacklevel=2)
        if names is not None:
            _write_names(model, reading, names, folder)
        (folder / "README.md").write_text(page(model, reading), encoding="utf-8")
        folder.rename(target)


def page(model: Model, reading: Reading) -> str:
    """How the files are used, with code that segments a photo without whatwhere and torch."""
    return Template(PAGE.read_text(encoding="utf-8")).substitute(_facts(model, reading))


def image_side(model: Model, file: Path) -> None:
    """Pixels in [0, 1] -> the unit vectors that names are compared with, and the whole picture's.

    Pictures of any size that divides into patches, where the image encoder takes any size.
    """
    encoder = model.image_encoder
    batch, rows, cols = (torch.export.Dim(name) for name in ("batch", "rows", "cols"))
    any_size = takes_any_size(encoder)
    sizes = {2: encoder.patch * rows, 3: encoder.patch * cols} if any_size else {}
    made, other = (
        torch.rand(n, 3, *(encoder.patch * i for i in grid) if any_size else (encoder.size,) * 2)
        for n, grid in ((2, (5, 7)), (3, (4, 2)))
    )
    _write(
        _ImageSide(model),
        {"pixels": made},
        {"pixels": other},
        shapes={"pixels": {0: batch, **sizes}},
        outputs=["patches", "image"],
        file=file,
    )


def text_side(model: Model, file: Path) -> None:
    """Token ids of texts -> unit vectors, calibrated as names are."""
    tokenizer, texts = model.text_encoder.tokenizer, torch.export.Dim("texts")
    made, other = (
        {"ids": tokens.ids, "mask": tokens.mask}
        for tokens in (tokenizer(["a dog", "grass"]), tokenizer(["the sky above", "x", "two cats"]))
    )
    shapes = {name: {0: texts} for name in made}
    _write(_TextSide(model), made, other, shapes=shapes, outputs=["vectors"], file=file)


class _ImageSide(nn.Module):
    def __init__(self, model: Model):
        super().__init__()
        self.model = model

    def forward(
        self, pixels: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch dim rows cols"], Float[Tensor, "batch dim"]]:
        """A name's map is the product of its vector with `patches`: shares are in them already."""
        images = self.model.encode_images(pixels)
        vectors = self.model.similarity.readout.regions(images)
        if images.where is not None:
            vectors = images.where.mT @ vectors
        rows, cols = images.grid
        maps = rearrange(vectors, "b (rows cols) dim -> b dim rows cols", rows=rows, cols=cols)
        return maps, images.image


class _TextSide(nn.Module):
    def __init__(self, model: Model):
        super().__init__()
        self.model = model

    def forward(
        self, ids: Int[Tensor, "texts words"], mask: Bool[Tensor, "texts words"]
    ) -> Float[Tensor, "texts dim"]:
        tokens = Tokens(ids, mask, offsets=ids.new_zeros(*ids.shape, 2))
        return self.model.similarity.readout.names(self.model.encode_texts(tokens).caption)


@torch.no_grad()
def _write(
    side: nn.Module,
    made: dict[str, Tensor],
    other: dict[str, Tensor],
    *,
    shapes: dict[str, dict[int, Any]],
    outputs: list[str],
    file: Path,
) -> None:
    """Trace the module with the inputs `made`, and compare what comes out for the `other` ones."""
    from torch.onnx.errors import OnnxExporterError

    side.eval()
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # warns of empty lists among attributes
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "# The axis name")  # that two inputs share one
            program = torch.onnx.export(
                side,
                kwargs=made,
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=list(made),
                output_names=outputs,
                verbose=False,
            )
    except OnnxExporterError as error:
        raise ValueError(f"{_parts(side)} cannot be exported to ONNX ({_reason(error)})") from error
    assert program is not None
    program.save(file, external_data=False)  # protobuf ends at 2 GB: above, torch splits it anyway
    _check(side, other, shapes=shapes, file=file)


def _check(
    side: nn.Module, inputs: dict[str, Tensor], *, shapes: dict[str, dict[int, Any]], file: Path
) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    for given in session.get_inputs():
        if fixed := [i for i in shapes[given.name] if isinstance(given.shape[i], int)]:
            raise ValueError(
                f"{_parts(side)} fix axis {fixed[0]} of the {given.name} to the size they were "
                "exported with; take sizes from tensor.shape, not from len(tensor) or int()"
            )
    found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    wanted = side(**inputs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    apart = max(np.abs(a - b.numpy()).max() for a, b in zip(found, wanted, strict=True))
    if not apart <= AGREES:
        raise ValueError(
            f"{_parts(side)} give other numbers in ONNX than in torch, by up to {apart:.2g}"
        )


def _parts(side: nn.Module) -> str:
    """The parts of the model that a side consists of, by their classes."""
    model: Any = side.model
    image_side = (model.image_encoder, model.head, model.pool)
    parts = image_side if isinstance(side, _ImageSide) else (model.text_encoder,)
    return ", ".join(type(part).__name__ for part in parts)


def _reason(error: Exception) -> str:
    """The first line of what was behind it."""
    cause = error.__cause__ or error
    return next(iter(str(cause).strip().splitlines()), type(cause).__name__)[:200]


def _write_names(model: Model, reading: Reading, names: str | Sequence[str], folder: Path) -> None:
    classes = parse_names(names)
    vectors, owner = Segmenter(model, reading).name_vectors(classes)
    np.save(folder / "names.npy", vectors.numpy())
    about = {"names": [synonyms[0] for synonyms in classes], "owner": owner.tolist()}
    (folder / "names.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")


def _facts(model: Model, reading: Reading) -> dict[str, Any]:
    """What the page says of this model."""
    encoder = model.image_encoder
    patch, side = encoder.patch, encoder.size
    scale = f"{reading.side} / min(photo.size)" if reading.side else "1"
    size, accepts = f"({side}, {side})", f"{side} x {side}"
    if takes_any_size(encoder):
        size = f"[max(round(n * {scale} / {patch}), 1) * {patch} for n in photo.size]"
        accepts = f"sides that {patch} divides"
    return {
        "size": size,
        "accepts": accepts,
        "patch": patch,
        "presence": _presence(reading.presence),
        "dim": len(model.similarity.readout.caption_mean),
        "prompts": reading.prompts,
        "context": model.text_encoder.tokenizer.context,
    }


def _presence(weight: float) -> str:
    """Lines of the page's code, for names that must fit some place well; none if they need not."""
    if not weight:
        return ""
    return f"""places = max(round({BEST} * maps[0].size), 1)
best = np.sort(maps.reshape(len(maps), -1))[:, -places:].mean(axis=1)
maps -= {weight:g} * (best.max() - best)[:, None, None]
"""
