"""Two processes must learn what one process learns from the same big batch."""

import multiprocessing

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from golden import Golden
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from whatwhere.objectives.concept_consistency import ConceptConsistency
from whatwhere.objectives.concept_presence import ConceptPresence
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.objectives.together import Together
from whatwhere.parallel import everyone
from whatwhere.records import (
    Batch,
    Encoded,
    EncodedImages,
    EncodedTexts,
    Phrases,
    Sizes,
    Tokens,
)
from whatwhere.similarity.cosine import Cosine
from whatwhere.similarity.log_sum_exp import LogSumExp

BATCH, WORDS, PATCHES, DIM, CONCEPTS = 6, 5, 7, 8, 9


class Toy(nn.Module):
    """Words and patches through one linear map each, and everything that is lost."""

    def __init__(self, similarity, *, prototypes):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Linear(DIM, DIM)
        self.patches = nn.Linear(DIM, DIM)
        self.similarity = similarity.build(Sizes(dim=DIM))
        concept = ConceptConsistency(weight=0.7, prototypes=prototypes)
        sizes = Sizes(dim=DIM, concepts=CONCEPTS)
        self.presence = ConceptPresence(best=2, tells=2, unsaid=True).build(sizes)
        self.presence.mentions += 3.0  # so that captions repeat enough to weigh their silence
        self.presence.pictures += 1.0
        parts = [part.build(sizes) for part in (Contrastive(), concept)]
        self.objective = Together([*parts, self.presence])

    def forward(self, words, patches, phrases):
        words, regions = (
            F.normalize(layer(x), dim=-1)
            for layer, x in ((self.words, words), (self.patches, patches))
        )
        image = F.normalize(regions.mean(dim=1), dim=-1)
        images = EncodedImages(image, regions, None, (1, regions.shape[1]))
        texts = EncodedTexts(words, words[:, 0])
        pairs = self.similarity.pairs(images, texts)
        self.similarity.readout.watch(images, texts)
        ids = torch.zeros(words.shape[:2], dtype=torch.long)
        tokens = Tokens(ids, ids.bool(), torch.zeros(*ids.shape, 2, dtype=torch.long))
        return self.objective(Batch(tokens, phrases=phrases), Encoded(images, texts, pairs))


def the_batch():
    draw = torch.Generator().manual_seed(3)
    words = torch.randn(BATCH, WORDS, DIM, generator=draw)
    patches = torch.randn(BATCH, PATCHES, DIM, generator=draw)
    caption = torch.tensor([0, 0, 1, 2, 4, 4, 4])  # unequal halves, and captions without phrases
    concept = torch.tensor([3, 1, 3, 8, 1, 5, 5])
    word = torch.tensor([1, 2, 3, 4, 1, 2, 4])
    return words, patches, caption, concept, word


def part_of(first, last):
    words, patches, caption, concept, word = the_batch()
    mine = (caption >= first) & (caption < last)
    own = caption[mine] - first
    phrases = Phrases(own, concept[mine], torch.arange(len(own)), word[mine])
    return words[first:last], patches[first:last], phrases


def gradients(module):
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


def start(rank, folder, similarity, first, last):
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    torch.set_num_threads(1)
    toy = Toy(similarity, prototypes="global")
    wrapped = DistributedDataParallel(toy)
    losses = wrapped(*part_of(first, last))
    losses.total.backward()
    readout = toy.similarity.readout
    kept = {
        "loss": losses.total.detach(),
        "mean": readout.region_mean,
        "caption": readout.caption_mean,
        "mentions": toy.presence.mentions,
        "pictures": toy.presence.pictures,
    }
    torch.save(gradients(toy) | kept, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def two_processes(run, *args):
    """From one server process that has torch already, so that starting takes no seconds."""
    multiprocessing.set_forkserver_preload(["torch", __name__])
    mp.start_processes(run, args, nprocs=2, start_method="forkserver")


def run_rank(rank, folder, similarity):
    start(rank, folder, similarity, *((0, 3), (3, 6))[rank])


@pytest.mark.parametrize("similarity", [Cosine(), LogSumExp()], ids=["cosine", "log_sum_exp"])
def test_two_processes_equal_one_big_batch(tmp_path, similarity):
    two_processes(run_rank, str(tmp_path), similarity)
    halves = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    toy = Toy(similarity, prototypes="global")
    losses = toy(*part_of(0, BATCH))
    losses.total.backward()
    assert torch.allclose(sum(h["loss"] for h in halves) / 2, losses.total, rtol=1e-5)
    for name, gradient in gradients(toy).items():
        for half in halves:
            torch.testing.assert_close(half[name], gradient, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(halves[1]["mean"], toy.similarity.readout.region_mean)
    torch.testing.assert_close(halves[0]["caption"], toy.similarity.readout.caption_mean)
    for half in halves:
        assert torch.equal(half["mentions"], toy.presence.mentions)
        assert torch.equal(half["pictures"], toy.presence.pictures)


def test_alone_everyone_is_oneself():
    mine = torch.randn(3, 4)
    assert everyone(mine) is mine


INPUTS = ("patch_raw", "cls_raw", "token_raw", "text_ids", "concept_id", "concept_token_index")


def golden_rank(rank, folder):
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    torch.set_num_threads(1)
    golden = Golden("simzss_distributed")
    index, ids = (golden[f"rank{rank}.{k}"] for k in ("concept_token_index", "concept_id"))
    caption, slot = (ids >= 0).nonzero(as_tuple=True)
    phrase, column = (index[caption, slot] > 0).nonzero(as_tuple=True)
    phrases = Phrases(caption, ids[caption, slot], phrase, index[caption, slot][phrase, column])
    raw = {k: golden[f"rank{rank}.{k}"] for k in ("patch_raw", "cls_raw", "token_raw")}
    end = golden[f"rank{rank}.text_ids"].argmax(dim=1)
    dim = raw["token_raw"].shape[-1]
    concepts = 1 + max(int(golden[f"rank{r}.concept_id"].max()) for r in (0, 1))
    found = {}
    for terms in (("global",), ("concept",), ("global", "concept")):
        words = raw["token_raw"].clone().requires_grad_()
        unit = F.normalize(words, dim=-1)
        images = EncodedImages(
            F.normalize(raw["cls_raw"], dim=-1),
            F.normalize(raw["patch_raw"], dim=-1),
            None,
            (1, raw["patch_raw"].shape[1]),
        )
        texts = EncodedTexts(unit, unit[torch.arange(len(unit)), end])
        encoded = Encoded(images, texts, Cosine().build(Sizes(dim=dim)).pairs(images, texts))
        mask = torch.ones(words.shape[:2], dtype=torch.bool)
        tokens = Tokens(mask.long(), mask, torch.zeros(*mask.shape, 2, dtype=torch.long))
        released = ConceptConsistency(target="argmax", prototypes="local")
        parts = {"global": Contrastive(), "concept": released}
        sizes = Sizes(dim=dim, concepts=concepts)
        objective = Together([parts[term].build(sizes) for term in terms])
        losses = objective(Batch(tokens, phrases=phrases), encoded)
        losses.total.backward()
        name = (
            "total"
            if len(terms) == 2
            else {"global": "global", "concept": "concept_weighted"}[terms[0]]
        )
        found[f"loss_{name}"] = losses.total.detach()
        found[f"grad_token_raw_{name}"] = words.grad
        if "concept_accuracy" in losses.report:
            found["accuracy_percent"] = 100 * losses.report["concept_accuracy"]
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_golden_simzss_distributed(tmp_path):
    golden = Golden("simzss_distributed")
    two_processes(golden_rank, str(tmp_path))
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name in ("loss_global", "loss_concept_weighted", "accuracy_percent"):
            expected = golden[f"rank{rank}.{name}"]
            torch.testing.assert_close(
                found[name].reshape(expected.shape), expected, rtol=1e-4, atol=1e-5
            )
        for name in ("global", "concept_weighted", "total"):
            expected = golden[f"rank{rank}.grad_token_raw_{name}"]
            torch.testing.assert_close(
                found[f"grad_token_raw_{name}"], expected, rtol=1e-3, atol=1e-7
            )
        golden.read |= {f"rank{rank}.{name}" for name in INPUTS}
    present = {
        int(c) for rank in (0, 1) for c in golden[f"rank{rank}.concept_id"].unique() if c >= 0
    }
    assert all(len(present) == int(golden[f"rank{r}.n_present_all_ranks"]) for r in (0, 1))
    golden.all_compared()
