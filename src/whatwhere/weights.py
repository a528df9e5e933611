"""Weights from a local file, in either of the two usual formats, without running code from it."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

REBUILD = np.zeros(0).__reduce__()[0]  # what numpy pickles arrays with
SCALAR = np.float32(0).__reduce__()[0]  # and single numbers
HARMLESS: list[Any] = [  # all that a pickle may call beside torch's own
    *[(REBUILD, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")],
    *[(SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")],
    np.ndarray,
    np.dtype,
    *[type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8")],
]


def read(path: str, *, inside: tuple[str, ...] = ("state_dict", "model")) -> dict[str, Tensor]:
    """Tensors by name, in float32 where they are floating (files often hold half precision).

    A `.safetensors` file, or a torch file that holds a state dict, bare or under one of the keys
    `inside`; the `module.` that data-parallel training puts in front is removed. In a tree of
    arrays, as Flax has it, a name is its path, with slashes. A folder stands for the file in it
    that Hugging Face puts there.
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
            with torch.serialization.safe_globals([*HARMLESS, *_strange(file)]):
                state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler may fall over junk in any way
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"cannot read weights from {path}: {reason}") from None
    for key in inside:
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, not tensors by name")
    tensors = {name.removeprefix("module."): tensor for name, tensor in _leaves(state).items()}
    if not tensors:
        raise ValueError(f"{path} holds no tensors by name; give a file with a state dict")
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


class _Nothing(dict):
    """Stands for any object that is no tensor: it takes what it is given and keeps none of it."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass

    def extend(self, values: Any) -> None:
        pass


def _strange(file: Path) -> list[tuple[type, str]]:
    """What the file would call and torch does not trust, each name with `_Nothing` for it.

    Training scripts keep their settings beside the weights, as objects of other libraries. None of
    that is looked up or run.
    """
    if not is_zipfile(file):  # older than torch 1.6
        return []
    with torch.serialization.safe_globals(HARMLESS):
        names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    return [(_Nothing, name) for name in names]


def write(state: dict[str, Tensor], file: Path) -> None:
    """What `read` reads: safetensors if the name ends so, else torch's own format.

    There, names with slashes are paths in a tree of arrays.
    """
    if file.suffix == ".safetensors":
        save_file(state, file, {"format": "pt"})  # which transformers asks for
        return
    tree: dict[str, Any] = {}
    for name, tensor in state.items():
        *above, last = name.split("/")
        branch = tree
        for key in above:
            branch = branch.setdefault(key, {})
        branch[last] = tensor.numpy() if above else tensor
    torch.save(tree, file)


def _leaves(tree: dict[Any, Any], before: str = "") -> dict[str, Tensor]:
    """Tensors and arrays, by their paths."""
    found = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= _leaves(value, f"{before}{key}/")
        elif isinstance(value, (Tensor, np.ndarray, np.generic)):
            found[f"{before}{key}"] = torch.as_tensor(value)
    return found


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
    found = (re.match(rf"{re.escape(prefix)}(\d+)[./]", name) for name in state)
    return max((int(match[1]) + 1 for match in found if match), default=0)
