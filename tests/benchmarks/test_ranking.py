"""Ranks against slow counts, in parts of any size; what is made of them."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whatwhere.benchmarks.ranking import MOST, Ranking, Recalls, top_k


def ranked(scores, right, part):
    """The ranking of answers that come `part` at a time."""
    ranking = Ranking(len(scores))
    for start in range(0, scores.shape[1], part):
        here = slice(start, start + part)
        ranking.see(slice(None), scores[:, here], right[:, here])
    return ranking


def slow_ahead(scores, right):
    """Wrong answers ahead of the best right one, equal ones counted half."""
    ahead = []
    for row, own in zip(scores.tolist(), right.tolist(), strict=True):
        best = max(score for score, is_right in zip(row, own, strict=True) if is_right)
        wrong = [score for score, is_right in zip(row, own, strict=True) if not is_right]
        ahead.append(sum(w > best for w in wrong) + sum(w == best for w in wrong) / 2)
    return ahead


def example(queries, answers, *, levels, seed):
    """Scores with many ties, and one to three right answers for each query."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randint(levels, (queries, answers), generator=draw).float()
    right = torch.zeros(queries, answers, dtype=torch.bool)
    for row in range(queries):
        right[row, torch.randperm(answers, generator=draw)[: 1 + row % 3]] = True
    return scores, right


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 60), st.integers(1, 70), st.sampled_from([2, 9, 1000]), st.integers(0, 99))
def test_ranks_agree_with_a_slow_count_whatever_the_parts(answers, part, levels, seed):
    """Exact below MOST, and never below it by mistake: what is kept is only the best."""
    scores, right = example(7, answers, levels=levels, seed=seed)
    found, slow = ranked(scores, right, part).ahead().tolist(), slow_ahead(scores, right)
    assert [min(a, MOST) for a in found] == [min(a, MOST) for a in slow]


def test_a_tie_counts_half():
    scores = torch.tensor([[0.5, 0.5, 0.1], [0.5, 0.5, 0.5]])
    right = torch.tensor([[True, False, False], [False, True, False]])
    ranking = ranked(scores, right, 2)
    assert ranking.ahead().tolist() == [0.5, 1.0]
    assert (ranking.recall(1), ranking.recall(2)) == (0.5, 1.0)


def test_right_answers_are_not_in_the_way_of_each_other():
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6]])
    assert ranked(scores, torch.tensor([[False, True, True, True]]), 4).ahead().tolist() == [1]
    assert ranked(scores, torch.tensor([[True, True, True, False]]), 1).ahead().tolist() == [0]


def test_what_is_kept_does_not_grow_with_the_answers():
    scores, right = example(4, 500, levels=1000, seed=0)
    assert ranked(scores, right, 33).wrong.shape == (4, 2 * MOST)


def test_photos_are_counted_for_their_class():
    ahead = np.array([0, 0.5, 1, 4.5, 5, 0])
    found = top_k(list("abcdefg"), ahead, np.array([0, 0, 0, 2, 2, 5]), expected=6)
    assert found.photos.tolist() == [3, 0, 2, 0, 0, 1, 0]
    assert found.first.tolist() == [2, 0, 0, 0, 0, 1, 0]
    assert found.fifth.tolist() == [3, 0, 1, 0, 0, 1, 0]
    assert (found.top1, found.top5) == (3 / 6, 5 / 6)
    assert found.mean_per_class == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_the_object_of_classes_is_in_percent_with_null_where_there_is_no_value():
    found = top_k(("cat", "dog"), np.array([0, 1, 0, 0.0]), np.array([1, 1, 1, 1]), expected=5)
    said = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert said["top1"] == said["mean_per_class"] == 75
    assert said["top5"] is None, "of two classes nobody misses five"
    assert said["per_class"] == {"cat": None, "dog": 75}
    assert said["photos"] == {"cat": 0, "dog": 4}
    assert (said["photos_total"], said["partial"]) == (4, True)


def test_the_table_of_classes_says_what_was_counted():
    whole = top_k(("cat", "sea lion"), np.array([0, 1.0, 0]), np.array([1, 1, 0]), expected=3)
    assert whole.table().splitlines() == [
        "class     photos  top-1 %",
        "cat            1   100.00",
        "sea lion       2    50.00",
        "top-1 66.67, top-5 -, mean per class 75.00: 3 photos, 2 of 2 classes",
    ]
    part = top_k(("cat", "dog"), np.array([0.0]), np.array([1]), expected=3)
    assert part.table().startswith("PARTIAL SET: 1 photos of 3")


def test_recalls_are_told_both_ways_with_what_was_left_out():
    found = Recalls({1: 0.25, 10: 1.0}, {1: 0.5, 10: 0.75}, 4, 9, 4, "1 empty caption: a.jpg")
    assert found.table().splitlines() == [
        "                   R@1    R@10",
        "picture to caption 25.00  100.00",
        "caption to picture 50.00  75.00",
        "4 pictures, 9 captions; any of a picture's is right",
        "left out: 1 empty caption: a.jpg",
    ]
    said = json.loads(json.dumps(found.as_json()))
    assert said["picture_to_caption"] == {"recall_at_1": 25, "recall_at_10": 100}
    assert said["caption_to_picture"]["recall_at_10"] == 75
    assert (said["partial"], said["left_out"]) == (False, ["1 empty caption: a.jpg"])


def test_nothing_counted_has_no_value():
    nothing = top_k(("cat", "dog"), np.zeros(0), np.zeros(0, np.int64), expected=0)
    assert math.isnan(nothing.top1) and math.isnan(nothing.mean_per_class)


def test_what_is_no_number_is_never_right():
    ranking = Ranking(3)
    right = torch.eye(3, 12).bool()
    ranking.see(slice(0, 3), torch.full((3, 12), torch.nan), right)
    assert ranking.recall(1) == 0
