"""Concepts that captions mention are held against the regions that fit them best."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from whatwhere.objectives.concept_presence import (
    ConceptPresence,
    accounted_for,
    found_somewhere,
    unsaid,
)
from whatwhere.records import (
    Batch,
    Encoded,
    EncodedImages,
    EncodedTexts,
    Pairs,
    Phrases,
    Sizes,
    Tokens,
)

CONCEPTS, DIM, REGIONS, WORDS = 9, 5, 7, 6


def a_case(rows=(0, 1, 2, 3)):
    """Captions 0, 2 and 3 have phrases, caption 1 has none; concept 4 is met twice in two of them,
    and twice in the last."""
    phrases = [(0, 4, (1, 2)), (0, 1, (4,)), (2, 7, (1,)), (3, 4, (1, 2, 3)), (3, 2, (5,))]
    phrases += [(3, 4, (4,))]
    kept = sorted((rows.index(row), c, words) for row, c, words in phrases if row in rows)
    covered = [(i, word) for i, (_, _, words) in enumerate(kept) for word in words]
    torch.manual_seed(0)
    regions = F.normalize(torch.randn(4, REGIONS, DIM), dim=-1)[list(rows)]
    words = F.normalize(torch.randn(4, WORDS, DIM), dim=-1)[list(rows)]
    return (
        Phrases(
            caption=torch.tensor([row for row, _, _ in kept], dtype=torch.long),
            concept=torch.tensor([concept for _, concept, _ in kept], dtype=torch.long),
            covered_phrase=torch.tensor([i for i, _ in covered], dtype=torch.long),
            covered_word=torch.tensor([word for _, word in covered], dtype=torch.long),
        ),
        regions,
        words,
    )


def losses_of(settings, phrases, regions, words):
    return run(built(settings), phrases, regions, words)


def built(settings):
    return settings.build(Sizes(dim=DIM, concepts=CONCEPTS))


def run(objective, phrases, regions, words):
    count = len(words)
    ids = torch.ones(count, WORDS, dtype=torch.long)
    batch = Batch(Tokens(ids, ids.bool(), torch.zeros(count, WORDS, 2).long()), phrases=phrases)
    encoded = Encoded(
        EncodedImages(regions.mean(1), regions, None, (1, REGIONS)),
        EncodedTexts(words, words[:, 0]),
        Pairs(torch.eye(count), torch.eye(count)),
    )
    return objective(batch, encoded)


def test_agrees_with_slow_loops():
    phrases, regions, words = a_case()
    sums = torch.zeros(CONCEPTS, DIM)
    for phrase, word in zip(phrases.covered_phrase, phrases.covered_word, strict=True):
        sums[phrases.concept[phrase]] += words[phrases.caption[phrase], word]
    present = sorted(set(phrases.concept.tolist()))
    classes = {concept: F.normalize(sums[concept], dim=0) for concept in present}
    told = {(c, k) for c, k in zip(phrases.caption.tolist(), phrases.concept.tolist(), strict=True)}
    shares = [
        [
            dict(
                zip(
                    present,
                    torch.stack([region @ classes[c] / 0.05 for c in present]).softmax(0).tolist(),
                    strict=True,
                )
            )
            for region in picture
        ]
        for picture in regions
    ]
    somewhere, weights = 0.0, 0.0
    for picture, concept in sorted(told):
        best = sorted((region[concept] for region in shares[picture]), reverse=True)[:3]
        weight = sum(other == concept for _, other in told) ** -0.5
        somewhere -= weight * math.log(sum(best) / 3)
        weights += weight
    account = [
        -sum(
            math.log(sum(region[c] for p, c in told if p == picture)) for region in shares[picture]
        )
        / REGIONS
        for picture in (0, 2, 3)
    ]
    losses = losses_of(ConceptPresence(best=3), phrases, regions, words)
    assert losses.terms["presence"].item() == pytest.approx(somewhere / weights, rel=1e-5)
    assert losses.terms["account"].item() == pytest.approx(0.3 * sum(account) / 3, rel=1e-5)


def test_regions_that_show_nothing_cost_the_log_of_the_number_of_concepts():
    """There are four; captions 0 and 3 mention two each, so each region of theirs owes log 2."""
    phrases, regions, words = a_case()
    words = F.normalize(torch.cat([words[..., :-1], torch.zeros(4, WORDS, 1)], dim=-1), dim=-1)
    regions = torch.zeros_like(regions)
    regions[..., -1] = 1
    terms = losses_of(ConceptPresence(account=0.5, tells=2), phrases, regions, words).terms
    assert terms["presence"].item() == pytest.approx(math.log(4), rel=1e-5)
    assert terms["account"].item() == pytest.approx(0.5 * 2 * math.log(2) / 3, rel=1e-5)


def test_the_order_of_the_batch_does_not_matter():
    forward = losses_of(ConceptPresence(), *a_case())
    backward = losses_of(ConceptPresence(), *a_case(rows=(3, 1, 2, 0)))
    for name, loss in forward.terms.items():
        assert backward.terms[name].item() == pytest.approx(loss.item(), rel=1e-5)


def test_one_region_is_enough_to_be_found_in():
    shares = torch.tensor([[[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]]]).log()
    present = torch.tensor([[True, False]])
    assert found_somewhere(shares, present, best=1).exp().item() == pytest.approx(0.9)
    assert found_somewhere(shares, present, best=9).exp().item() == pytest.approx(1.2 / 3)


def test_every_region_must_be_something_that_was_mentioned():
    shares = torch.tensor([[[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]]]).log()
    present = torch.tensor([[True, True, False]])
    expected = (math.log(0.7) + math.log(0.2)) / 2
    assert accounted_for(shares, present).item() == pytest.approx(expected)


def test_regions_owe_nothing_to_a_caption_that_mentions_little():
    """Captions 0 and 3 hold two and three mentions, caption 2 one."""
    phrases, regions, words = a_case()
    others = regions.clone()
    others[2] *= -1

    def account(tells, regions):
        settings = ConceptPresence(tells=tells)
        return losses_of(settings, phrases, regions, words).terms["account"].item()

    assert account(1, others) != pytest.approx(account(1, regions))
    assert account(2, others) == pytest.approx(account(2, regions))
    assert account(4, regions) == 0


@pytest.mark.parametrize("rate", [0.02, 0.3, 1.0, 2.5, 8.0])
def test_how_often_captions_repeat_a_concept_tells_how_often_it_goes_unsaid(rate):
    drawn = torch.from_numpy(np.random.default_rng(0).poisson(rate, size=(400_000, 1))).float()
    found = unsaid(drawn.sum(dim=0), (drawn > 0).float().sum(dim=0))
    assert found.item() == pytest.approx((drawn == 0).float().mean().item(), abs=0.01)


def test_nothing_is_certain_to_go_unsaid_and_what_was_not_met_is_taken_for_said():
    mentions = torch.tensor([0.0, 1.0, 1e3, 1e9, 3e7])
    found = unsaid(mentions, torch.tensor([0.0, 1.0, 1e3, 1e9, 1e5]))
    assert found.min() >= 0 and found.max() < 1
    assert found[0] < 0.05 < found[1] < found[2] <= found[3]


@pytest.mark.parametrize(("rows", "cheaper"), [((0, 2, 3), True), ((0, 3), False)])
def test_what_goes_without_saying_counts_less_where_it_is_not_mentioned(rows, cheaper):
    """Captions 0 and 3 mention concept 4; caption 2 does not, though its picture looks like it."""
    phrases, regions, words = a_case(rows)
    if 2 in rows:
        regions[rows.index(2)] = F.normalize(words[0, 1] + words[0, 2], dim=0)
    objective = built(ConceptPresence(unsaid=True)).eval()
    objective.mentions[0], objective.pictures[0] = 400.0, 100.0
    before = run(objective, phrases, regions, words).total.item()
    objective.mentions[4], objective.pictures[4] = 100.0, 100.0
    after = run(objective, phrases, regions, words).total.item()
    assert (after < before - 0.1) if cheaper else after == pytest.approx(before)


def test_the_silence_of_one_caption_a_picture_counts_in_full():
    objective, plain = built(ConceptPresence(unsaid=True)).eval(), built(ConceptPresence())
    for mentions, pictures in ((0.0, 0.0), (104.0, 100.0)):
        objective.mentions.fill_(mentions)
        objective.pictures.fill_(pictures)
        assert run(objective, *a_case()).total.item() == run(plain, *a_case()).total.item()


def test_mentions_are_counted_where_captions_tell_enough_and_only_in_training():
    objective = built(ConceptPresence(tells=2, unsaid=True))
    run(objective.eval(), *a_case())
    assert objective.mentions.sum() == objective.pictures.sum() == 0
    run(objective.train(), *a_case())
    assert objective.mentions.tolist() == [0, 1, 1, 0, 3, 0, 0, 0, 0]  # 7 is mentioned alone
    assert objective.pictures.tolist() == [0, 1, 1, 0, 2, 0, 0, 0, 0]


def test_what_is_rare_weighs_more_the_more_is_balanced():
    """Concept 4 is mentioned by two pictures, the others by one."""
    phrases, regions, words = a_case()
    plain, even = (
        losses_of(ConceptPresence(balance=b, account=0.0), phrases, regions, words).total
        for b in (0.0, 1.0)
    )
    assert abs(plain - even) > 1e-4


def test_captions_without_concepts_cost_nothing_and_every_weight_gets_a_gradient():
    phrases, regions, words = a_case(rows=(1,))
    regions.requires_grad_()
    losses = losses_of(ConceptPresence(), phrases, regions, words)
    losses.total.backward()
    assert losses.total == 0 and regions.grad is not None


@pytest.mark.parametrize(
    "setting", [{"best": 0}, {"tells": 0}, {"temperature": 0.0}, {"max_scale": 0.5}]
)
def test_settings_say_what_they_take(setting):
    with pytest.raises(ValueError, match="take 1 region or more"):
        ConceptPresence(**setting)


def test_a_bank_is_needed():
    with pytest.raises(ValueError, match="needs a concept bank"):
        ConceptPresence().build(Sizes(dim=DIM))
