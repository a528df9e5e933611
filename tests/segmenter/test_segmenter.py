"""Painted pictures get their colours back, whatever the windows, chunks and background rules."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from colours import RGB, SMALL, Dictionary, Reader, code, mosaic, painting, segmenter
from einops import rearrange
from golden import Golden
from PIL import Image
from torch import nn

from whatwhere.concepts.prompts import Prompts
from whatwhere.heads.identity import Identity
from whatwhere.model import Model
from whatwhere.pooling.patches import PatchPool
from whatwhere.records import ImageFeatures, Sizes
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Background, Reading, parse_background
from whatwhere.similarity.cosine import Cosine

WINDOWS = replace(SMALL, window=16, stride=8)
SCENE = (["red", "red", "green", "blue", "blue"], ["red", "green", "green", "blue", "white"])


def softmax(*cosines):
    powers = [math.exp(c / 0.07) for c in cosines]
    return [p / sum(powers) for p in powers]


@pytest.mark.parametrize("reading", [SMALL, WINDOWS, replace(WINDOWS, stride=12)])
def test_every_pixel_gets_the_name_of_its_colour(reading):
    names = ["green", "white", "red", "blue"]
    found = segmenter(reading)(painting(*SCENE), names)
    expected = np.array([[names.index(name) for name in row] for row in SCENE])
    patches = found.labels[1::4, 1::4]  # their centres; at corners, patches of one colour join
    assert np.array_equal(patches, expected.repeat(2, axis=0).repeat(2, axis=1))
    assert found.names == tuple(names)


def test_a_larger_copy_of_a_picture_has_a_larger_copy_of_the_map():
    small = segmenter()(painting(*SCENE), "red, green, blue, white").labels
    reading = replace(WINDOWS, side=32)
    large = segmenter(reading)(painting(*SCENE, block=24), "red, green, blue, white").labels
    assert large.shape == (48, 120)
    assert np.array_equal(large[5::12, 5::12], small[1::4, 1::4])


def test_bilinear_pictures_mix_four_pixels_and_no_more():
    """At 3 of 7 pixels, OpenCV looks between two of each axis and skips the others."""
    picture = mosaic(14, 35)
    pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).double() / 255
    segment = segmenter(replace(SMALL, side=6, resize="bilinear"))
    seen = segment._resized(picture)
    expected = torch.zeros(3, 6, 15, dtype=torch.double)
    for row in range(6):
        for col in range(15):
            y, x = (row + 0.5) * 14 / 6 - 0.5, (col + 0.5) * 35 / 15 - 0.5
            top, left = math.floor(y), math.floor(x)
            for i, down in ((top, 1 - y + top), (top + 1, y - top)):
                for j, right in ((left, 1 - x + left), (left + 1, x - left)):
                    expected[:, row, col] += pixels[:, i, j] * down * right
    assert torch.allclose(seen.double(), expected, atol=1e-6)


def test_confidence_of_a_pure_colour_is_a_softmax_of_known_cosines():
    found = segmenter()(painting(["red", "blue"]), "red, green, blue")
    corners = found.confidence[[0, -1], [0, -1]]
    assert corners == pytest.approx(softmax(1, 1 / 3, 1 / 3)[0], rel=1e-5)


def test_the_mean_over_windows_agrees_with_a_slow_loop():
    segment = segmenter(WINDOWS)
    picture = mosaic(22, 35)
    vectors = code(torch.rand(5, 3))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
    total, hits = torch.zeros(5, 22, 35), torch.zeros(22, 35)
    for top in (0, 6):
        for left in (0, 8, 16, 19):
            crop = pixels[None, :, top : top + 16, left : left + 16]
            patches = code(F.avg_pool2d(crop, 4)[0].movedim(0, -1))
            up = F.interpolate(
                (patches @ vectors.T).movedim(-1, 0)[None], (16, 16), mode="bilinear"
            )
            total[:, top : top + 16, left : left + 16] += up[0]
            hits[top : top + 16, left : left + 16] += 1
    torch.testing.assert_close(segment.scores(picture, vectors), total / hits)


@pytest.mark.parametrize("reading", [SMALL, replace(WINDOWS, side=20)])
def test_labels_and_confidence_are_those_of_all_scores_at_once(reading):
    segment = segmenter(reading, more=9)
    names = [f"c{i}" for i in range(9)]
    found = segment(mosaic(22, 35), names)
    vectors, _ = segment.name_vectors([(name,) for name in names])
    share, label = (segment.scores(mosaic(22, 35), vectors) / 0.07).softmax(dim=0).max(dim=0)
    assert np.array_equal(found.labels, label.numpy())
    np.testing.assert_allclose(found.confidence, share.numpy(), rtol=1e-5)


@pytest.mark.parametrize("chunk", [1, 4, 7])
def test_the_size_of_chunks_changes_nothing(chunk):
    """Names with one to six synonyms, so that some are larger than a chunk."""
    parts, start = [], 0
    for count in (1, 3, 1, 6, 2, 1, 1, 4, 5, 1):
        parts.append("|".join(f"c{i}" for i in range(start, start + count)))
        start += count
    readings = [replace(WINDOWS, chunk=size) for size in (chunk, 1000)]
    some, whole = (segmenter(reading, more=start)(mosaic(22, 35), parts) for reading in readings)
    assert np.array_equal(some.labels, whole.labels)
    np.testing.assert_allclose(some.confidence, whole.confidence, atol=1e-6, rtol=0)
    assert len(np.unique(whole.labels)) > 2


@pytest.mark.parametrize("names", [40, 400])
def test_no_more_than_a_chunk_of_names_is_scored_at_a_time(names, monkeypatch):
    segment = segmenter(replace(SMALL, chunk=16), more=names)
    readout, sizes = segment.model.similarity.readout, []
    dense = readout.dense
    monkeypatch.setattr(readout, "dense", lambda i, v: sizes.append(len(v)) or dense(i, v))
    segment(mosaic(12, 20), [f"c{i}" for i in range(names)])
    assert max(sizes) == 16 and sum(sizes) == names


def test_large_photos_are_scored_by_fewer_names_at_a_time(monkeypatch):
    monkeypatch.setattr("whatwhere.segmenter.SCORES", 3 * 12 * 20)
    segment = segmenter(replace(SMALL, chunk=16), more=10)
    readout, sizes = segment.model.similarity.readout, []
    dense = readout.dense
    monkeypatch.setattr(readout, "dense", lambda i, v: sizes.append(len(v)) or dense(i, v))
    segment(mosaic(12, 20), [f"c{i}" for i in range(10)])
    assert sizes == [3, 3, 3, 1]


def test_of_synonyms_the_best_counts():
    found = segmenter()(painting(["red", "green", "blue"]), "red|green, blue")
    assert found.labels[0, 2::8].tolist() == [0, 0, 1]
    assert found.names == ("red", "blue")
    assert found.confidence[0, 0] == pytest.approx(softmax(1, 1 / 3)[0], rel=1e-5)


def test_names_that_score_alike_go_to_the_first():
    found = segmenter()(painting(["red"]), "green, blue")
    assert not found.labels.any()
    assert found.confidence == pytest.approx(0.5, rel=1e-5)


def test_without_a_rule_nothing_is_background():
    found = segmenter()(painting(["red", "white"]), "green, blue")
    assert found.names == ("green", "blue")


@pytest.mark.parametrize(
    ("background", "labels"),
    [
        (Background("score", 0.3), [1, 2, 1, 1]),
        (Background("score", 0.34), [1, 2, 0, 0]),
        (Background("probability", 0.49), [1, 2, 1, 1]),
        (Background("probability", 0.51), [1, 2, 0, 0]),
        (Background("probability", 1.0), [0, 0, 0, 0]),
        (Background("names", names=("white",)), [1, 2, 1, 0]),
        (Background("names", names=("black | white", "red")), [1, 2, 0, 0]),
    ],
)
def test_background_rules(background, labels):
    """Green and blue are as far from red as from white: a cosine of 1/3, a share of a half."""
    picture = painting(["green", "blue", "red", "white"])
    given_now = segmenter()(picture, "green, blue", background=background)
    assert given_now.labels[3, 2::8].tolist() == labels
    assert given_now.names == ("background", "green", "blue")
    as_setting = segmenter(replace(SMALL, background=background))(picture, "green, blue")
    assert np.array_equal(as_setting.labels, given_now.labels)


def test_a_list_makes_background_of_its_names_but_not_of_those_asked_for():
    """The reader knows three names of the list, and no other."""
    segment = segmenter()
    colours = code(torch.tensor([RGB["red"], RGB["blue"], RGB["green"]]).float())
    segment.model.text_encoder = Reader(Dictionary(["wall", "sky", "grass"]), colours)
    picture = painting(["red", "blue", "green"])
    for names, labels in (
        ("sky", [0, 1, 0]),
        ("Grass, wall", [2, 0, 1]),
        ("lawn|grass", [0, 0, 1]),
    ):
        found = segment(picture, names, background=parse_background("list:voc60"))
        assert found.labels[4, [4, 12, 20]].tolist() == labels
        assert len(found.names) == 1 + len(names.split(","))


def test_a_rule_given_with_the_photo_overrules_the_setting():
    segment = segmenter(replace(SMALL, background=Background("score", 0.9)))
    assert segment(painting(["red"]), "green", background=Background()).names == ("green",)


@pytest.mark.parametrize(
    ("names", "background", "said"),
    [
        ("red, background", Background("score", 0.2), "background"),
        ("red, Green", Background("names", names=("blue", "green")), "Green"),
        ("red", Background("names"), "no names"),
    ],
)
def test_what_would_be_both_background_and_not_is_refused(names, background, said):
    with pytest.raises(ValueError, match=said):
        segmenter()(painting(["red"]), names, background=background)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 2), (5, 400), (37, 50)])
def test_photos_of_any_size_keep_it(size):
    reading = replace(WINDOWS, side=20, long=64)
    found = segmenter(reading)(mosaic(*size), "red, green")
    assert found.labels.shape == found.confidence.shape == size
    assert found.confidence.min() > 0 and found.confidence.max() <= 1
    assert segmenter()(mosaic(*size), "red, green").labels.shape == size


def test_a_panorama_is_not_blown_up(monkeypatch):
    """Its short side at the wanted size would make it wider than memory allows."""
    segment = segmenter(replace(WINDOWS, side=20, long=64))
    encoder, sizes = segment.model.image_encoder, []
    forward = encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda x: sizes.append(x.shape) or forward(x))
    assert segment(mosaic(2, 640), "red, green").labels.shape == (2, 640)
    assert sum(shape[0] for shape in sizes) == 7  # windows 16 wide, 8 apart, on 64 pixels


def test_a_photo_smaller_than_a_patch_is_seen():
    found = segmenter()(painting(["blue"], block=3), "red, blue")
    assert found.labels.all() and found.labels.shape == (3, 3)


def test_transposed_pictures_have_transposed_maps():
    picture = mosaic(22, 35)
    turned = picture.transpose(Image.Transpose.TRANSPOSE)
    one, two = (
        segmenter(WINDOWS, more=6)(p, [f"c{i}" for i in range(6)]) for p in (picture, turned)
    )
    np.testing.assert_allclose(one.confidence.T, two.confidence, rtol=1e-4)
    assert (two.labels == one.labels.T).mean() > 0.999


def test_names_are_encoded_once(monkeypatch):
    segment = segmenter()
    calls, encode = [], segment.model.encode_texts
    monkeypatch.setattr(segment.model, "encode_texts", lambda t: calls.append(1) or encode(t))
    for block in (8, 16):
        segment(painting(["red"], block=block), "red, green")
    assert len(calls) == 1


def test_the_vector_of_a_name_is_the_mean_of_its_prompts():
    """Each prompt's vector has length one before, and their mean after."""
    segment = segmenter(replace(SMALL, prompts="seven"), more=2)
    dictionary = Dictionary([*segment.model.text_encoder.tokenizer.words, "origami", "bad"])
    vectors = torch.cat([segment.model.text_encoder.table[1:], torch.randn(2, 6)])
    segment.model.text_encoder = Reader(dictionary, vectors)
    found, owner = segment.name_vectors([("c0", "c1"), ("red",)])
    expected = []
    for name in ("c0", "c1", "red"):
        sums = [
            vectors[[dictionary.words.index(w) for w in text.split() if w in dictionary.words]].sum(
                0
            )
            for text in map(dictionary.clean, Prompts("seven")(name))
        ]
        expected.append(F.normalize(F.normalize(torch.stack(sums), dim=1).mean(0), dim=0))
    torch.testing.assert_close(found, torch.stack(expected))
    assert owner.tolist() == [0, 0, 1]


def test_the_model_of_a_segmenter_is_not_in_training_and_keeps_no_graph():
    segment = segmenter()
    segment.model.image_encoder.light.requires_grad_()
    assert not segment.model.training
    assert not segment.scores(mosaic(8, 12), torch.randn(3, 6)).requires_grad


class Convolution(nn.Module):
    """The toy encoder of the golden slides: pixels as they are, through one convolution."""

    weight: torch.Tensor
    mean, std, frozen, size = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), True, 56

    def __init__(self, weight):
        super().__init__()
        self.register_buffer("weight", weight)
        self.width, self.patch = len(weight), weight.shape[-1]

    def grid(self, height, width):
        return height // self.patch, width // self.patch

    def forward(self, images, inject=None):
        maps = F.conv2d(images, self.weight, stride=self.patch)
        return ImageFeatures(rearrange(maps, "b width rows cols -> b rows cols width"))


def test_golden_simzss_slide():
    golden = Golden("simzss_slide")
    window, stride = (int(golden.metadata[key].split("x")[0]) for key in ("crop", "stride"))
    vectors, weight = golden["class_embedding"], golden["patch_conv_weight"]
    similarity = Cosine().build(Sizes(dim=len(weight)))
    model = Model(Convolution(weight), Identity().build(Sizes()), PatchPool(), None, similarity)
    segment = Segmenter(model, Reading(side=0, window=window, stride=stride))
    for case in sorted({key.split(".")[0] for key in golden.tensors if "." in key}):
        image, pred = golden[f"{case}.image"][0], golden[f"{case}.pred"][0]
        seen = segment.slide(image, vectors=vectors, full=(image.shape[1], image.shape[2]))
        torch.testing.assert_close(seen, golden[f"{case}.logits"][0], rtol=1e-4, atol=1e-5)
        found = segment.slide(image, vectors=vectors, full=(pred.shape[0], pred.shape[1]))
        expected = golden[f"{case}.logits_original_size"][0]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert (found.argmax(dim=0) == pred).float().mean() >= 0.999
    golden.all_compared()


def test_other_names_can_be_asked_without_looking_again():
    segment, photo = segmenter(SMALL), painting(*SCENE)
    looked = segment.look(photo)
    for names in ("red, blue", "green|white, red"):
        again, anew = segment(looked, names), segment(photo, names)
        assert (again.labels == anew.labels).all()
        assert (again.confidence == anew.confidence).all()
