"""Pictures against prompts: closed forms, a slow loop, symmetry; processes: tests/released."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from whatwhere.objectives.multi_label import MultiLabel, multi_label_nce
from whatwhere.records import Batch, Encoded, EncodedImages, EncodedTexts, Pairs, Sizes, Tokens

BATCH, LABELS, DIM = 4, 3, 6


def unit(*shape):
    return F.normalize(torch.randn(*shape), dim=-1)


@pytest.fixture
def vectors():
    torch.manual_seed(0)
    return unit(BATCH, DIM), unit(BATCH * LABELS, DIM)


def test_agrees_with_a_slow_loop(vectors):
    images, prompts = vectors
    scores = (images @ prompts.T * 9).tolist()
    total = 0.0
    for i, row in enumerate(scores):
        whole = math.log(sum(math.exp(s) for s in row))
        own = row[LABELS * i : LABELS * (i + 1)]
        total += sum(whole - s for s in own) / LABELS / BATCH
    for j in range(BATCH * LABELS):
        column = [scores[i][j] for i in range(BATCH)]
        whole = math.log(sum(math.exp(s) for s in column))
        total += (whole - column[j // LABELS]) / (BATCH * LABELS)
    assert multi_label_nce(images, prompts, scale=9.0).item() == pytest.approx(total / 2, rel=1e-5)


def test_knowing_nothing_costs_the_logarithm_of_the_choices():
    same = F.normalize(torch.ones(1, DIM), dim=-1)
    found = multi_label_nce(same.expand(BATCH, -1), same.expand(BATCH * LABELS, -1), scale=50.0)
    assert found.item() == pytest.approx((math.log(BATCH * LABELS) + math.log(BATCH)) / 2)


def test_knowing_all_costs_only_the_sharing_among_own_prompts():
    images = torch.eye(BATCH, DIM)
    found = multi_label_nce(images, images.repeat_interleave(LABELS, dim=0), scale=100.0)
    assert found.item() == pytest.approx(math.log(LABELS) / 2, rel=1e-5)


def test_the_order_of_pictures_and_of_their_prompts_does_not_matter(vectors):
    images, prompts = vectors
    order = torch.tensor([2, 0, 3, 1])
    moved = prompts.view(BATCH, LABELS, DIM)[order][:, [1, 2, 0]].flatten(0, 1)
    expected = multi_label_nce(images, prompts, scale=7.0)
    assert_close(multi_label_nce(images[order], moved, scale=7.0), expected)


def encoded(images, prompts):
    tokens = Tokens(
        torch.ones(BATCH, 2, dtype=torch.long),
        torch.ones(BATCH, 2, dtype=torch.bool),
        torch.zeros(BATCH, 2, 2, dtype=torch.long),
    )
    texts = EncodedTexts(unit(BATCH, 2, DIM), unit(BATCH, DIM))
    none = Pairs(torch.zeros(BATCH, BATCH), torch.zeros(BATCH, BATCH))
    seen = EncodedImages(images, images[:, None], None, (1, 1))
    return Batch(tokens), Encoded(seen, texts, none, prompts)


def test_it_has_a_temperature_of_its_own_that_is_learned_and_clamped(vectors):
    objective = MultiLabel(weight=0.5, temperature=0.1).build(Sizes())
    losses = objective(*encoded(*vectors))
    expected = 0.5 * multi_label_nce(*vectors, scale=10.0)
    assert_close(losses.terms["multi_label"], expected, rtol=1e-4, atol=1e-5)
    losses.total.backward()
    assert objective.logit_scale.grad is not None and objective.logit_scale.grad.item()
    with torch.no_grad():
        objective.logit_scale.fill_(7)
    assert objective(*encoded(*vectors)).report["multi_label_scale"].item() == pytest.approx(100)


def test_without_prompts_it_says_how_to_get_them(vectors):
    with pytest.raises(ValueError, match="needs prompts; give the recipe"):
        MultiLabel().build(Sizes())(*encoded(vectors[0], None))
