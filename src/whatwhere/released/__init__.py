"""Weights that other code released, as recipes of ours and back. One file for each layout."""

from __future__ import annotations

import importlib
import json
import pkgutil
import warnings
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from whatwhere import weights
from whatwhere.recipes import Recipe
from whatwhere.training import Step


@runtime_checkable
class Layout(Protocol):
    """What each file of this folder offers."""

    @property
    def NOT_NEEDED(self) -> frozenset[str]:
        """Tensors that no model of ours has a use for; others that are left over are told."""
        ...

    def recognises(self, state: dict[str, Tensor]) -> bool:
        """Whether a file with these tensors is of this layout."""
        ...

    def recipe_of(self, state: dict[str, Tensor], config: dict[str, Any]) -> Recipe:
        """The recipe that the shapes tell, and the config.json beside the file ({}: none)."""
        ...

    def refuse_other_parts(self, recipe: Recipe) -> None:
        """ValueError for a part that no file of this layout holds."""
        ...

    def tensors(self, step: Step) -> dict[str, Tensor]:
        """The live weights of a model of ours, under the names of this layout."""
        ...

    def written(self, step: Step, recipe: Recipe) -> dict[str, Tensor]:
        """All that a file of this layout holds; ValueError for what it cannot hold."""
        ...


@dataclass(frozen=True)
class Released:
    """A file that was read: `recipe` builds the model that `fill` puts its weights into."""

    recipe: Recipe
    state: dict[str, Tensor]
    layout: Layout
    path: Path

    @torch.no_grad()
    def fill(self, step: Step) -> None:
        """Every weight comes from the file, or none does; what the file has beside is named.

        A weight that the layout has under two names needs only one of them.
        """
        own = self.layout.tensors(step)
        given = {id(tensor) for name, tensor in own.items() if name in self.state}
        if missing := [name for name, tensor in own.items() if id(tensor) not in given]:
            raise ValueError(f"{self.path} lacks {len(missing)} tensors: {_some(missing)}")
        wrong = [
            f"{name} {list(self.state[name].shape)} instead of {list(tensor.shape)}"
            for name, tensor in own.items()
            if name in self.state and self.state[name].shape != tensor.shape
        ]
        if wrong:
            raise ValueError(
                f"{self.path} has {len(wrong)} tensors of other shapes: {_some(wrong)}"
            )
        if unused := sorted(self.state.keys() - own.keys() - self.layout.NOT_NEEDED):
            warnings.warn(
                f"{self.path} has {len(unused)} tensors that are not used: {', '.join(unused)}",
                stacklevel=2,
            )
        for name in own.keys() & self.state.keys():
            own[name].copy_(self.state[name])


def layouts() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def layout(name: str) -> Layout:
    if name not in layouts():
        close = get_close_matches(name, layouts(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"no layout is called {name!r}{hint} (there are {', '.join(layouts())})")
    module = importlib.import_module(f"{__name__}.{name}")
    assert isinstance(module, Layout)
    return module


def is_released(path: Path) -> bool:
    """Whether it is for `read`: a file, or a folder as Hugging Face fills it."""
    return path.is_file() or (path / "config.json").is_file()


def read(path: Path) -> Released:
    """A released file, recognised by the names of its tensors."""
    state = weights.read(str(path))
    for name in layouts():
        if layout(name).recognises(state):
            try:
                recipe = layout(name).recipe_of(state, _config(path))
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
            return Released(recipe, state, layout(name), path)
    raise ValueError(
        f"{path} is in no layout that is known here ({', '.join(layouts())}); its tensors begin "
        f"with {', '.join(list(state)[:3])}. Of a training run, give the folder"
    )


def _config(path: Path) -> dict[str, Any]:
    file = (path if path.is_dir() else path.parent) / "config.json"
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not JSON: {error}") from None
    return found if isinstance(found, dict) else {}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more
