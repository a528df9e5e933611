import math

import pytest
import torch
import torch.nn.functional as F
from golden import Golden

from whatwhere.objectives.contrastive import Contrastive, info_nce
from whatwhere.records import Pairs, Sizes


def assert_close(found, expected, *, rtol: float, atol: float):
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


def unit(x):
    return F.normalize(x, dim=-1)


def pairs_of(image, caption):
    return Pairs(image @ caption.mT, caption @ image.mT)


def test_knowing_nothing_costs_log_n():
    same = torch.ones(8, 4) / 2
    assert info_nce(pairs_of(same, same), scale=14.0).item() == pytest.approx(math.log(8), rel=1e-6)


def test_perfect_match_costs_nothing():
    eye = torch.eye(8)
    assert info_nce(pairs_of(eye, eye), scale=100.0).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_agrees_with_two_loops(temperature):
    torch.manual_seed(0)
    image, caption = torch.randn(2, 5, 3)
    expected = 0.0
    for i in range(5):
        row = [(image[i] @ caption[j] / temperature).exp() for j in range(5)]
        column = [(image[j] @ caption[i] / temperature).exp() for j in range(5)]
        expected -= (row[i] / sum(row)).log() / 10 + (column[i] / sum(column)).log() / 10
    found = info_nce(pairs_of(image, caption), scale=1 / temperature)
    assert torch.allclose(found, expected, rtol=1e-5)


def test_the_two_directions_need_not_be_transposes():
    torch.manual_seed(1)
    one, two = torch.randn(2, 4, 4)
    found = info_nce(Pairs(one, two), scale=3.0)
    halves = [info_nce(Pairs(m, m), scale=3.0) for m in (one, two)]
    own = torch.arange(4)
    expected = (F.cross_entropy(3.0 * one, own) + F.cross_entropy(3.0 * two, own)) / 2
    assert torch.allclose(found, expected)
    assert not torch.allclose(halves[0], halves[1])


def test_order_of_the_batch_does_not_matter():
    torch.manual_seed(0)
    image, caption = torch.randn(2, 6, 4)
    turned = torch.randperm(6)
    a = info_nce(pairs_of(image, caption), scale=10.0)
    assert torch.allclose(a, info_nce(pairs_of(image[turned], caption[turned]), scale=10.0))


@pytest.mark.parametrize(("start", "kept"), [(9.0, math.log(100)), (-2.0, 0.0)])
def test_the_scale_is_clamped_and_can_come_back(start, kept):
    objective = Contrastive().build(Sizes())
    objective.logit_scale.data.fill_(start)
    scale = objective.scale()
    assert scale.item() == pytest.approx(math.exp(kept))
    scale.backward()
    assert objective.logit_scale.grad is not None
    assert objective.logit_scale.grad.abs() > 0


def close_to(found, golden, **tolerance):
    assert_close(found.reshape(golden.shape), golden, **tolerance)


def test_golden_simzss_global():
    golden = Golden("simzss_global")
    image, text = (golden[k].requires_grad_() for k in ("image_raw", "text_raw"))
    objective = Contrastive().build(Sizes())
    objective.logit_scale.data.fill_(golden["logit_scale_log"].item())
    pairs, scale = pairs_of(unit(image), unit(text)), objective.scale()
    close_to(scale * pairs.image_to_text, golden["logits_per_image"], rtol=1e-4, atol=1e-5)
    close_to(scale * pairs.text_to_image, golden["logits_per_text"], rtol=1e-4, atol=1e-5)
    loss = info_nce(pairs, scale=scale)
    close_to(loss, golden["loss"], rtol=1e-4, atol=1e-5)
    loss.backward()
    close_to(image.grad, golden["grad_image_raw"], rtol=1e-3, atol=1e-7)
    close_to(text.grad, golden["grad_text_raw"], rtol=1e-3, atol=1e-7)
    close_to(objective.logit_scale.grad, golden["grad_logit_scale_log"], rtol=1e-3, atol=1e-7)
    golden.all_compared()
