"""A trained model in the layout of other code, or a released file as a checkpoint of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whatwhere import released, weights
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
    so, else of `torch.save`.
    """
    target = Path(out).expanduser()
    if target.exists():
        raise ValueError(f"{target} exists already; choose another --out")
    if names is not None and layout != "onnx":
        raise ValueError(f"the layout {layout} holds no names; leave out --names, or use onnx")
    chosen = None if layout in FOLDERS or layout == "onnx" else _layout(layout)
    if layout == "onnx":
        onnx.check_installed()
    restored = restore(name, imports=imports)
    if layout == "onnx":
        onnx.write(restored.step.model, restored.recipe.reading, target, names=names)
    elif chosen is None:
        FOLDERS[layout](restored, target)
    else:
        state = chosen.written(restored.step, restored.recipe)
        target.parent.mkdir(parents=True, exist_ok=True)
        weights.write(state, target)
    return target


def _run(restored: Restored, target: Path) -> None:
    checkpoints.save(target, restored.said["step"], restored.step, None, _about(restored))


def _packed(restored: Restored, target: Path) -> None:
    checkpoints.pack(target, restored.said["step"], restored.step, _about(restored))


FOLDERS = {"whatwhere": _run, "packed": _packed}  # of our own


def _about(restored: Restored) -> dict:
    return {k: v for k, v in restored.said.items() if k not in ("format", "step")}


def _layout(name: str) -> released.Layout:
    try:
        return released.layout(name)
    except ValueError as error:
        raise ValueError(f"{error}; whatwhere, packed and onnx are folders of our own") from None
