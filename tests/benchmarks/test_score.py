"""Counting is compared with slow loops and with what the released evaluators counted."""

import json
import math
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from golden import Golden
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from whatwhere.benchmarks import Benchmark, Item
from whatwhere.benchmarks.photos import relabel
from whatwhere.benchmarks.score import Scores, as_labelled, confusion, evaluate


class Memory:
    """A benchmark of arrays that the test holds."""

    name, names, background, ignore = "memory", (("a",), ("b",), ("c",), ("d",)), None, 9
    classes = ("a", "b", "c", "d")

    def __init__(self, truths, official=None):
        self.truths, self.official = truths, official

    def __len__(self):
        return len(self.truths)

    def items(self, indices=None):
        for index in range(len(self)) if indices is None else indices:
            height, width = self.truths[index].shape
            picture = Image.new("RGB", (width, height), (index, 0, 0))
            yield Item(f"photo {index}", picture, self.truths[index])


def unlike(shape, names, ignore, seed=0):
    """Truth and guess of other shares, so that rows and columns cannot be mistaken."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(names, size=shape)
    guess = np.where(draw.random(shape) < 0.4, truth, truth // 2)
    truth[draw.random(shape) < 0.2] = ignore
    return truth, guess


def scores_of(counts, photos=None, **more):
    names = len(counts)
    photos = np.ones(names, np.int64) if photos is None else np.array(photos)
    return Scores(tuple(map(str, range(names))), np.array(counts), photos, 3, **more)


def segmenter(guesses):
    return lambda picture: guesses[picture.getpixel((0, 0))[0]]


@pytest.mark.parametrize(
    ("names", "ignore", "kind"), [(5, 255, np.int64), (5, 255, np.uint8), (847, 65535, np.uint16)]
)
def test_counting_agrees_with_a_loop_over_pixels(names, ignore, kind):
    truth, guess = unlike((13, 17), names, ignore)
    expected = np.zeros((names, names), int)
    for row, col in product(range(13), range(17)):
        if truth[row, col] != ignore:
            expected[truth[row, col], guess[row, col]] += 1
    counts = confusion(truth.astype(kind), guess.astype(kind), names=names, ignore=ignore)
    assert np.array_equal(counts, expected)
    assert not np.array_equal(counts, counts.T)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 7]), st.integers(0, 2)), max_size=30))
def test_counting_agrees_with_a_counter_of_pairs(pixels):
    truth, guess = np.array(pixels, dtype=np.int64).reshape(-1, 2).T
    expected = Counter((t, g) for t, g in pixels if t != 7)
    counts = confusion(truth, guess, names=3, ignore=7)
    assert {
        (t, g): counts[t, g] for t, g in product(range(3), range(3)) if counts[t, g]
    } == expected


def test_class_255_of_847_is_a_class_like_any_other():
    truth = np.array([[255, 255, 846, 65535]])
    counts = confusion(truth, np.array([[255, 846, 255, 0]]), names=847, ignore=65535)
    assert (counts[255, 255], counts[255, 846], counts[846, 255], counts.sum()) == (1, 1, 1, 3)


def test_an_ignored_value_that_is_a_class_is_refused():
    with pytest.raises(ValueError, match="value 255 among 847 names"):
        confusion(np.array([3]), np.array([3]), names=847, ignore=255)


@pytest.mark.parametrize(
    ("truth", "guess", "message"),
    [
        ([0, 4], [0, 1], "truth has ids from 0 to 4; take 0 to 3"),
        ([0, -1], [0, 1], "truth has ids from -1 to 0"),
        ([2, 9], [0, 4], "guess has ids from 0 to 4"),
        ([2, 1], [0, -1], "guess has ids from -1 to 0"),
    ],
)
def test_ids_that_are_no_class_are_refused(truth, guess, message):
    with pytest.raises(ValueError, match=message):
        confusion(np.array(truth), np.array(guess), names=4, ignore=9)


def test_iou_agrees_with_sets_of_pixels():
    truth, guess = unlike((11, 19), 4, 9)
    scores = scores_of(confusion(truth, guess, names=4, ignore=9))
    places = [place for place in product(range(11), range(19)) if truth[place] != 9]
    for name in range(4):
        true = {place for place in places if truth[place] == name}
        guessed = {place for place in places if guess[place] == name}
        assert scores.iou[name] == pytest.approx(len(true & guessed) / len(true | guessed))
    right = sum(truth[place] == guess[place] for place in places)
    assert scores.accuracy == pytest.approx(right / len(places))


def test_a_class_in_neither_truth_nor_guess_has_no_iou_and_is_left_out_of_the_mean():
    scores = scores_of([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert np.isnan(scores.iou[2])
    assert scores.miou == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_a_class_that_is_only_guessed_counts_as_zero():
    scores = scores_of([[3, 1], [0, 0]])
    assert scores.iou.tolist() == [0.75, 0]


def test_mean_over_classes_seen_often_enough():
    scores = scores_of([[3, 1, 0], [0, 4, 0], [0, 5, 5]], photos=[10, 9, 30])
    assert scores.miou_over(least=10) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert scores.seen_in(least=10).tolist() == [0, 2]
    assert math.isnan(scores.miou_over(least=31))


def test_nothing_counted_has_no_value_and_no_warning():
    scores = scores_of(np.zeros((2, 2), int), photos=[0, 0])
    assert math.isnan(scores.miou)
    assert math.isnan(scores.accuracy)
    assert scores.as_json()["miou"] is None


def test_a_perfect_segmenter_scores_100_and_order_of_photos_does_not_matter():
    truths = [unlike((5, 7), 4, 9, seed)[0] for seed in range(3)]
    perfect = [np.where(truth == 9, 0, truth) for truth in truths]
    assert evaluate(segmenter(perfect), Memory(truths), progress=False).miou == 1
    guesses = [unlike((5, 7), 4, 9, seed)[1] for seed in range(3)]
    forth = evaluate(segmenter(guesses), Memory(truths), progress=False)
    back = evaluate(segmenter(guesses[::-1]), Memory(truths[::-1]), progress=False)
    assert np.array_equal(forth.counts, back.counts)


def test_counts_are_pooled_before_they_are_divided():
    truths = [np.zeros((1, 2), np.int64), np.zeros((3, 4), np.int64)]
    guesses = [np.ones((1, 2), np.int64), np.zeros((3, 4), np.int64)]
    scores = evaluate(segmenter(guesses), Memory(truths), progress=False)
    assert scores.iou[0] == pytest.approx(12 / 14)


def test_photos_are_counted_by_what_their_truth_shows():
    truths = [np.array([[0, 0, 3]]), np.array([[3, 9], [9, 3]]), np.array([[9]])]
    guesses = [np.ones_like(truth) for truth in truths]
    scores = evaluate(segmenter(guesses), Memory(truths), progress=False)
    assert scores.photos.tolist() == [1, 0, 0, 2]
    assert scores.photos_total == 3


def test_limit_scores_the_first_photos_and_says_so():
    truths = [np.full((2, 3), index) for index in range(4)]
    scores = evaluate(segmenter(truths), Memory(truths), progress=False, limit=2)
    assert scores.photos.tolist() == [1, 1, 0, 0]
    assert scores.banner is not None
    assert scores.banner.startswith("PARTIAL SET: 2 photos of 4")
    assert scores.table().startswith("PARTIAL SET")
    assert scores.as_json()["partial"] is True


def test_a_set_of_another_size_than_the_official_one_is_partial():
    truths = [np.zeros((2, 3), np.int64)] * 4
    ask = segmenter(truths)
    banner = evaluate(ask, Memory(truths, 5), progress=False).banner
    assert banner is not None
    assert banner.startswith("PARTIAL SET: 4 photos of 5")
    for official in (4, None):
        assert evaluate(ask, Memory(truths, official), progress=False).banner is None


def test_a_map_of_another_size_or_of_scores_is_refused():
    truth = [np.zeros((2, 3), np.int64)]
    with pytest.raises(ValueError, match="photo 0"):
        evaluate(segmenter([truth[0].T]), Memory(truth), progress=False)
    with pytest.raises(ValueError, match="float64; give class ids as integers"):
        evaluate(segmenter([truth[0] / 2]), Memory(truth), progress=False)
    with pytest.raises(ValueError, match="limit is 0"):
        evaluate(segmenter(truth), Memory(truth), progress=False, limit=0)


def test_json_is_in_percent_and_null_where_there_is_no_value():
    scores = scores_of([[3, 1, 0], [0, 4, 0], [0, 0, 0]], photos=[12, 2, 0])
    read = json.loads(json.dumps(scores.as_json(), allow_nan=False))
    assert read["miou"] == pytest.approx(77.5)
    assert read["per_class"] == {"0": 75, "1": pytest.approx(80), "2": None}
    assert read["photos"] == {"0": 12, "1": 2, "2": 0}
    assert (read["miou_10"], read["classes_10"]) == (75, 1)
    assert (read["accuracy"], read["photos_total"]) == (87.5, 3)


def test_the_table_is_aligned_and_complete():
    scores = replace(scores_of([[3, 1], [0, 4]], photos=[12, 2]), classes=("dog", "traffic light"))
    lines = scores.table().splitlines()
    assert lines[1:3] == [
        "dog                12     50.00   75.00",
        "traffic light       2     50.00   80.00",
    ]
    assert lines[3] == "mIoU 77.50 over 2 classes (all that occur)"
    assert lines[4] == "mIoU 75.00 over 1 classes (in 10 photos or more)"
    assert len({len(line) for line in lines[:3]}) == 1


def test_the_protocol_is_what_the_scorer_needs():
    assert isinstance(Memory([]), Benchmark)


@pytest.mark.parametrize("labels", ["plain", "reduce_zero"])
def test_golden_simzss_metric(labels):
    """The functions of mmsegmentation 0.27 on three photos."""
    other = "plain" if labels == "reduce_zero" else "reduce_zero"
    golden = Golden("simzss_metric", excused={f"{other}.*": "the other case of this test"})
    names, ignore = int(golden.metadata["num_classes"]), int(golden.metadata["ignore_index"])
    shift = int(labels == "reduce_zero")
    truth = golden[f"{labels}.label"].numpy()
    guess = golden[f"{labels}.pred"].numpy()
    ids, void = range(shift, names + shift), (ignore, *range(shift))
    counts = np.zeros((names, names), np.int64)
    for values, guessed in zip(truth, guess, strict=True):
        relabelled = relabel(values, ids=ids, void=void, ignore=ignore)
        counts += confusion(relabelled, guessed, names=names, ignore=ignore)
    scores = scores_of(counts)
    assert np.array_equal(scores.intersections, golden[f"{labels}.intersect"].numpy())
    assert np.array_equal(scores.unions, golden[f"{labels}.union"].numpy())
    iou = np.nan_to_num(scores.iou, nan=-1)
    assert np.allclose(iou, golden[f"{labels}.iou"].numpy(), rtol=0, atol=1e-6)
    assert scores.miou == pytest.approx(golden[f"{labels}.miou"].item(), abs=1e-6)
    assert scores.accuracy == pytest.approx(golden[f"{labels}.accuracy"].item(), abs=1e-6)
    golden.all_compared()


def test_a_map_of_a_photo_that_was_shown_smaller_is_enlarged_to_its_labels():
    draw = np.random.default_rng(3)
    truth, guess = draw.integers(3, size=(7, 11)), draw.integers(3, size=(4, 5))
    found = as_labelled(guess, Item("big", Image.new("RGB", (5, 4)), truth))
    for row, col in np.ndindex(7, 11):
        assert found[row, col] == guess[int(row * 4 / 7), int(col * 5 / 11)]


def test_a_map_of_another_size_than_its_photo_is_not_enlarged():
    small = Item("big", Image.new("RGB", (5, 4)), np.zeros((8, 10), int))
    turned = np.zeros((5, 4), int)
    assert as_labelled(turned, small) is turned
