"""Neighbours are those of the largest products; an index misses few and gives the same twice."""

import numpy as np
import pytest
from pools import unit

from whatwhere.curation import search
from whatwhere.curation.search import Exact, bytes_of, choose, with_itself

COUNT, QUERIES, DIM, NEAR = 900, 23, 16, 5


@pytest.fixture(scope="module")
def vectors():
    return unit(np.random.default_rng(0), COUNT, DIM)


def truth(queries, vectors, near):
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :near]


@pytest.mark.parametrize("blocks", [(1024, 16384), (7, 64), (23, 899)])
def test_exact_search_is_sorting_all_products(vectors, monkeypatch, blocks):
    monkeypatch.setattr(search, "QUERIES", blocks[0])
    monkeypatch.setattr(search, "VECTORS", blocks[1])
    queries = unit(np.random.default_rng(1), QUERIES, DIM)
    found = Exact(vectors).nearest(queries, near=NEAR)
    assert (found == truth(queries, vectors, NEAR)).all()
    assert (Exact(vectors).nearest(vectors[40:44], near=1)[:, 0] == np.arange(40, 44)).all()


def test_where_fewer_are_there_the_rest_is_minus_one(vectors):
    found = Exact(vectors[:3]).nearest(vectors[:2], near=NEAR)
    assert (found[:, 3:] == -1).all() and (np.sort(found[:, :3]) == [0, 1, 2]).all()


def made(kind, vectors):
    blocks = [(0, vectors[:500]), (500, vectors[500:])]
    sample = search.sampled(blocks, count=len(vectors))
    return search.train(kind, blocks, count=len(vectors), sample=sample)


@pytest.mark.parametrize(("kind", "recall"), [("hnsw", 0.95), ("ivf-sq8", 0.7), ("ivf-pq", 0.1)])
def test_an_index_finds_most_is_kept_and_is_the_same_every_time(kind, recall, vectors, tmp_path):
    faiss = pytest.importorskip("faiss")
    queries = vectors[:QUERIES] + 0.05 * unit(np.random.default_rng(1), QUERIES, DIM)
    index = made(kind, vectors)
    search.save(index, tmp_path / "graph")
    found = search.read(tmp_path / "graph").nearest(queries, near=NEAR)
    expected = truth(queries, vectors, NEAR)
    hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), expected.tolist(), strict=True)]
    assert np.mean(hits) / NEAR >= recall
    again = faiss.serialize_index(made(kind, vectors))
    assert (again == faiss.serialize_index(index)).all()
    assert 0.5 * bytes_of(kind, COUNT, DIM) < len(again) < 1.1 * bytes_of(kind, COUNT, DIM)


def test_an_index_that_cannot_be_read_is_named(tmp_path):
    pytest.importorskip("faiss")
    (tmp_path / "graph").write_bytes(b"no index")
    with pytest.raises(ValueError, match=r"cannot read .*graph .*; delete it and run"):
        search.read(tmp_path / "graph")


def test_a_sample_is_spread_over_all_blocks():
    rows = np.arange(100_000, dtype=np.float32)[:, None]
    blocks = [(first, rows[first : first + 1024]) for first in range(0, len(rows), 1024)]
    found = search.sampled(blocks, count=len(rows))[:, 0]
    assert len(set(np.diff(found).tolist())) == 1 and found[0] == 0 and found[-1] > 99_990


def test_too_few_vectors_for_codes_are_refused():
    pytest.importorskip("faiss")
    few = np.eye(16, dtype=np.float32)
    with pytest.raises(ValueError, match=r"from 256 vectors .* take --how exact or hnsw"):
        search.train("ivf-pq", iter([(0, few)]), count=16, sample=few)


def test_the_kind_follows_from_number_and_memory():
    assert choose(200_000, 512, memory=1.0) == "exact"
    assert choose(200_001, 512, memory=1.0) == "hnsw"
    assert choose(200_001, 512, memory=0.3) == "ivf-sq8"
    assert choose(150_000, 512, memory=0.2) == "ivf-sq8"
    with pytest.raises(ValueError, match=r"need 67.3 GiB even as ivf-pq; give more memory"):
        choose(10**9, 512, memory=8.0)


def test_a_picture_of_the_pool_is_among_its_own_neighbours():
    near = np.array([[3, 1, 2], [4, 5, 1], [7, 8, -1], [1, 2, 3]])
    found = with_itself(near, np.array([3, 1, 6, -1]))
    assert found.tolist() == [[3, 1, 2], [4, 5, 1], [7, 8, 6], [1, 2, 3]]
    assert near[2, 2] == -1, "the given neighbours stay as they are"
