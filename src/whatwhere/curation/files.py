"""The small files of a curation: whole or absent, and what a folder holds is never mixed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def claim(folder: Path, decides: dict[str, Any], other: str, *, choose: str) -> None:
    """Make `folder` for what `decides` its contents; ValueError if it holds `other`."""
    said = json.dumps(decides, indent=1)
    about = folder / "about.json"
    if about.is_file() and about.read_text(encoding="utf-8") != said:
        raise ValueError(f"{folder} holds {other}; delete it first, or choose another {choose}")
    folder.mkdir(parents=True, exist_ok=True)
    write(about, said.encode())


def digest(texts: Sequence[str]) -> str:
    """What tells two lists of texts apart."""
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()[:16]


def write(file: Path, data: bytes) -> None:
    """The whole file or nothing, whenever the process is killed."""
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_bytes(data)
    aside.replace(file)
