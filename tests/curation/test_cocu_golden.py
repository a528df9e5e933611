"""Retrieval, membership, scores, clusters and draws against CoCu's released function."""

import json
import random

import numpy as np
import pytest
from golden import FOLDER, SET, Golden

from whatwhere.concepts.prompts import clip_templates
from whatwhere.curation.clustering import cluster
from whatwhere.curation.mentions import Finder, Mentions, inside
from whatwhere.curation.ranking import Pool, fits_of, rank
from whatwhere.curation.sampling import chances, draw
from whatwhere.curation.search import Exact
from whatwhere.curation.sidecar import Borrowed, Sidecar, write_sidecar


@pytest.fixture
def golden():
    return Golden("cocu")


@pytest.fixture
def told(golden):
    return json.loads((FOLDER / f"cocu_{SET}.json").read_text(encoding="utf-8"))


def array(golden, name):
    return golden[name].numpy()


def lists_of(golden, told):
    """The pool's mentions as the captions have them, held against the recorded matrix."""
    find = Finder([(name,) for name in told["concepts"]])
    found = Mentions.of(find(caption) for caption in told["captions"])
    there = np.zeros((len(found), len(told["concepts"])), dtype=np.int64)
    there[found.picture, found.concept] = 1
    assert (there == array(golden, "index_concepts")).all()
    return found


def ranked(golden, told, rows, *, exact):
    lists, concepts = lists_of(golden, told), array(golden, "concept_emb")
    references = lists if exact else lists.through(inside(told["concepts"]))
    fits = fits_of([(0, array(golden, "index_emb"))], concepts, references)
    queries, near = array(golden, "query_emb")[rows], array(golden, "nn_ids")[rows]
    return rank(queries, near, concepts, Pool(lists, references, fits))


def batches(count):
    """One by one, in threes, all at once."""
    return [
        [np.arange(i, min(i + size, count)) for i in range(0, count, size)]
        for size in (1, 3, count)
    ]


def test_golden_cocu_captions_mention_the_recorded_concepts_in_order(golden, told):
    lists = lists_of(golden, told)
    names = np.array(told["concepts"])
    said = [
        ", ".join(names[lists.concept[a:b]])
        for a, b in zip(lists.start[:-1], lists.start[1:], strict=True)
    ]
    assert said == told["semantics"]
    assert json.loads(golden.metadata["concepts"]) == told["concepts"]


def test_golden_cocu_neighbours_are_found(golden, told):
    index, queries = array(golden, "index_emb"), array(golden, "query_emb")
    near = told["L"]
    found = Exact(index).nearest(queries, near=near)
    assert near == int(golden.metadata["L"])
    assert (found == array(golden, "nn_ids")).all()
    sims = np.take_along_axis(queries @ index.T, found, axis=1)
    np.testing.assert_allclose(sims, array(golden, "nn_sims"), atol=1e-6)
    own = array(golden, "query_is_index")
    assert (own >= 0).any() and (found[own >= 0, 0] == own[own >= 0]).all()


@pytest.mark.parametrize("exact", [True, False])
def test_golden_cocu_scores_one_by_one_and_in_batches(golden, told, exact):
    prefix = "exact_" if exact else ""
    ids, scores = (array(golden, f"{prefix}archive_{what}") for what in ("ids", "scores"))
    for split in batches(len(ids)):
        for rows in split:
            found = ranked(golden, told, rows, exact=exact)
            kept = found.concept.shape[1]
            assert (found.concept == ids[rows, :kept]).all() and (ids[rows, kept:] == -1).all()
            np.testing.assert_allclose(found.score, scores[rows, :kept], atol=1e-6)
            if not exact:
                for values, name in ((found.fit, "global"), (found.ratio, "local")):
                    expected = array(golden, f"archive_{name}")[rows, :kept]
                    np.testing.assert_allclose(values, expected, atol=1e-6)
                np.testing.assert_allclose(found.largest, array(golden, "max_sim")[rows], atol=1e-6)


def test_golden_cocu_clusters_have_no_more_squares(golden):
    ids, concepts = array(golden, "archive_ids"), array(golden, "concept_emb")
    theirs, inertia = array(golden, "cluster_of_archive"), array(golden, "kmeans_inertia")
    found = cluster(ids, concepts @ concepts.T)
    assert ((found >= 0) == (theirs >= 0)).all()
    for row, kept in enumerate((theirs >= 0).sum(axis=1).tolist()):
        own = concepts[ids[row, :kept]]
        parts = [own[found[row, :kept] == one] for one in set(found[row, :kept].tolist())]
        squares = sum(((part - part.mean(axis=0)) ** 2).sum() for part in parts)
        assert squares <= inertia[row] * 1.001 + 1e-6
        assert len(parts) == len(set(theirs[row, :kept].tolist()))


def test_golden_cocu_chances_and_draws(golden):
    ids, scores = array(golden, "archive_ids"), array(golden, "archive_scores")
    clusters = array(golden, "cluster_of_archive")
    of_cluster, inside_it = chances(scores, clusters)
    clustered = (clusters >= 0).any(axis=1)
    np.testing.assert_allclose(
        of_cluster[clustered], array(golden, "cluster_prob")[clustered], atol=1e-6
    )
    np.testing.assert_allclose(
        inside_it[clustered], array(golden, "concept_prob_in_cluster")[clustered], atol=1e-6
    )
    uniform = np.empty((len(ids), 2, array(golden, "cluster_draw_ids").shape[1]))
    for row in range(len(ids)):  # as Python's random.choices asks for its numbers
        numbers = random.Random(1234 + row)
        for what in range(2):
            uniform[row, what] = [numbers.random() for _ in range(uniform.shape[2])]
    number = (ids >= 0).sum(axis=1)
    for how, name in (("cluster", "cluster_draw_ids"), ("top", "top3_ids")):
        drawn = draw(scores, clusters, uniform, number=number, how=how)
        rows = clustered if how == "cluster" else np.full(len(ids), True)
        got = np.where(drawn >= 0, np.take_along_axis(ids, drawn, axis=1), -1)
        assert (got[rows] == array(golden, name)[rows]).all()


def test_golden_cocu_records(golden, told):
    found = ranked(golden, told, np.arange(len(told["records"])), exact=False)
    for row, record in enumerate(told["records"]):
        kept = [int(c) for c in found.concept[row] if c >= 0]
        assert [told["concepts"][c] for c in kept] == list(record["rewrite"])
        got = found.score[row, : len(kept)]
        np.testing.assert_allclose(got, list(record["rewrite"].values()), atol=2e-6)


def test_golden_cocu_concepts_of_the_training_texts(told, tmp_path):
    """What a sidecar hands out is what the released loader put into its prompts."""
    pytest.importorskip("pyarrow")
    texts, names = told["train_texts"], told["concepts"]
    held = Borrowed(
        *(np.full((len(texts), len(names)), fill, kind) for fill, kind in ((-1, int), (0, "f4"))),
        np.full((len(texts), len(names)), -1),
    )
    for row, one in enumerate(texts):
        kept = len(one["rewrite"])
        held.concept[row, :kept] = [names.index(name) for name in one["rewrite"]]
        held.score[row, :kept] = list(one["rewrite"].values())
    keys = [str(row) for row in range(len(texts))]
    write_sidecar(tmp_path / "s", keys, names, lambda _: held, decides={})
    drawn = Sidecar(tmp_path / "s")(keys, [np.random.default_rng(0)] * len(keys))
    for one, concepts in zip(texts, drawn, strict=True):
        caption, *prompts = one["texts"]
        assert caption == one["caption"] and len(prompts) == 3
        assert prompts[len(concepts) :] == [caption] * (3 - len(concepts))
        for prompt, concept in zip(prompts, concepts, strict=False):
            assert prompt in {template(concept) for template in clip_templates("imagenet")}


def test_golden_cocu_every_tensor_is_compared(golden, told):
    test_golden_cocu_neighbours_are_found(golden, told)
    for exact in (True, False):
        test_golden_cocu_scores_one_by_one_and_in_batches(golden, told, exact)
    test_golden_cocu_clusters_have_no_more_squares(golden)
    test_golden_cocu_chances_and_draws(golden)
    golden.all_compared()
