"""The pictures most like a picture: exactly, or by an index where there are too many to compare."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

Kind = Literal["exact", "hnsw", "ivf-sq8", "ivf-pq"]
EXACT = 200_000  # vectors up to which comparing with all of them is quick enough
CODES = 256  # of each eighth of a vector, in ivf-pq
QUERIES, VECTORS = 1024, 16_384  # compared at a time
Blocks = Iterable[tuple[int, Float32[np.ndarray, "_ dim"]]]  # (first row, unit vectors), in order


@runtime_checkable
class Index(Protocol):
    """Finds rows of the largest inner product."""

    def nearest(
        self, queries: Float32[np.ndarray, "queries dim"], *, near: int
    ) -> Int64[np.ndarray, "queries near"]:
        """The best first; -1 where fewer are found."""
        ...


def bytes_of(kind: Kind, count: int, dim: int) -> int:
    """Memory that an index takes at most, up to a few per cent."""
    cells = 4 * dim * _cells(count)
    return {
        "exact": 4 * dim * count,
        "hnsw": (4 * dim + 272) * count,
        "ivf-sq8": (dim + 8) * count + cells,
        "ivf-pq": (dim // 8 + 8) * count + cells + 1024 * dim,
    }[kind]


def choose(count: int, dim: int, *, memory: float) -> Kind:
    """The most exact kind that is quick enough and fits; `memory` in GiB.

    HNSW keeps whole vectors with a graph of degree 32, as CoCu's autofaiss chooses; IVF,SQ8 keeps a
    byte and IVF,PQ an eighth of a byte per number, in about 4 sqrt(count) cells.

    >>> [choose(n, 512, memory=8.0) for n in (100_000, 3_000_000, 10_000_000, 100_000_000)]
    ['exact', 'hnsw', 'ivf-sq8', 'ivf-pq']
    """
    kinds: tuple[Kind, ...] = ("exact", "hnsw", "ivf-sq8", "ivf-pq")
    for kind in kinds[count > EXACT :]:
        if bytes_of(kind, count, dim) <= memory * 2**30:
            return kind
    need = bytes_of("ivf-pq", count, dim) / 2**30
    raise ValueError(f"{count} vectors need {need:.1f} GiB even as ivf-pq; give more memory")


class Exact:
    """Compares a query with every vector."""

    def __init__(self, vectors: Float32[np.ndarray, "things dim"]):
        self.vectors = vectors

    def nearest(
        self, queries: Float32[np.ndarray, "queries dim"], *, near: int
    ) -> Int64[np.ndarray, "queries near"]:
        found = np.full((len(queries), near), -1)
        for start in range(0, len(queries), QUERIES):
            rows = self._nearest(torch.from_numpy(queries[start : start + QUERIES]), near)
            found[start : start + QUERIES, : rows.shape[1]] = rows.numpy()
        return found

    def _nearest(
        self, queries: Float32[Tensor, "queries dim"], near: int
    ) -> Int64[Tensor, "queries found"]:
        """Block by block, the best so far beside the best of the block."""
        best = queries.new_empty(len(queries), 0)
        rows = torch.empty(len(queries), 0, dtype=torch.long)
        for first in range(0, len(self.vectors), VECTORS):
            block = torch.from_numpy(self.vectors[first : first + VECTORS])
            here = (queries @ block.T).topk(min(near, len(block)))
            best = torch.cat([best, here.values], dim=1)
            rows = torch.cat([rows, here.indices + first], dim=1)
            best, order = best.sort(dim=1, descending=True, stable=True)
            best, rows = best[:, :near], rows.gather(1, order)[:, :near]
        return rows


class Approximate:
    """A FAISS index, asked."""

    def __init__(self, index: Any):
        self.index = index

    def nearest(
        self, queries: Float32[np.ndarray, "queries dim"], *, near: int
    ) -> Int64[np.ndarray, "queries near"]:
        return self.index.search(np.ascontiguousarray(queries), near)[1]


def train(kind: Kind, blocks: Blocks, *, count: int, sample: Float32[np.ndarray, "_ dim"]) -> Any:
    """A FAISS index of all blocks; the same blocks and sample always give the same index.

    `sample` are vectors spread over all, from which cells and codes are learned. A graph is grown
    by one thread, because several link it in the order in which they happen to run.
    """
    faiss = _faiss()
    dim = sample.shape[1]
    if kind == "ivf-pq" and (len(sample) < CODES or dim % 8):
        raise ValueError(
            f"ivf-pq learns its codes from {CODES} vectors of a multiple of 8 numbers or more; for "
            f"{count} of {dim} take --how exact or hnsw"
        )
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(dim, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efSearch = 64
    else:
        cells = min(_cells(count), max(len(sample) // 39, 1))  # FAISS wants 39 vectors for each
        # "np": no reordering of codes for a shortcut that is not used, which takes most of the time
        code = "SQ8" if kind == "ivf-sq8" else f"PQ{dim // 8}np"
        index = faiss.index_factory(dim, f"IVF{cells},{code}", faiss.METRIC_INNER_PRODUCT)
        index.train(np.ascontiguousarray(sample))
        index.nprobe = max(cells // 32, 8)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1 if kind == "hnsw" else threads)
    try:
        for _, vectors in blocks:
            index.add(np.ascontiguousarray(vectors))
    finally:
        faiss.omp_set_num_threads(threads)
    return index


def sampled(blocks: Blocks, *, count: int) -> Float32[np.ndarray, "_ dim"]:
    """Every n-th vector, so many as `train` needs for its cells."""
    step = max(count // (40 * _cells(count)), 1)
    return np.concatenate([vectors[-first % step :: step] for first, vectors in blocks])


def save(index: Any, file: Path) -> None:
    aside = file.with_name(f".{file.name}")
    _faiss().write_index(index, str(aside))
    aside.replace(file)


def read(file: Path) -> Approximate:
    try:
        return Approximate(_faiss().read_index(str(file)))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1]
        raise ValueError(
            f"cannot read {file} ({reason}); delete it and run `whatwhere curate index` again"
        ) from None


def with_itself(
    neighbours: Int64[np.ndarray, "queries near"], rows: Int64[np.ndarray, " queries"]
) -> Int64[np.ndarray, "queries near"]:
    """Queries of the pool among their own neighbours, which an approximate index may miss.

    `rows` are the queries' own rows of the pool; -1 is not in the pool.
    """
    lost = (rows >= 0) & (neighbours != rows[:, None]).all(axis=1)
    found = neighbours.copy()
    found[lost, -1] = rows[lost]
    return found


def _cells(count: int) -> int:
    return max(round(4 * count**0.5), 1)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise ImportError(
            "an approximate index needs faiss: pip install 'whatwhere[faiss]', or take --how exact"
        ) from None
    return faiss
