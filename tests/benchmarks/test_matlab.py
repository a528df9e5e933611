"""MATLAB files, written here element by element as the format is described."""

import struct
import zlib

import numpy as np
import pytest

from whatwhere.benchmarks.matlab import fields

HEADER = b"MATLAB 5.0 MAT-file, written by a test".ljust(124) + b"\x00\x01IM"


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def small(kind, data):
    """At most four bytes, packed with their tag."""
    return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")


def matrix(kind, shape, *parts, name=b""):
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack("<2i", *shape))
    return element(14, head + element(1, name) + b"".join(parts))


def numbers(array, code=4, kind=11):
    return matrix(kind, array.shape, element(code, array.tobytes(order="F")))


def struct_of(**parts):
    names = b"".join(name.encode().ljust(13, b"\0") for name in parts)
    head = small(5, struct.pack("<i", 13)) + element(1, names)
    return matrix(2, (1, 1), head, *parts.values())


def truth(*maps):
    """As BSDS500 writes it: a cell for each person, holding a struct of two maps."""
    cells = [
        struct_of(
            Segmentation=numbers(drawn.astype("<u2")),
            Boundaries=numbers((drawn > 1).astype("u1"), code=2, kind=9),
        )
        for drawn in maps
    ]
    inside = matrix(1, (1, len(cells)), *cells, name=b"groundTruth")
    packed = zlib.compress(inside)
    return HEADER + struct.pack("<II", 15, len(packed)) + packed


def test_fields_are_found_in_structs_in_cells_column_by_column(tmp_path):
    maps = [np.array([[1, 1, 2], [1, 300, 2]]), np.array([[1, 2, 2], [1, 3, 3]])]
    (tmp_path / "a.mat").write_bytes(truth(*maps))
    found = fields(tmp_path / "a.mat", "Segmentation")
    assert [array.tolist() for array in found] == [drawn.tolist() for drawn in maps]
    edges = fields(tmp_path / "a.mat", "Boundaries")
    assert edges[1].tolist() == [[0, 1, 1], [0, 1, 1]] and edges[1].dtype == np.uint8
    assert fields(tmp_path / "a.mat", "Names") == []


def test_small_elements_and_other_numbers_are_read(tmp_path):
    tiny = matrix(9, (1, 3), small(2, bytes([7, 8, 9])))
    large = numbers(np.array([[0.5], [-2.0]]), code=9, kind=6)
    (tmp_path / "a.mat").write_bytes(HEADER + struct_of(a=tiny, b=large, c=element(14, b"")))
    assert fields(tmp_path / "a.mat", "a")[0].tolist() == [[7, 8, 9]]
    assert fields(tmp_path / "a.mat", "b")[0].tolist() == [[0.5], [-2]]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 300, "is no MATLAB 5 file; save it with"),
        (b"", "is no MATLAB 5 file"),
        (truth(np.ones((4, 5)))[:-9], "is damaged or of a kind not read here: it ends too early"),
        (HEADER + struct.pack("<II", 15, 8) + b"nonsense", "is damaged"),
        (HEADER + struct_of(Segmentation=matrix(4, (1, 1), element(16, b"a"))), "holds no numbers"),
        (HEADER + b"\x0e\0\0", "is damaged"),
    ],
)
def test_what_is_no_such_file_is_said(tmp_path, data, said):
    (tmp_path / "a.mat").write_bytes(data)
    with pytest.raises(ValueError, match=said):
        fields(tmp_path / "a.mat", "Segmentation")
