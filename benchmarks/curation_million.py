"""What a whole curation costs: a million made-up pictures from captions to prompts, step by step.

    python benchmarks/curation_million.py --out DIR [--count 1000000] [--how hnsw] [--clusters]

Vectors have 512 numbers and lie around centres, fifty to each, with cosines of about 0.8 to their
own centre's others and 0.55 to the rest (--spread 1: 0.57 and 0.55). What sets them apart decays
along the axes as principal components of pictures do; noise that is equal everywhere would leave no
nearest to find. A centre has concepts of its own, which its pictures' captions mention half of the
time. Everything runs through the functions of `whatwhere curate`, only the model is made up. The
bar: 1,000,000 pictures with 8 neighbours within 24 GiB and 2 hours on 2 cores. Recall is against
comparing with all vectors, for a thousand of them.
A finished step is not repeated, so delete DIR to measure again. Each step: wall time, processor
time, pictures in a second of wall time, and the largest memory so far.
"""

import argparse
import resource
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from whatwhere.captions.samples import Sample, Skipped
from whatwhere.captions.sources import Pairs
from whatwhere.concepts.bank import Concepts
from whatwhere.concepts.prompts import Prompts
from whatwhere.curation import search
from whatwhere.curation.sidecar import Sidecar
from whatwhere.curation.vectors import SHARD, Embedded, Vectors, embed
from whatwhere.runs import curating
from whatwhere.runs.spaces import Space

DIM, CONCEPTS, EACH, OWN, NEAR = 512, 2000, 50, 6, 8
SHARED = 1.5  # of what all vectors have in common: it makes cosines positive, as CLIP's are


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class World:
    """Vector i and caption i follow from the number i and the seed alone."""

    def __init__(self, count: int, spread: float):
        decay = 1 / np.arange(1, DIM + 1, dtype=np.float32) ** 0.5
        self.decay = spread * decay / np.linalg.norm(decay)
        draws = np.random.default_rng(0)
        shared = SHARED * unit(draws.normal(size=(1, DIM)))
        self.concepts = unit(unit(draws.normal(size=(CONCEPTS, DIM))) + shared).astype(np.float32)
        self.names = [f"noun{i:04d}" for i in range(CONCEPTS)]
        often = 1 / np.arange(1, CONCEPTS + 1) ** 0.8
        centres = max(count // EACH, 1)
        self.own = draws.choice(CONCEPTS, size=(centres, OWN), p=often / often.sum())
        # What a centre shows, and a part of its own, so that neighbours are found by more than that
        shown = self.concepts[self.own].sum(axis=1) + draws.normal(size=(centres, DIM)) / DIM**0.5
        self.centres = unit(unit(shown) + shared).astype(np.float32)
        self.of = draws.integers(centres, size=count)
        self.said = draws.random((count, OWN)) < 0.5

    def caption(self, row: int) -> str:
        concepts = self.own[self.of[row]][self.said[row]]
        return f"here we see {' and '.join(self.names[c] for c in concepts) or 'something'}"

    def vectors(self, rows: Sequence[int]) -> np.ndarray:
        """Drawn by blocks of a shard, as they are asked for."""
        draws = np.random.default_rng((1, rows[0]))
        moved = draws.normal(size=(len(rows), DIM)).astype(np.float32) * self.decay
        return unit(self.centres[self.of[list(rows)]] + moved)

    def space(self) -> Space:
        def texts(some: Sequence[str]) -> np.ndarray:
            return self.concepts[[int(name.removeprefix("noun")) for name in some]]

        def pictures(some: Sequence) -> np.ndarray:
            raise AssertionError("there are no pictures")

        return Space("made up", DIM, pictures, texts)


def no_bytes() -> bytes:
    raise AssertionError("there are no pictures")


@contextmanager
def told(what: str, count: int) -> Generator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{what:<28}{wall:9.1f} s {cpu:9.1f} cpu-s {count / wall:10.0f} /s {peak:7.2f} GiB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--how", choices=get_args(search.Kind), default="hnsw")
    parser.add_argument("--memory", type=float, default=8.0, help="GiB, unless --how says which")
    parser.add_argument(
        "--spread", type=float, default=0.5, help="of pictures around their centre, of length 1"
    )
    parser.add_argument("--clusters", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    world, count = World(args.count, args.spread), args.count
    keys = [f"{row:09d}" for row in range(count)]
    begun = time.perf_counter()
    with told("captions and their concepts", count):
        pairs = Pairs(
            tuple(Sample(key, (world.caption(row),), no_bytes) for row, key in enumerate(keys)),
            Skipped(),
        )
        names = args.out / "names.txt"
        names.parent.mkdir(parents=True, exist_ok=True)
        names.write_text("\n".join(world.names))
        bank, _ = curating.make_gallery(args.out, pairs, Concepts(path=str(names)), singulars=False)
        del pairs
    with told("vectors made and written", count):
        curating.embed_concepts(args.out, bank, world.space(), Prompts("name"))
        vectors = embed(
            args.out / curating.PICTURES,
            range(count),
            keys,
            lambda rows: Embedded(world.vectors(rows), [""] * len(rows)),
            identity="made up",
            batch=SHARD,
            what="pictures",
        )
    with told(f"index {args.how}", count):
        curating.make_index(args.out, how=args.how, memory=args.memory)
    with told("search, rank, write sidecar", count):
        settings = curating.Rewriting(near=NEAR, clusters=args.clusters)
        curating.rewrite(args.out, settings)
    with told("sidecar read", count):
        held = Sidecar(args.out / curating.SIDECAR, how="cluster" if args.clusters else "softmax")
    with told("three concepts drawn", count):
        draw = np.random.default_rng(0)
        for start in range(0, count, 4096):
            some = keys[start : start + 4096]
            held(some, draw.spawn(len(some)))
    total = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    size = sum(file.stat().st_size for file in (args.out / curating.SIDECAR).iterdir())
    print(f"all of it {total / 60:.1f} min, {peak:.2f} GiB, sidecar {size / count:.0f} B a picture")
    recall(args.out, vectors)


def recall(folder: Path, vectors: Vectors, asked: int = 1000) -> None:
    """The exact neighbours of some pictures, block by block, against the index's."""
    rows = np.linspace(0, len(vectors) - 1, min(asked, len(vectors))).astype(int)
    some = np.concatenate([b[rows[rows // SHARD == f // SHARD] - f] for f, b in vectors.blocks()])
    index = curating.open_index(folder, vectors)
    found = search.with_itself(index.nearest(some, near=NEAR), rows)
    del index
    best, truth = np.empty((len(rows), 0), np.float32), np.empty((len(rows), 0), int)
    for first, block in vectors.blocks():
        best = np.concatenate([best, some @ block.T], axis=1)
        here = np.tile(np.arange(first, first + len(block)), (len(rows), 1))
        truth = np.concatenate([truth, here], axis=1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :NEAR]
        best, truth = (np.take_along_axis(table, order, axis=1) for table in (best, truth))
    share = (found[:, :, None] == truth[:, None]).any(axis=2).mean()
    print(f"recall of the {NEAR} nearest, {len(rows)} asked: {share:.3f}")


if __name__ == "__main__":
    main()
