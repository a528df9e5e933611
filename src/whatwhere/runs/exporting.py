"""A trained model in the layout of other code, or a released file as a checkpoint of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whatwhere import released, weights
from whatwhere.runs.loading import restore
from whatwhere.training import checkpoints

OURS = "whatwhere"


def export(
    name: str | Path, out: str | Path, *, layout: str = OURS, imports: Sequence[str] = ()
) -> Path:
    """Write the model at `name` to `out`, and return what was written.

    The layout "whatwhere" is a folder that `load` takes, without what only training needs; others
    are one file, in safetensors where the ending says so, else of `torch.save`.
    """
    target = Path(out).expanduser()
    if target.exists():
        raise ValueError(f"{target} exists already; choose another --out")
    chosen = None if layout == OURS else _layout(layout)
    restored = restore(name, imports=imports)
    if chosen is None:
        about = {k: v for k, v in restored.said.items() if k not in ("format", "step")}
        checkpoints.save(target, restored.said["step"], restored.step, None, about)
        return target
    state = chosen.written(restored.step, restored.recipe)
    target.parent.mkdir(parents=True, exist_ok=True)
    weights.write(state, target)
    return target


def _layout(name: str) -> released.Layout:
    try:
        return released.layout(name)
    except ValueError as error:
        raise ValueError(f"{error}; {OURS} is a folder of our own") from None
