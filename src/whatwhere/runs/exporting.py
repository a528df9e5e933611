"""A trained model in the layout of other code, or a released file as a checkpoint of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from whatwhere import released, weights
from whatwhere.released import groupvit_hf
from whatwhere.runs import onnx
from whatwhere.runs.loading import Restored, restore
from whatwhere.training import checkpoints


def export(
    name: str | Path,
    out: str | Path,
    *,
    layout: str = "whatwhere",
    names: str | Sequence[str] | None = None,
    imports: Sequence[str] = (),
) -> Path:
    """Write the model at `name` to `out`, and return what was written.

    Three layouts are folders. "whatwhere" is a run and "packed" one checkpoint of half the size,
    which `load` takes, both without what only training needs; "onnx" is for programs without torch,
    and has the vectors of `names` too. Others are one file, in safetensors where the ending says
    so, else of `torch.save`; "groupvit_hf" is a folder for `from_pretrained` if there is no ending.
    """
    target = Path(out).expanduser()
    if target.exists():
        raise ValueError(f"{target} exists already; choose another --out")
    if names is not None and layout != "onnx":
        raise ValueError(f"the layout {layout} holds no names; leave out --names, or use onnx")
    write = _writer(layout, target, names)
    write(restore(name, imports=imports), target)
    return target


def _writer(
    layout: str, target: Path, names: str | Sequence[str] | None
) -> Callable[[Restored, Path], None]:
    if layout == "onnx":
        onnx.check_installed()
        return partial(_onnx, names=names)
    if layout == "groupvit_hf" and not target.suffix:
        return _hugging_face
    return FOLDERS.get(layout) or partial(_file, layout=_layout(layout))


def _onnx(restored: Restored, target: Path, *, names: str | Sequence[str] | None) -> None:
    onnx.write(restored.step.model, restored.recipe.reading, target, names=names)


def _file(restored: Restored, target: Path, *, layout: released.Layout) -> None:
    state = layout.written(restored.step, restored.recipe)
    target.parent.mkdir(parents=True, exist_ok=True)
    weights.write(state, target)


def _run(restored: Restored, target: Path) -> None:
    checkpoints.save(target, restored.said["step"], restored.step, None, _about(restored))


def _packed(restored: Restored, target: Path) -> None:
    checkpoints.pack(target, restored.said["step"], restored.step, _about(restored))


def _hugging_face(restored: Restored, target: Path) -> None:
    config = groupvit_hf.config_of(restored.recipe)
    state = groupvit_hf.written(restored.step, restored.recipe, config)
    target.mkdir(parents=True)
    (target / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    weights.write(state, target / "model.safetensors")


FOLDERS = {"whatwhere": _run, "packed": _packed}  # of our own


def _about(restored: Restored) -> dict:
    return {k: v for k, v in restored.said.items() if k not in ("format", "step")}


def _layout(name: str) -> released.Layout:
    try:
        return released.layout(name)
    except ValueError as error:
        raise ValueError(f"{error}; whatwhere, packed and onnx are folders of our own") from None
