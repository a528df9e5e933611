"""Checkpoints: safetensors and JSON in a folder that is whole or is not there. No pickle."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn

FORMAT = 1  # raised when an older reader could not read the folder
NAME = re.compile(r"step-(\d+)")
WEIGHTS, ABOUT = "model.safetensors", "about.json"
LOST = 2**-10  # share of a matrix that float16 may change; rounding alone changes half of it


def save(
    run: Path, step: int, module: nn.Module, optimizer: torch.optim.Optimizer | None, about: dict
) -> Path:
    """Everything needed to go on after `step` steps, and to use the model."""
    folder = run / "checkpoints" / f"step-{step:08d}"
    aside = _aside(folder)
    if optimizer is not None:
        save_file(_moments(module, optimizer), aside / "optimizer.safetensors")
    _settle(aside, folder, module, {"step": step} | about)
    _prune(run, keep=2)
    return folder


def pack(folder: Path, step: int, module: nn.Module, about: dict) -> None:
    """Make `folder` a checkpoint that only uses the model, in half the bytes."""
    _settle(_aside(folder), folder, halved(module), {"step": step} | about)


@torch.no_grad()
def halved(module: nn.Module) -> nn.Module:
    """A copy whose learned matrices are float16, but for those that would lose more than rounding.

    Vectors weigh nothing, and buffers are measured: a whitening needs all the digits that it has.
    """
    found = copy.deepcopy(module)
    for weight in found.parameters():
        half = weight.half()
        if weight.ndim > 1 and (half.float() - weight).norm() <= LOST * weight.norm():
            weight.data = half
    return found


def newest(path: Path) -> Path:
    """The checkpoint that `path` is or whose run holds it; ValueError says what was looked for."""
    if (path / ABOUT).is_file() and (path / WEIGHTS).is_file():
        return path
    found = whole(path)
    if not found:
        raise ValueError(
            f"{path} holds no checkpoint (looked for about.json with model.safetensors, and for "
            "checkpoints/step-*); give the --out folder of a training run"
        )
    return found[-1]


def whole(run: Path) -> list[Path]:
    """The checkpoints of a run, oldest first. One that a crash left half written is none."""
    return sorted(f for f in (run / "checkpoints").glob("step-*") if NAME.fullmatch(f.name))


def read_about(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of itself: step, recipe, concepts, version."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / ABOUT} is damaged: {error}") from None
    if about.get("format") != FORMAT:
        raise ValueError(
            f"{folder} has checkpoint format {about.get('format')}, this version reads {FORMAT}; "
            "use the version of whatwhere that wrote it"
        )
    return about


def read_weights(folder: Path, module: nn.Module) -> None:
    """Fill the module; its own number formats stay, whatever the file has."""
    try:
        load_model(module, str(folder / WEIGHTS), strict=True)
    except SafetensorError as error:
        raise _damaged(folder, error) from None
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"the weights in {folder} do not fit its recipe: {first}") from None


def read_start(folder: Path, module: nn.Module) -> None:
    """Fill the module with what another run learned, whether its towers were frozen or not.

    The model must be of the same sizes. An objective that the other run did not have begins anew,
    and so does what an objective keeps by concept, counts and prototypes: another bank's rows are
    other concepts.
    """
    try:
        stored = {_bare(name): tensor for name, tensor in load_file(folder / WEIGHTS).items()}
    except SafetensorError as error:
        raise _damaged(folder, error) from None
    own = module.state_dict()
    kept = {name for name, _ in module.named_buffers() if not name.startswith("model.")}
    found = {name: stored[_bare(name)] for name in own.keys() - kept if _bare(name) in stored}
    fits = {name: tensor for name, tensor in found.items() if tensor.shape == own[name].shape}
    filled = {own[name].data_ptr() for name in fits}  # of tied weights a file has one
    empty = [
        name
        for name, tensor in own.items()
        if name.startswith("model.") and tensor.data_ptr() not in filled
    ]
    if empty:
        name = empty[0]
        why = "is missing there"
        if name in found:
            why = f"is {tuple(found[name].shape)} there and {tuple(own[name].shape)} here"
        raise ValueError(
            f"{folder} cannot start this recipe: {name} {why}; start from a run with the same "
            "encoders, head and sizes"
        )
    module.load_state_dict(fits, strict=False)


def _bare(name: str) -> str:
    """Without the module that holds a frozen network still (`encoders.frozen`)."""
    return ".".join(part for part in name.split(".") if part != "trunk")


def _damaged(folder: Path, error: SafetensorError) -> ValueError:
    return ValueError(f"the weights in {folder} are damaged ({error}); delete that folder")


def read_optimizer(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put the moments of every weight back, on the weight's device."""
    file = folder / "optimizer.safetensors"
    if not file.is_file():
        raise ValueError(
            f"{folder} was exported without what training needs to go on; resume the run that it "
            "came from"
        )
    try:
        stored = load_file(file)
    except SafetensorError as error:
        raise ValueError(
            f"the optimizer's state in {folder} is damaged ({error}); move that folder away to go "
            "on from the checkpoint before it"
        ) from None
    for name, weight in module.named_parameters():
        if f"{name}/step" in stored:
            optimizer.state[weight] = {
                key: stored[f"{name}/{key}"].to(weight.device)
                for key in ("step", "exp_avg", "exp_avg_sq")
            }


def _moments(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"{name}/{key}": value.contiguous()
        for name, weight in module.named_parameters()
        for key, value in optimizer.state.get(weight, {}).items()
    }


def _aside(folder: Path) -> Path:
    """Where `folder` is written until it is whole."""
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    aside.mkdir(parents=True, exist_ok=True)
    return aside


def _settle(aside: Path, folder: Path, module: nn.Module, about: dict) -> None:
    save_model(module, str(aside / WEIGHTS))
    text = json.dumps({"format": FORMAT} | about, indent=1, ensure_ascii=False)
    (aside / ABOUT).write_text(text, encoding="utf-8")
    _flush(aside)
    if folder.exists():
        shutil.rmtree(folder)
    aside.rename(folder)


def _flush(folder: Path) -> None:
    """Bytes reach the disk before the rename does, so that a crash leaves no half checkpoint."""
    for file in folder.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def _prune(run: Path, *, keep: int) -> None:
    """Remove all but the newest, and what crashes left half written."""
    half = (run / "checkpoints").glob(".step-*")
    for folder in [*whole(run)[:-keep], *half]:
        shutil.rmtree(folder)
