"""The published manner of evaluation, from the photo to mIoU, against its definition in a loop.

The unified protocol of GroupViT and TCL (arXiv 2212.00785) that SimZSS and others report by.
"""

import math
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from colours import Dictionary, Reader, code, mosaic, segmenter

from whatwhere.benchmarks.score import Scores, confusion
from whatwhere.concepts.prompts import clip_templates
from whatwhere.segmenter.reading import Background, Reading

NAMES = [f"c{i}" for i in range(5)]
WORDS = [*NAMES, "a", "bad", "photo", "origami", "many", "the"]
READING = Reading(
    side=16,
    long=30,
    window=16,
    stride=8,
    resize="bilinear",
    prompts="imagenet",
    background=Background("score", 0.93),
)


def reading_model(reading=READING):
    segment = segmenter(reading)
    torch.manual_seed(5)
    # Colours are never negative, so names that all fit a little keep scores apart from rounding.
    vectors = torch.rand(len(WORDS), 6)
    segment.model.text_encoder = Reader(Dictionary(WORDS), vectors)
    return segment, vectors


def class_vectors(vectors):
    """normalise(mean over templates of normalise(text))."""
    rows = []
    for name in NAMES:
        texts = [
            template(name).lower().replace(".", " ") for template in clip_templates("imagenet")
        ]
        assert len(texts) == 80
        embedded = [
            sum(vectors[WORDS.index(word)] for word in text.split()[:9] if word in WORDS)
            for text in texts
        ]
        rows.append(F.normalize(F.normalize(torch.stack(embedded), dim=1).mean(dim=0), dim=0))
    return torch.stack(rows)


def slow_scores(picture, vectors):
    height, width = picture.height, picture.width
    factor = min(READING.long / max(height, width), READING.side / min(height, width))
    new = (int(height * factor + 0.5), int(width * factor + 0.5))
    pixels = torch.from_numpy(np.array(picture)).movedim(-1, 0).float()[None] / 255
    pixels = F.interpolate(pixels, new, mode="bilinear", align_corners=False)
    total, hits = torch.zeros(1, 5, *new), torch.zeros(new)
    rows, cols = (max(n - 16 + 8 - 1, 0) // 8 + 1 for n in new)
    for i in range(rows):
        for j in range(cols):
            bottom, right = min(i * 8 + 16, new[0]), min(j * 8 + 16, new[1])
            top, left = max(bottom - 16, 0), max(right - 16, 0)
            crop = pixels[:, :, top:bottom, left:right]
            patches = code(F.avg_pool2d(crop, 4).movedim(1, -1))
            scores = (patches @ vectors.T).movedim(-1, 1)
            up = F.interpolate(scores, crop.shape[2:], mode="bilinear", align_corners=False)
            total[:, :, top:bottom, left:right] += up
            hits[top:bottom, left:right] += 1
    mean = total / hits
    return F.interpolate(mean, (height, width), mode="bilinear", align_corners=False)[0]


def test_class_vectors_are_the_normalised_mean_over_80_templates():
    segment, vectors = reading_model()
    found, owner = segment.name_vectors([(name,) for name in NAMES])
    torch.testing.assert_close(found, class_vectors(vectors))
    assert owner.tolist() == list(range(5))


def test_scores_are_added_divided_and_only_then_brought_to_the_photo():
    segment, vectors = reading_model()
    for size in ((23, 37), (41, 23), (60, 24)):
        picture = mosaic(*size)
        found = segment.scores(picture, class_vectors(vectors))
        torch.testing.assert_close(found, slow_scores(picture, class_vectors(vectors)))


def test_labels_are_a_constant_background_score_before_the_names_and_an_arg_max():
    segment, vectors = reading_model()
    picture = mosaic(23, 37)
    scores = slow_scores(picture, class_vectors(vectors))
    constant = torch.full((1, 23, 37), READING.background.threshold)
    expected = torch.cat([constant, scores]).argmax(dim=0).numpy()
    found = segment(picture, NAMES)
    assert (found.labels == expected).mean() > 0.998
    assert 0.05 < (expected == 0).mean() < 0.95 and len(np.unique(expected)) > 2
    assert found.names == ("background", *NAMES)


def test_probabilities_are_a_softmax_of_the_resized_scores():
    rule = Background("probability", 0.25)
    segment, vectors = reading_model(replace(READING, background=rule, scale=9.0))
    picture = mosaic(23, 37)
    share = (9 * slow_scores(picture, class_vectors(vectors))).softmax(dim=0)
    best, label = share.max(dim=0)
    expected = torch.where(best < rule.threshold, 0, label + 1).numpy()
    found = segment(picture, NAMES)
    np.testing.assert_allclose(found.confidence, best.numpy(), rtol=1e-4)
    assert (found.labels == expected).mean() > 0.998
    assert 0.05 < (expected == 0).mean() < 0.95


def test_miou_is_the_mean_of_pooled_ious_without_classes_that_occur_nowhere():
    truth = np.array([[0, 0, 1, 255], [1, 1, 2, 2]])
    guess = np.array([[0, 1, 1, 0], [1, 0, 2, 1]])
    counts = confusion(truth, guess, names=4, ignore=255)
    scores = Scores(("a", "b", "c", "d"), counts, np.ones(4, np.int64), 1)
    by_hand = [1 / 3, 2 / 5, 1 / 2, math.nan]
    np.testing.assert_allclose(scores.iou, by_hand)
    assert math.isclose(scores.miou, float(np.nanmean(by_hand)))
