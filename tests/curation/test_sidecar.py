"""A sidecar gives back what was written, by key, and the same draws for the same numbers."""

import numpy as np
import pytest

from whatwhere.curation import sidecar as module
from whatwhere.curation.sidecar import Borrowed, Sidecar, write_sidecar

pytest.importorskip("pyarrow")
NAMES = ("dog", "tree", "hot dog", "sky", "never")
KEYS = [f"photos/{i}.jpg" for i in range(5)]
ALL = Borrowed(
    np.array([[2, 0, 1, 3], [-1, -1, -1, -1], [3, 1, -1, -1], [0, -1, -1, -1], [1, 0, 3, -1]]),
    np.array([[2, 1.5, 1, 0.5], [0, 0, 0, 0], [2, 1, 0, 0], [2, 0, 0, 0], [2, 1, 1, 0]], "f4"),
    np.array([[0, 0, 1, 1], [-1, -1, -1, -1], [-1, -1, -1, -1], [-1, -1, -1, -1], [0, 1, 1, -1]]),
)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "PART", 2)


def borrow(rows):
    here = slice(rows.start, rows.stop)
    return Borrowed(ALL.concept[here], ALL.score[here], ALL.cluster[here])


def written(folder, borrow=borrow, **decides):
    write_sidecar(folder, KEYS, NAMES, borrow, decides=decides)
    return folder


def numbers(count, seed=0):
    return [np.random.default_rng((seed, i)) for i in range(count)]


def test_the_best_names_come_back_by_key_in_any_order(tmp_path):
    held = Sidecar(written(tmp_path / "s"), count=3)
    asked = [KEYS[4], KEYS[0], "unknown.jpg", KEYS[1], KEYS[4]]
    assert held(asked, numbers(5)) == [
        ["tree", "dog", "sky"],
        ["hot dog", "dog", "tree"],
        [],
        [],
        ["tree", "dog", "sky"],
    ]
    concept, score = held.best(KEYS[2:4])
    assert [[held.names[c] for c in row if c >= 0] for row in concept] == [["sky", "tree"], ["dog"]]
    assert score.tolist() == [[2, 1, 0], [2, 0, 0]]
    assert len(held) == 5


@pytest.mark.parametrize("how", ["softmax", "cluster"])
def test_draws_follow_from_the_generator_of_each_picture_alone(tmp_path, how):
    held = Sidecar(written(tmp_path / "s"), how=how, count=2)
    together = held(KEYS, numbers(5))
    assert together == [held([key], [one])[0] for key, one in zip(KEYS, numbers(5), strict=True)]
    assert any(held(KEYS, numbers(5, seed=s)) != together for s in range(1, 9))
    assert all(set(names) <= set(NAMES) for names in together) and together[1] == []


def test_a_killed_run_goes_on_with_the_missing_parts(tmp_path):
    asked = []

    def stopping(rows):
        asked.append(rows.start)
        if rows.start == 2 and len(asked) == 2:
            raise KeyboardInterrupt
        return borrow(rows)

    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "s", stopping)
    with pytest.raises(ValueError, match="has 1 of 3 parts; run `whatwhere curate rewrite` again"):
        Sidecar(tmp_path / "s")
    written(tmp_path / "s", stopping)
    assert asked == [0, 2, 2, 4]
    assert len(Sidecar(tmp_path / "s")) == 5


def test_other_settings_are_refused(tmp_path):
    written(tmp_path / "s", near=8)
    with pytest.raises(ValueError, match="holds a sidecar of other settings, pictures or concepts"):
        written(tmp_path / "s", near=9)


def test_what_is_no_sidecar_or_has_no_clusters_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"no sidecar at .*; write one with `whatwhere curate"):
        Sidecar(tmp_path)
    plain = Borrowed(ALL.concept[:2], ALL.score[:2], np.full((2, 4), -1))
    write_sidecar(tmp_path / "s", KEYS[:2], NAMES, lambda rows: plain, decides={})
    with pytest.raises(ValueError, match="has no clusters; rewrite with --clusters"):
        Sidecar(tmp_path / "s", how="cluster")
    two = Borrowed(ALL.concept[:2, :2], ALL.score[:2, :2], np.full((2, 2), -1))
    write_sidecar(tmp_path / "two", KEYS[:2], NAMES, lambda rows: two, decides={})
    assert Sidecar(tmp_path / "two", how="cluster")(KEYS[:1], [np.random.default_rng(0)])[0]
    next((tmp_path / "s").glob("*.parquet")).write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"part-00000.parquet is damaged .*; delete it and run"):
        Sidecar(tmp_path / "s")


def test_a_picture_takes_a_few_hundred_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART", 16_384)
    draw = np.random.default_rng(0)
    many = Borrowed(
        draw.integers(0, 2000, (4000, 16)),
        draw.random((4000, 16)).astype(np.float32),
        draw.integers(0, 8, (4000, 16)),
    )
    keys, names = [f"{i:09d}" for i in range(4000)], [f"concept {i}" for i in range(2000)]
    write_sidecar(tmp_path / "s", keys, names, lambda rows: many, decides={})
    size = sum(file.stat().st_size for file in (tmp_path / "s").iterdir())
    assert size / 4000 < 400
