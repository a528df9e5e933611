"""Arrays in MATLAB 5 files, in which the human segmentations of BSDS500 are published."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, NUMERIC = 1, 2, range(6, 16)  # classes of matrices


def fields(path: Path, name: str) -> list[np.ndarray]:
    """The arrays of all fields of this name, however deep in structs and cells, in order.

    Layout: "MAT-File Format" of MathWorks, level 5. Only little-endian files, which are what
    MATLAB writes today, and real numbers.
    """
    data = path.read_bytes()
    if data[:10] != b"MATLAB 5.0" or data[126:128] != b"IM":
        raise ValueError(f"{path} is no MATLAB 5 file; save it with `save -v7` or older")
    try:
        return [array for matrix in _matrices(data[128:]) for array in _find(matrix, name)]
    except (struct.error, zlib.error, ValueError, IndexError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged or of a kind not read here: {error}") from None


def _matrices(data: bytes) -> Iterator[bytes]:
    for kind, body in _elements(data):
        if kind == COMPRESSED:
            yield from _matrices(zlib.decompress(body))
        elif kind == MATRIX:
            yield body


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, bytes): a tag of 8 bytes and the data up to a multiple of 8, or both in 8 bytes."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:
            kind, size, start, step = kind & 0xFFFF, kind >> 16, at + 4, 8
        else:
            start, step = at + 8, 8 + size + (0 if kind == COMPRESSED else -size % 8)
        if start + size > len(data):
            raise ValueError("it ends too early")
        yield kind, data[start : start + size]
        at += step


def _find(matrix: bytes, name: str) -> Iterator[np.ndarray]:
    if not matrix:  # an empty cell
        return
    parts = _elements(matrix)
    kind = next(parts)[1][0]
    next(parts), next(parts)  # its shape and its name
    if kind == CELL:
        for _, inside in parts:
            yield from _find(inside, name)
    elif kind == STRUCT:
        length = int(np.frombuffer(next(parts)[1], "<i4")[0])
        joined = next(parts)[1]
        names = [
            joined[i : i + length].rstrip(b"\0").decode() for i in range(0, len(joined), length)
        ]
        for i, (_, inside) in enumerate(parts):
            if names[i % len(names)] == name:
                yield _array(inside)
            else:
                yield from _find(inside, name)


def _array(matrix: bytes) -> np.ndarray:
    parts = _elements(matrix)
    kind, shape, _ = (body for _, body in (next(parts), next(parts), next(parts)))
    if kind[0] not in NUMERIC:
        raise ValueError("the field holds no numbers")
    code, numbers = next(parts)
    return np.frombuffer(numbers, f"<{NUMBERS[code]}").reshape(
        np.frombuffer(shape, "<i4"), order="F"
    )
