import math

import pytest
import torch
import torch.nn.functional as F
from golden import Golden

from whatwhere.objectives.concept_consistency import ConceptConsistency, look, phrase_vectors
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.objectives.together import Together
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


def assert_close(found, expected, *, rtol: float, atol: float):
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


def unit(x):
    return F.normalize(x, dim=-1)


def phrases_of(index, concept):
    """Our ragged phrases from the padded tables [batch, slots, tokens] and [batch, slots]."""
    caption, slot = (concept >= 0).nonzero(as_tuple=True)
    phrase, column = (index[caption, slot] > 0).nonzero(as_tuple=True)
    return Phrases(
        caption=caption,
        concept=concept[caption, slot],
        covered_phrase=phrase,
        covered_word=index[caption, slot][phrase, column],
    )


def encoded_of(patches, words, caption=None, image=None, where=None):
    image = patches.mean(1) if image is None else image
    caption = words[:, 0] if caption is None else caption
    return Encoded(
        EncodedImages(unit(image), unit(patches), where, (1, patches.shape[1])),
        EncodedTexts(unit(words), unit(caption)),
        Pairs(torch.eye(len(words)), torch.eye(len(words))),
    )


def batch_of(phrases, rows, places):
    ids = torch.ones(rows, places, dtype=torch.long)
    return Batch(
        Tokens(ids, ids.bool(), torch.zeros(rows, places, 2, dtype=torch.long)), None, None, phrases
    )


def loss_of(settings, phrases, patches, words, concepts, previous=None):
    objective = settings.build(Sizes(dim=words.shape[-1], concepts=concepts))
    if previous is not None:
        objective.bank.copy_(previous)
    losses = objective(batch_of(phrases, *words.shape[:2]), encoded_of(patches, words))
    return losses, objective


def a_case(seed=0, batch=4, places=7, patches=6, dim=5, concepts=9):
    """Captions 0, 2 and 3 have phrases, caption 1 has none; concept 4 is met twice."""
    torch.manual_seed(seed)
    phrases = Phrases(
        caption=torch.tensor([0, 0, 2, 3, 3]),
        concept=torch.tensor([4, 1, 7, 4, 2]),
        covered_phrase=torch.tensor([0, 0, 1, 2, 3, 3, 3, 4]),
        covered_word=torch.tensor([1, 2, 4, 1, 1, 2, 3, 6]),
    )
    return phrases, torch.randn(batch, patches, dim), torch.randn(batch, places, dim), concepts


def test_one_concept_alone_costs_nothing():
    phrases, patches, words, concepts = a_case()
    same = Phrases(phrases.caption, torch.zeros(5, dtype=torch.long), *covered(phrases))
    losses, _ = loss_of(ConceptConsistency(weight=1.0), same, patches, words, concepts)
    assert losses.total.item() == pytest.approx(0.0, abs=1e-6)


def covered(phrases):
    return phrases.covered_phrase, phrases.covered_word


def test_pictures_that_show_nothing_cost_the_log_of_the_number_of_concepts():
    """All patches equal a vector orthogonal to every word: nothing speaks for any concept."""
    phrases, patches, words, concepts = a_case()
    words[..., -1] = 0
    patches = torch.zeros_like(patches)
    patches[..., -1] = 1
    losses, _ = loss_of(ConceptConsistency(weight=1.0), phrases, patches, words, concepts)
    assert losses.total.item() == pytest.approx(math.log(4), rel=1e-5)


@pytest.mark.parametrize("target", ["concept", "argmax"])
@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize("attention", ["regions", "phrases"])
def test_agrees_with_slow_loops(target, momentum, attention):
    phrases, patches, words, concepts = a_case()
    previous = unit(torch.randn(concepts, words.shape[-1])) * (torch.arange(concepts) != 2)[:, None]
    sums = torch.zeros(concepts, words.shape[-1])
    for phrase, word in zip(*covered(phrases), strict=True):
        sums[phrases.concept[phrase]] += unit(words[phrases.caption[phrase], word])
    new = unit(sums)
    classes = unit(momentum * previous + (1 - momentum) * new) if momentum else new
    present = sorted(set(phrases.concept.tolist()))
    expected = torch.zeros(())
    for picture, concept in zip(phrases.caption, phrases.concept, strict=True):
        beside = phrases.concept[phrases.caption == picture].tolist()
        share = [(unit(p) @ classes[concept] / 0.1).exp() for p in patches[picture]]
        if attention == "phrases":  # of 32 places, those without a phrase weigh exp(0)
            share = [
                a / (sum((unit(p) @ classes[c] / 0.1).exp() for c in beside) + 32 - len(beside))
                for a, p in zip(share, patches[picture], strict=True)
            ]
        seen = unit(sum(a * unit(p) for a, p in zip(share, patches[picture], strict=True)))
        logits = torch.stack([seen @ classes[c] / 0.07 for c in present])
        own = present.index(int(concept)) if target == "concept" else logits.argmax()
        expected = expected + (torch.logsumexp(logits, 0) - logits[own]) / 5
    settings = ConceptConsistency(1.0, target=target, momentum=momentum, attention=attention)
    losses, _ = loss_of(settings, phrases, patches, words, concepts, previous if momentum else None)
    assert losses.total.item() == pytest.approx(expected.item(), rel=1e-5)


def test_order_of_the_captions_does_not_matter():
    phrases, patches, words, concepts = a_case()
    turned = [3, 2, 1, 0]  # row i is what was row turned[i]; phrases reordered to stay ascending
    moved = Phrases(
        caption=torch.tensor([0, 0, 1, 3, 3]),
        concept=torch.tensor([4, 2, 7, 4, 1]),
        covered_phrase=torch.tensor([0, 0, 0, 1, 2, 3, 3, 4]),
        covered_word=torch.tensor([1, 2, 3, 6, 1, 1, 2, 4]),
    )
    settings = ConceptConsistency()
    one, _ = loss_of(settings, phrases, patches, words, concepts)
    two, _ = loss_of(settings, moved, patches[turned], words[turned], concepts)
    assert one.total.item() == pytest.approx(two.total.item(), rel=1e-5)


def test_a_batch_without_any_phrase_costs_nothing_and_can_be_differentiated():
    none = torch.zeros(0, dtype=torch.long)
    words = torch.randn(3, 6, 5, requires_grad=True)
    losses, _ = loss_of(
        ConceptConsistency(), Phrases(none, none, none, none), torch.randn(3, 4, 5), words, 9
    )
    losses.total.backward()
    assert losses.total.item() == 0
    assert words.grad is not None
    assert not words.grad.any()


def test_a_bank_is_asked_for_when_there_is_none():
    with pytest.raises(ValueError, match="concept bank"):
        ConceptConsistency().build(Sizes(dim=5))


def test_absent_concepts_keep_their_prototype():
    phrases, patches, words, concepts = a_case()
    previous = unit(torch.randn(concepts, words.shape[-1]))
    settings = ConceptConsistency(momentum=0.9)
    _, objective = loss_of(settings, phrases, patches, words, concepts, previous)
    kept = (objective.bank == previous).all(dim=1)
    assert kept.tolist() == [c not in (1, 2, 4, 7) for c in range(concepts)]


def test_golden_simzss_text_pool():
    golden = Golden("simzss_text_pool")
    phrases = phrases_of(golden["concept_token_index"], golden["concept_id"])
    assert torch.equal(phrases.caption, golden["instance_batch_slot"][:, 0])
    slot = torch.cat([torch.arange(n) for n in torch.bincount(phrases.caption) if n])
    assert torch.equal(slot, golden["instance_batch_slot"][:, 1])
    assert torch.equal(phrases.concept, golden["instance_concept_id"])
    words = unit(golden["token_raw"])
    sums = phrase_vectors(words, phrases)
    assert_close(sums, golden["instance_sum"], rtol=1e-4, atol=1e-5)
    size = Sizes(dim=words.shape[-1], concepts=len(golden["prototypes"]))
    objective = ConceptConsistency().build(size)
    present = phrases.concept.unique()
    classes = torch.zeros_like(golden["prototypes"])
    classes[present] = objective._classes(sums, phrases.concept, present)
    assert_close(classes, golden["prototypes"], rtol=1e-4, atol=1e-5)
    assert_close(classes[phrases.concept], golden["instance_query"], rtol=1e-4, atol=1e-5)
    end = golden["text_ids"].argmax(dim=1)
    pooled = words[torch.arange(len(words)), end]
    assert_close(pooled, golden["text_global"], rtol=1e-4, atol=1e-5)
    golden.all_compared()


def test_golden_simzss_image_pool():
    golden = Golden("simzss_image_pool")
    raw, queries = golden["patch_raw"].requires_grad_(), golden["query"]
    rows, slots, dim = queries.shape
    query = queries.reshape(-1, dim).requires_grad_()
    picture = torch.arange(rows).repeat_interleave(slots)
    pooled = look(unit(raw), query=query, picture=picture, temperature=0.1)
    attention = (queries @ unit(raw).mT / 0.1).softmax(dim=-1)
    close = {"rtol": 1e-4, "atol": 1e-5}
    assert_close(attention, golden["attention"], **close)
    assert_close(attention @ unit(raw), golden["pooled"], **close)
    assert_close(pooled.reshape(queries.shape), golden["pooled_norm"], **close)
    shared = look(unit(raw), query=query, picture=picture, temperature=0.1, over="phrases")
    expected = golden["pooled_norm_softmax_over_concepts"]
    assert_close(shared.reshape(queries.shape), expected, **close)
    (pooled.reshape(queries.shape) * golden["upstream"]).sum().backward()
    close = {"rtol": 1e-3, "atol": 1e-6}
    assert query.grad is not None
    assert_close(query.grad.reshape(queries.shape), golden["grad_query"], **close)
    assert_close(raw.grad, golden["grad_patch_raw"], **close)
    golden.all_compared()


def whole_loss_is_the_sum(golden, close, close_grad):
    """Global term, its gradients, and both terms together as a model would sum them."""
    momentum = 0.9 if "previous_prototypes" in golden.tensors else 0.0
    phrases = phrases_of(golden["concept_token_index"], golden["concept_id"])
    concepts, dim = golden["prototypes"].shape
    inputs = ("patch_raw", "token_raw", "cls_raw")

    def run(terms):
        raw = {k: golden[k].clone().requires_grad_() for k in inputs}
        end = golden["text_ids"].argmax(dim=1)
        words = unit(raw["token_raw"])
        image, caption = unit(raw["cls_raw"]), words[torch.arange(len(words)), end]
        encoded = Encoded(
            EncodedImages(image, unit(raw["patch_raw"]), None, (1, raw["patch_raw"].shape[1])),
            EncodedTexts(words, caption),
            Pairs(image @ caption.mT, caption @ image.mT),
        )
        contrastive = Contrastive().build(Sizes())
        contrastive.logit_scale.data.fill_(golden["logit_scale_log"].item())
        local = ConceptConsistency(target="argmax", momentum=momentum)
        local = local.build(Sizes(dim=dim, concepts=concepts))
        if momentum:
            local.bank.copy_(golden["previous_prototypes"])
        parts = {"global": contrastive, "concept": local}
        objective = Together([parts[term] for term in terms])
        losses = objective(batch_of(phrases, *words.shape[:2]), encoded)
        losses.total.backward()
        return losses, raw, contrastive.logit_scale.grad

    losses, raw, scale_gradient = run(["global"])
    assert_close(losses.total, golden["loss_global"].reshape(()), **close)
    assert_close(raw["token_raw"].grad, golden["grad_token_raw_global"], **close_grad)
    assert_close(raw["cls_raw"].grad, golden["grad_cls_raw_global"], **close_grad)
    assert_close(scale_gradient[0], golden["grad_logit_scale_log"], **close_grad)
    losses, raw, _ = run(["global", "concept"])
    assert_close(losses.total, golden["loss_total"].reshape(()), **close)
    assert_close(raw["token_raw"].grad, golden["grad_token_raw_total"], **close_grad)


@pytest.mark.parametrize("file", ["simzss_concept_loss", "simzss_concept_loss_ema"])
def test_golden_simzss_concept_loss(file):
    golden = Golden(file)
    close, close_grad = {"rtol": 1e-4, "atol": 1e-5}, {"rtol": 1e-3, "atol": 1e-7}
    phrases = phrases_of(golden["concept_token_index"], golden["concept_id"])
    assert torch.equal(phrases.caption, golden["instance_batch_slot"][:, 0])
    assert torch.equal(phrases.concept, golden["instance_concept_id"])
    momentum = 0.9 if file.endswith("ema") else 0.0
    concepts, dim = golden["prototypes"].shape

    def run(target):
        raw = {k: golden[k].clone().requires_grad_() for k in ("patch_raw", "token_raw", "cls_raw")}
        settings = ConceptConsistency(weight=1.0, target=target, momentum=momentum)
        objective = settings.build(Sizes(dim=dim, concepts=concepts))
        if momentum:
            objective.bank.copy_(golden["previous_prototypes"])
        encoded = encoded_of(raw["patch_raw"], raw["token_raw"], image=raw["cls_raw"])
        return objective, raw, objective(batch_of(phrases, *raw["token_raw"].shape[:2]), encoded)

    objective, raw, losses = run("argmax")
    assert_close(losses.total, golden["loss_concept"].reshape(()), **close)
    (0.05 * losses.total).backward()
    assert_close(0.05 * losses.total.detach(), golden["loss_concept_weighted"].reshape(()), **close)
    assert_close(raw["token_raw"].grad, golden["grad_token_raw_concept_weighted"], **close_grad)
    assert_close(raw["patch_raw"].grad, golden["grad_patch_raw_concept_weighted"], **close_grad)
    accuracy = golden["accuracy_percent"].reshape(())
    assert_close(100 * losses.report["concept_accuracy"], accuracy, **close)
    present = phrases.concept.unique()
    assert len(present) == golden["n_present"].item()
    assert torch.equal(golden["class_present"].nonzero()[:, 0], present)
    sums = phrase_vectors(unit(golden["token_raw"]), phrases)
    fresh = ConceptConsistency(momentum=momentum).build(Sizes(dim=dim, concepts=concepts)).eval()
    if momentum:
        fresh.bank.copy_(golden["previous_prototypes"])
    classes = fresh._classes(sums, phrases.concept, present)
    assert_close(classes, golden["prototypes"][present], **close)
    if momentum:
        assert_close(objective.bank[present], golden["prototypes"][present], **close)
    own = torch.searchsorted(present, phrases.concept)
    seen = look(
        unit(golden["patch_raw"]), query=classes[own], picture=phrases.caption, temperature=0.1
    )
    assert_close(seen, golden["visual_concept"], **close)
    assert_close(seen @ classes.mT / 0.07, golden["logits"][:, present], **close)
    absent = [c for c in range(concepts) if c not in present]
    assert (golden["logits"][:, absent] <= -1e29).all()
    best = present[(seen @ classes.mT).argmax(dim=1)]
    assert torch.equal(best, golden["argmax_target"])

    _, raw, losses = run("concept")
    assert_close(losses.total, golden["loss_concept_idtarget"].reshape(()), **close)
    losses.total.backward()
    assert_close(raw["token_raw"].grad, golden["grad_token_raw_concept_idtarget"], **close_grad)
    assert_close(raw["patch_raw"].grad, golden["grad_patch_raw_concept_idtarget"], **close_grad)
    whole_loss_is_the_sum(golden, close, close_grad)
    golden.all_compared()


def test_words_that_the_text_encoder_left_out_are_asked_for():
    phrases, patches, words = a_case()[:3]
    with pytest.raises(ValueError, match=r"set text\.projects=words"):
        ConceptConsistency().build(Sizes(dim=5, concepts=9))(
            batch_of(phrases, *words.shape[:2]),
            encoded_of(patches, words[:, :0], caption=words[:, 0]),
        )
