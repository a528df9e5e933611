"""Models that come with the package: each folder here is a checkpoint, known by its name.

`tiny` is used where no model is named. A name works wherever a model is asked for; what lies on
disk at that path goes before it. `hf-hub:nvidia/groupvit-gcc-yfcc` is a folder of Hugging Face's
hub, downloaded once.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

DEFAULT, HUB = "tiny", "hf-hub:"
FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Of the models that are here, which is known without reading any of them."""
    return sorted(about.parent.name for about in FOLDER.glob("*/about.json"))


def find(model: str | Path) -> Path:
    """Where a model lies: at that path, or among those that come with the package."""
    path = Path(model).expanduser()
    if path.exists():
        return path
    if str(model).startswith(HUB):
        return _downloaded(str(model).removeprefix(HUB))
    known = names()
    if str(model) in known:
        return FOLDER / model
    close = get_close_matches(str(model), known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(
        f"no model at {model}{hint} (with the package come: {', '.join(known) or 'none'}; the "
        "--out folder of `whatwhere train`, one of its checkpoints, a released file and "
        f"{HUB}OWNER/NAME work too)"
    )


def _downloaded(name: str) -> Path:
    """A folder of the hub, through its cache, which is enough without a network."""
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "about.json", "model.safetensors", "pytorch_model.bin"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"cannot get {name} from the hub ({reason:.100}); give OWNER/NAME as the hub has it, "
            "or download its folder and give that"
        ) from error
