"""Weights from a local file, in either of the two usual formats, without running code from it."""

import re
from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


def read(path: str, *, inside: tuple[str, ...] = ("state_dict", "model")) -> dict[str, Tensor]:
    """Tensors by name, in float32 where they are floating (files often hold half precision).

    A `.safetensors` file, or a torch file that holds a state dict, bare or under one of the keys
    `inside`; the `module.` that data-parallel training puts in front is removed. A folder stands
    for the file in it that Hugging Face puts there.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        names = [file / name for name in ("model.safetensors", "pytorch_model.bin")]
        file = next(filter(Path.is_file, names), file)
    if not file.is_file():
        raise ValueError(f"no weights at {path}; give the path of a .safetensors or .pth file")
    try:
        if file.suffix == ".safetensors":
            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"cannot read weights from {path}: {reason}") from None
    for key in inside:
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, not tensors by name")
    tensors = {k.removeprefix("module."): v for k, v in state.items() if isinstance(v, Tensor)}
    if not tensors:
        raise ValueError(f"{path} holds no tensors by name; give a file with a state dict")
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def under(state: dict[str, Tensor], *, landmark: str, wanted: Iterable[str]) -> dict[str, Tensor]:
    """The wanted tensors, found below whatever prefix `landmark` has in the file."""
    prefixes = [key.removesuffix(landmark) for key in state if key.endswith(landmark)]
    if not prefixes:
        some = ", ".join(list(state)[:3])
        raise ValueError(f"the weights have no {landmark!r} (they begin with {some}); wrong file?")
    prefix = min(prefixes, key=len)
    missing = [key for key in wanted if prefix + key not in state]
    if missing:
        raise ValueError(
            f"the weights lack {len(missing)} tensors, e.g. {prefix + missing[0]!r}; "
            "choose the settings that the file was trained with"
        )
    return {key: state[prefix + key] for key in wanted}


def tensor_of(state: dict[str, Tensor], name: str) -> Tensor:
    if name not in state:
        raise ValueError(f"the tensor {name} is missing")
    return state[name]


def count_of(state: dict[str, Tensor], prefix: str) -> int:
    """Modules that are numbered below a prefix."""
    found = (re.match(rf"{re.escape(prefix)}(\d+)\.", name) for name in state)
    return max((int(match[1]) + 1 for match in found if match), default=0)
