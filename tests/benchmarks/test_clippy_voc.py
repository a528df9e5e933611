"""The released evaluator's counting, and what its pairing of photos and masks does to them."""

import json

import numpy as np
import pytest
from golden import Golden
from PIL import Image

from benchmarks.test_voc import devkit
from whatwhere.benchmarks import Item
from whatwhere.benchmarks.clippy_voc import (
    WHY,
    BothScores,
    BothWays,
    load,
    released_iou,
    squashed,
)
from whatwhere.benchmarks.score import Scores, confusion

OTHER_TESTS = {
    "sd.*": "weights; the encoders are compared with what they give",
    "img.*": "image encoder",
    "infer.*": "poolings of the image encoder",
    "txt.*": "text encoder",
    "loss.*": "objective",
    "lr.*": "schedule of training",
    "dense.*": "segmenter",
    "zs.*": "classifier from prompts",
    "pdrop.*": "token dropping in training",
    "native*": "an encoder that is not of the method",
    "voc.*": "from pictures and prompts to counts: tests/runs/test_clippy_voc_golden.py",
}


def scores_of(counts, photos=(3, 3, 0), classes=("sky", "dog", "cat")):
    return Scores(classes, np.array(counts), np.array(photos), 3, 3)


def test_golden_clippy_metric():
    """Absent classes count as zero, guesses from 21 on are background."""
    golden = Golden("clippy", excused=OTHER_TESTS)
    confused = golden["metric.confusion_rows_label_cols_pred"].numpy()
    names = len(confused)
    counts = np.zeros((names, names), np.int64)
    for i in range(2):
        truth = golden[f"metric.label{i}"].long().numpy()
        guess = golden[f"metric.pred{i}"].long().numpy()
        folded = np.where(guess < names, guess, 0)
        counts += confusion(truth, folded, names=names, ignore=255)
    assert np.array_equal(counts, confused)
    classes = tuple(map(str, range(names)))
    iou = released_iou(scores_of(counts, photos=[0] * names, classes=classes))
    assert np.allclose(iou, golden["metric.iou_per_class"].numpy(), rtol=0, atol=1e-6)
    assert iou.mean() == pytest.approx(golden["metric.miou"].item(), abs=1e-6)
    golden.all_compared()


def test_a_class_that_occurs_nowhere_counts_as_zero_in_the_released_way_only():
    scores = scores_of([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert released_iou(scores) == pytest.approx([3 / 4, 4 / 5, 0])
    assert scores.miou == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_a_wide_photo_is_not_held_against_its_own_pixels():
    """A dog in the left quarter is outside the crop, but in a quarter of the squashed mask."""
    labels = np.zeros((40, 80), np.int64)
    labels[:, :20] = 12
    colours = np.array([[0, 0, 255], [255, 0, 0]], np.uint8)
    pixels = colours[(labels == 12).astype(int)]
    small = squashed(Item("wide", Image.fromarray(pixels), labels), side=16)
    assert small.image.size == (16, 16) and small.labels.shape == (16, 16)
    assert (np.asarray(small.image)[..., 0] < 30).all()  # but for a trace of red at the edge
    assert (small.labels == 12).mean() == 1 / 4 and (small.labels[:, :4] == 12).all()


def test_a_square_photo_keeps_its_labels_on_its_pixels():
    draw = np.random.default_rng(0)
    labels = draw.choice([0, 7, 20, 255], size=(12, 12))
    item = Item("square", Image.fromarray(labels.astype(np.uint8)).convert("RGB"), labels)
    same = squashed(item, side=12)
    assert np.array_equal(same.labels, labels)
    assert np.array_equal(np.asarray(same.image)[..., 1], labels)
    smaller = squashed(item, side=5)
    nearest = ((np.arange(5) + 0.5) * 12 / 5).astype(int)
    assert np.array_equal(smaller.labels, labels[nearest][:, nearest])


def test_classes_are_said_as_the_released_code_says_them(tmp_path):
    devkit(tmp_path)
    benchmark = load(str(tmp_path))
    assert isinstance(benchmark, BothWays)
    assert (benchmark.name, len(benchmark), benchmark.photos.official) == ("clippy_voc", 1, 1449)
    said = dict(zip(benchmark.photos.classes, benchmark.photos.names, strict=True))
    assert said["diningtable"] == ("table",) and said["tvmonitor"] == ("television monitor",)
    assert said["pottedplant"] == ("potted plant",) and said["sofa"] == ("sofa",)


def test_both_scores_stand_side_by_side_with_the_reason():
    both = BothScores(
        released=scores_of([[3, 1, 0], [0, 4, 0], [0, 0, 0]]),
        correct=scores_of([[9, 1, 0], [0, 5, 0], [0, 0, 0]]),
    )
    lines = both.table().splitlines()
    assert lines[:4] == [
        "IoU %  photos  released  correct",
        "sky         3     75.00    90.00",
        "dog         3     80.00    83.33",
        "cat         0      0.00        -",
    ]
    assert lines[4].startswith(
        "mIoU 51.67 as released over all 3 classes, 86.67 correct over the 2"
    )
    assert lines[5:] == ["mIoU - correct over 0 classes (in 10 photos or more)", WHY]
    said = json.loads(json.dumps(both.as_json(), allow_nan=False))
    assert said["miou"] == pytest.approx(100 * (0.9 + 5 / 6) / 2)
    assert said["released"]["miou"] == pytest.approx(100 * 1.55 / 3)
    assert said["released"]["per_class"]["cat"] == 0 and said["per_class"]["cat"] is None


def test_the_correct_mean_over_classes_with_enough_photos_is_told_too():
    counts = [[9, 1, 0], [0, 5, 0], [0, 0, 7]]
    both = BothScores(scores_of(counts), scores_of(counts, photos=(12, 3, 30)))
    assert "mIoU 95.00 correct over 2 classes (in 10 photos or more)" in both.table().splitlines()
    said = both.as_json()
    assert (said["miou_10"], said["classes_10"]) == (pytest.approx(95), 2)
