"""How long borrowing concepts takes a picture on one core, and what an index finds how fast.

    python benchmarks/curation.py [--vectors 100000] [--queries 2000]

Ranking is held against the rule written picture by picture and concept by concept, as CoCu's
released loop has it (float32 on the processor), and the two must agree to 1e-5 before anything is
timed. CPU time of this process, medians over repeats that take turns. The pool is made up: unit
vectors around centres, captions with up to five concepts of a long-tailed gallery.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import get_args

import numpy as np
import torch

from whatwhere.curation import search
from whatwhere.curation.clustering import cluster
from whatwhere.curation.mentions import Mentions
from whatwhere.curation.ranking import Archive, Pool, fits_of, rank
from whatwhere.curation.sampling import draw

DIM, CONCEPTS, NEAR, PICTURES = 512, 3805, 8, 1024
MOST = 16  # concepts kept, as `whatwhere curate rewrite` does


def unit(draws: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = draws.normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def around(draws: np.random.Generator, count: int, centres: np.ndarray) -> np.ndarray:
    """Vectors that have neighbours: each is a centre and about as much of its own."""
    vectors = centres[draws.integers(len(centres), size=count)] + unit(draws, count, DIM)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def released(
    pictures: np.ndarray, near: np.ndarray, concepts: np.ndarray, pool: np.ndarray, lists: list
) -> list[dict[int, float]]:
    """The loop over pictures, concepts and neighbours, and the sort."""
    found = []
    for picture, rows in zip(pictures, near, strict=True):
        archive = {c for row in rows for c in lists[row]}
        largest, fits = 0.0, {}
        for concept in archive:
            text = concepts[concept]
            seen = [float(text @ pool[row]) for row in rows if concept in lists[row]]
            seen.append(float(text @ picture))
            largest = max(largest, *seen)
            fits[concept] = seen[-1], seen[-1] / (sum(seen) / len(seen))
        scores = {c: own / largest + ratio for c, (own, ratio) in fits.items()}
        found.append(dict(sorted(scores.items(), key=lambda item: -item[1])))
    return found


def agree(ours: Archive, theirs: list[dict[int, float]]) -> bool:
    rows = zip(ours.concept.tolist(), ours.score.tolist(), theirs, strict=True)
    for concepts, scores, expected in rows:
        found = {c: s for c, s in zip(concepts, scores, strict=True) if c >= 0}
        if found.keys() != expected.keys():
            return False
        if any(abs(found[c] - expected[c]) > 1e-5 * max(abs(expected[c]), 1) for c in found):
            return False
    return True


def timed(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            taken[name].append(time.process_time() - start)
    return taken


def ranking(repeats: int) -> None:
    draws = np.random.default_rng(0)
    often = 1 / np.arange(1, CONCEPTS + 1) ** 0.8
    often /= often.sum()
    lists = [
        np.unique(draws.choice(CONCEPTS, draws.integers(6), p=often)).tolist()
        for _ in range(20_000)
    ]
    # A part that all share makes cosines positive, as CLIP's are.
    shared = unit(draws, 1, DIM)
    pool, concepts, pictures = (
        around(draws, count, unit(draws, 200, DIM) + 1.5 * shared)
        for count in (len(lists), CONCEPTS, PICTURES)
    )
    near = draws.integers(len(lists), size=(PICTURES, NEAR))
    mentions = Mentions.of(lists)
    lent = Pool(mentions, mentions, fits_of([(0, pool)], concepts, mentions))
    cosines = concepts @ concepts.T
    sets = [set(row) for row in lists]
    whole = rank(pictures, near, concepts, lent)
    assert agree(whole, released(pictures, near, concepts, pool, sets)), "the two rules differ"
    found = (whole.concept >= 0).sum(axis=1).mean()
    archive = rank(pictures, near, concepts, lent, most=MOST)
    number = (archive.concept >= 0).sum(axis=1)
    groups, uniform = cluster(archive.concept, cosines), draws.random((PICTURES, 2, 3))

    def one_by_one() -> None:
        for row in range(64):
            rank(pictures[row : row + 1], near[row : row + 1], concepts, lent)

    taken = timed(
        {
            "released loop": lambda: released(pictures, near, concepts, pool, sets),
            "rank": lambda: rank(pictures, near, concepts, lent, most=MOST),
            "cluster": lambda: cluster(archive.concept, cosines),
            "draw": lambda: draw(archive.score, groups, uniform, number=number, how="cluster"),
            "rank, one by one": one_by_one,
        },
        repeats,
    )
    each = {
        name: [1e3 * t / (64 if name.endswith("one") else PICTURES) for t in times]
        for name, times in taken.items()
    }
    each["rank + draw"] = [a + b for a, b in zip(each["rank"], each["draw"], strict=True)]
    each["rank + cluster + draw"] = [
        a + b for a, b in zip(each["rank + draw"], each["cluster"], strict=True)
    ]
    loop = statistics.median(each["released loop"])
    kept = f"{number.mean():.1f} kept of {found:.1f} concepts in an archive"
    print(f"{kept}, {NEAR} neighbours, {DIM}-d, one core")
    for name, times in each.items():
        middle = statistics.median(times)
        spread = f"{min(times):.4f} to {max(times):.4f}"
        print(f"{name:<24}{middle:9.4f} ms a picture ({spread}), loop x {loop / middle:.1f}")


def indexing(count: int, queries: int) -> None:
    draws = np.random.default_rng(1)
    centres = unit(draws, max(count // 50, 1), DIM)
    vectors, asked = around(draws, count, centres), around(draws, queries, centres)
    truth = search.Exact(vectors).nearest(asked, near=NEAR)
    print(f"{count} vectors, {queries} queries, {NEAR} neighbours, auto: ", end="")
    print(search.choose(count, DIM, memory=8.0))
    for kind in get_args(search.Kind):
        start = time.process_time()
        index: search.Index = search.Exact(vectors)
        if kind != "exact":
            blocks = [(i, vectors[i : i + 1024]) for i in range(0, count, 1024)]
            sample = search.sampled(blocks, count=count)
            index = search.Approximate(search.train(kind, blocks, count=count, sample=sample))
        built = time.process_time() - start
        start = time.process_time()
        found = index.nearest(asked, near=NEAR)
        rate = queries / (time.process_time() - start)
        recall = (found[:, :, None] == truth[:, None]).any(axis=2).mean()
        size = search.bytes_of(kind, count, DIM) / 2**20
        print(
            f"{kind:<8} {built:7.1f} cpu-s to build {rate:9.0f} queries/cpu-s "
            f"recall {recall:.3f} {size:7.0f} MiB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", default=100_000, type=int)
    parser.add_argument("--queries", default=2000, type=int)
    parser.add_argument("--repeats", default=7, type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ranking(options.repeats)
    indexing(options.vectors, options.queries)
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
