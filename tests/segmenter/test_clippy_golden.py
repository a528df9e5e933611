"""What the released CLIPpy made of features: pooled vectors, loss, dense maps, classifier.

One file is compared by many tests; each excuses the groups that others read.
"""

import math
import re

import pytest
import torch
import torch.nn.functional as F
from colours import Dictionary, Reader
from golden import Golden

from whatwhere.concepts.prompts import Prompts
from whatwhere.heads.identity import Identity
from whatwhere.model import Model
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.pooling.patches import PatchPool
from whatwhere.records import (
    Batch,
    Encoded,
    EncodedImages,
    EncodedTexts,
    ImageFeatures,
    Sizes,
    Tokens,
)
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Reading
from whatwhere.segmenter.windows import Window
from whatwhere.similarity.cosine import Cosine
from whatwhere.training.schedule import lr_at
from whatwhere.training.settings import Training

ELSEWHERE = {
    "sd.*": "weights, read by the tests of the encoders",
    "txt.*": "the text encoder has its own test",
    "voc.*": "from pictures and prompts to counts: tests/runs/test_clippy_voc_golden.py",
    "metric.*": "counted in tests/benchmarks",
    "pdrop.*": "dropping patches: tests of the image encoder",
    "native*": "a baseline: tests of the image encoder",
    "infer.square_*": "other resolutions: tests of the image encoder",
    "infer.wide.*": "other resolutions: tests of the image encoder",
    "infer.tall.*": "other resolutions: tests of the image encoder",
}
HERE = ("img.", "infer.", "loss.", "dense.", "zs.", "lr.")


def assert_close(found, expected, *, atol=1e-5):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=atol)


def golden_of(*groups: str, **more: str) -> Golden:
    others = {f"{group}*": "another test of this file" for group in HERE if group not in groups}
    return Golden("clippy", excused=ELSEWHERE | others | more)


def features_of(tokens):
    """Tokens [batch, 1 + side * side, width], CLS first."""
    side = math.isqrt(tokens.shape[1] - 1)
    return ImageFeatures(tokens[:, 1:].unflatten(1, (side, side)), tokens[:, 0])


def encoded_by(pool, tokens):
    model = Model(torch.nn.Identity(), Identity().build(Sizes()), pool, None, None)
    return pool(features_of(tokens)), model.encode_features(features_of(tokens))


def test_golden_clippy_pooling():
    golden = golden_of(
        "img.",
        "infer.",
        **{"img.input": "pixels, for the test of the image encoder"},
    )
    tokens = golden["img.tokens"]
    for pool, name in (
        (PatchPool("cls"), "infer.cls"),
        (PatchPool("mean"), "infer.gap"),
        (PatchPool("max"), "infer.gmp"),
        (PatchPool("max", with_cls=True), "img.embed"),
    ):
        pooled, encoded = encoded_by(pool, tokens)
        assert_close(pooled.image, golden[name])
        assert_close(encoded.image, golden[f"{name}_norm"])
    assert_close(pooled.regions, golden["infer.all"])
    assert_close(encoded.regions, golden["infer.all_norm"])
    assert_close(encoded.regions, golden["img.tokens_norm"][:, 1:])
    golden.all_compared()


def loss_of(image, caption, log_scale):
    """Our objective on vectors that are normalised first; the module, for its gradient."""
    image, caption = F.normalize(image, dim=-1), F.normalize(caption, dim=-1)
    images = EncodedImages(image, image[:, None], None, (1, 1))
    texts = EncodedTexts(caption[:, None], caption)
    similarity = Cosine().build(Sizes(dim=image.shape[1]))
    contrastive = Contrastive().build(Sizes())
    contrastive.logit_scale.data.fill_(log_scale)
    ids = torch.zeros(len(image), 1, dtype=torch.long)
    batch = Batch(Tokens(ids, ids == 0, torch.zeros(len(image), 1, 2, dtype=torch.long)))
    encoded = Encoded(images, texts, similarity.pairs(images, texts))
    return contrastive(batch, encoded).total, encoded.pairs, contrastive


def test_golden_clippy_loss():
    golden = golden_of(
        "loss.",
        "img.",
        **{"img.input": "image encoder", "img.tokens*": "pooling", "img.embed": "pooling"},
    )
    del golden.excused["txt.*"]
    golden.excused |= {key: "text encoder" for key in golden.tensors if key.startswith("txt.")}
    image, caption = golden["img.embed_norm"], golden["txt.embed"]
    scale = golden["loss.logit_scale_exp"].item()
    loss, pairs, _ = loss_of(image, caption, math.log(scale))
    assert_close(scale * pairs.image_to_text, golden["loss.logits_per_image"])
    assert_close(loss, golden["loss.value"].reshape(()))
    for case in ("a", "b"):
        vectors = [golden[f"loss.{case}.{side}_raw"].requires_grad_() for side in ("image", "text")]
        log_scale = golden[f"loss.{case}.logit_scale"].item()
        loss, _, contrastive = loss_of(*vectors, log_scale)
        assert_close(loss, golden[f"loss.{case}.value"].reshape(()))
        loss.backward()
        for side, vector in zip(("image", "text"), vectors, strict=True):
            assert_close(vector.grad, golden[f"loss.{case}.grad_{side}_raw"], atol=2e-5)
        expected = golden[f"loss.{case}.grad_logit_scale"].reshape(1)
        assert_close(contrastive.logit_scale.grad, expected, atol=2e-4)
    golden.all_compared()


def spread(scores, size):
    """Dense scores of one picture at `size`, as the segmenter spreads them over a window."""
    canvas, hits = torch.zeros(len(scores), *size), torch.zeros(size)
    Window(0, 0, *size).add(scores, canvas, hits)
    return canvas


def test_golden_clippy_dense():
    golden = golden_of("dense.")
    regions, names = golden["dense.patch_embeddings"], golden["dense.class_embeddings"]
    side = math.isqrt(regions.shape[1])
    images = EncodedImages(regions[:, 0], regions, None, (side, side))
    readout = Cosine().build(Sizes(dim=regions.shape[2])).readout
    dense = readout.dense(images, readout.names(names))
    similarity = golden["dense.similarity_bilinear"]
    found = torch.stack([spread(scores, tuple(similarity.shape[2:])) for scores in dense])
    assert_close(found, similarity)
    # Blocky maps, which the segmenter does not offer: the scores of patches as they are.
    blocks = F.interpolate(dense, tuple(similarity.shape[2:]), mode="nearest")
    assert_close(blocks, golden["dense.similarity_nearest"])
    assert_names(blocks, golden["dense.class_map_nearest"][:, 0].long())
    for name in ("dense.class_map_bilinear", "dense.class_map_at_input_size"):
        expected = golden[name][:, 0].long()
        found = torch.stack([spread(scores, tuple(expected.shape[1:])) for scores in dense])
        assert_names(found, expected)
    golden.all_compared()


def assert_names(scores, expected):
    """The best name of each pixel, where the second is not so near that machines differ."""
    best = scores.topk(2, dim=1).values
    clear = best[:, 0] - best[:, 1] > 1e-5
    assert clear.float().mean() > 0.99
    assert torch.equal(scores.argmax(dim=1)[clear], expected[clear])


def test_golden_clippy_classifier():
    """The segmenter's own averaging of prompts, with the stored vectors as the text encoder."""
    golden = golden_of(
        "zs.",
        "img.",
        **{"img.input": "image encoder", "img.tokens*": "pooling", "img.embed": "pooling"},
    )
    prompts = golden["zs.prompt_embeddings"]
    names = [f"name{i}" for i in range(len(prompts))]
    texts = [text for name in names for text in Prompts("imagenet")(name)]
    assert len(texts) == prompts.shape[0] * prompts.shape[1]

    class Whole(Dictionary):
        """Every prompt is one word."""

        def clean(self, text):
            return text.replace(" ", "_")

    tokenizer = Whole([text.replace(" ", "_") for text in texts])
    model = Model(
        torch.nn.Identity(),
        Identity().build(Sizes()),
        PatchPool(),
        Reader(tokenizer, prompts.flatten(0, 1)),
        Cosine().build(Sizes(dim=prompts.shape[2])),
    )
    segment = Segmenter(model, Reading(prompts="imagenet", chunk=3))
    vectors, _ = segment.name_vectors([(name,) for name in names])
    assert_close(vectors.mT, golden["zs.classifier"])
    assert_close(100 * golden["img.embed_norm"] @ vectors.mT, golden["zs.logits"], atol=1e-4)
    golden.all_compared()


def test_golden_clippy_learning_rate():
    golden = golden_of("lr.")
    (name,) = (key for key in golden.tensors if key.startswith("lr."))
    found = re.fullmatch(r"lr\.steps_0_to_\d+_base(.+)_warm(\d+)_total(\d+)", name)
    assert found is not None
    lr, warmup, steps = found.groups()
    settings = Training(steps=int(steps), lr=float(lr), warmup=float(warmup))
    rates = [lr_at(step, settings) for step in range(len(golden[name]))]
    assert rates == pytest.approx(golden[name].tolist(), rel=1e-5, abs=1e-11)
    golden.all_compared()
