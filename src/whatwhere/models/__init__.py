"""Models that come with the package: each folder here is a checkpoint, known by its name.

`tiny` is used where no model is named. A name works wherever a model is asked for; what lies on
disk at that path goes before it.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

DEFAULT = "tiny"
FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Of the models that are here, which is known without reading any of them."""
    return sorted(about.parent.name for about in FOLDER.glob("*/about.json"))


def find(model: str | Path) -> Path:
    """Where a model lies: at that path, or among those that come with the package."""
    path = Path(model).expanduser()
    if path.exists():
        return path
    known = names()
    if str(model) in known:
        return FOLDER / model
    close = get_close_matches(str(model), known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(
        f"no model at {model}{hint} (with the package come: {', '.join(known) or 'none'}; the "
        "--out folder of `whatwhere train`, one of its checkpoints and a released file work too)"
    )
