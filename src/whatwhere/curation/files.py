"""The files of a curation: whole or absent, named when damaged, and no folder mixes two."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")


def claim(folder: Path, decides: dict[str, Any], other: str, *, choose: str, step: str) -> None:
    """Make `folder` for what `decides` its contents; ValueError if it holds `other`."""
    about = folder / "about.json"
    if about.is_file() and read(about, json.loads, step=step) != decides:
        raise ValueError(f"{folder} holds {other}; delete it first, or choose another {choose}")
    folder.mkdir(parents=True, exist_ok=True)
    write(about, json.dumps(decides, indent=1).encode())


def digest(texts: Sequence[str]) -> str:
    """What tells two lists of texts apart."""
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()[:16]


def write(file: Path, data: bytes) -> None:
    """The whole file or nothing, whenever the process is killed."""
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_bytes(data)
    aside.replace(file)


def read(file: Path, parse: Callable[[bytes], Found], *, step: str) -> Found:
    """What `parse` finds in the bytes of a file that `whatwhere curate STEP` wrote."""
    data = file.read_bytes()
    try:
        return parse(data)
    except Exception as error:  # JSON, zip and Parquet fall over junk in many ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{file} is damaged ({reason}); delete it and run `whatwhere curate {step}` again"
        ) from None
