"""Golden vectors: where they lie, and that every tensor of a file is either compared or excused.

The folder and the set come from the environment (`WHATWHERE_GOLDEN`, `WHATWHERE_GOLDEN_SET`), so
that another set with other sizes runs through the same tests unchanged.
"""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

FOLDER = Path(os.environ.get("WHATWHERE_GOLDEN", Path(__file__).parents[2] / "shared" / "golden"))
SET = os.environ.get("WHATWHERE_GOLDEN_SET", "dev")


class Golden:
    """One golden file as a mapping that remembers which tensors were looked at.

    golden = Golden("simzss_global", excused={"logits_per_text": "the transpose"})
    golden["image_raw"], golden.config
    golden.all_compared()       # at the end: fails for a tensor neither read nor excused

    A missing tensor fails the test; a missing folder skips it.
    """

    def __init__(self, name: str, excused: dict[str, str] | None = None):
        if not FOLDER.is_dir():
            pytest.skip(f"no golden vectors: {FOLDER} is missing (set WHATWHERE_GOLDEN)")
        path = FOLDER / f"{name}_{SET}.safetensors"
        if not path.is_file():
            pytest.fail(f"golden file {path.name} is missing in {FOLDER}")
        with safe_open(path, "pt") as file:
            keys = file.keys()
            self.tensors = {key: file.get_tensor(key) for key in keys}
            self.metadata = file.metadata() or {}
        self.name, self.excused, self.read = path.name, excused or {}, set()

    @property
    def config(self) -> dict:
        return json.loads(self.metadata["config"])

    def __getitem__(self, key: str) -> torch.Tensor:
        if key not in self.tensors:
            pytest.fail(f"{self.name} has no tensor {key!r}")
        self.read.add(key)
        return self.tensors[key]

    def under(self, prefix: str) -> dict[str, torch.Tensor]:
        """All tensors whose names begin with `prefix`, the prefix removed."""
        found = {k.removeprefix(prefix): self[k] for k in self.tensors if k.startswith(prefix)}
        return found or pytest.fail(f"{self.name} has no tensor under {prefix!r}")

    def all_compared(self) -> None:
        def is_excused(key):
            return any(
                key == e or (e.endswith("*") and key.startswith(e[:-1])) for e in self.excused
            )

        left = [key for key in self.tensors if key not in self.read and not is_excused(key)]
        assert not left, f"{self.name}: neither compared nor excused: {left}"
