"""How fast and how large a step of ConceptConsistency is, against the padded form of the loss.

python benchmarks/concept_loss.py [--batch 1024] [--repeats 5] [--threads 2]

The reference is written from the formulas of SimZSS (arXiv 2406.16085) in the layout that its
tensors are published in: tables of 32 phrases by 16 tokens for every caption, prototypes of all
concepts, a query for every table row, logits of all concepts. It is checked against the golden
vectors where they are present, and ours against it, before anything is timed.

Time: forward and backward, medians, the two taking turns. Memory: the most that the resident size
of a fresh process grows in one step, inputs not counted (Linux: VmHWM, reset before the step).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from whatwhere.objectives.concept_consistency import ConceptConsistency
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

SLOTS, COLUMNS = 32, 16
PATCHES, DIM, CONCEPTS, WORDS = 256, 768, 574, 77
SHARES = (0.20, 0.36, 0.24, 0.12, 0.05, 0.01, 0.01, 0.005, 0.005)  # captions with 0, 1, ... phrases
Loss = Callable[[Tensor, Tensor], Tensor]  # of unit word vectors and unit patch vectors


@dataclass(frozen=True)
class Problem:
    words: Tensor  # [batch, words, dim], unit length
    patches: Tensor  # [batch, patches, dim], unit length
    index: Tensor  # [batch, 32, 16] tokens of each phrase, 0 = none
    concept: Tensor  # [batch, 32], -1 = none
    concepts: int


def drawn(batch: int) -> Problem:
    """Captions with 1.6 phrases of one to three tokens; few concepts are met often, most rarely."""
    torch.manual_seed(0)
    count = torch.multinomial(torch.tensor(SHARES), batch, replacement=True)
    valid = torch.arange(SLOTS) < count[:, None]
    often = 1 / torch.arange(1, CONCEPTS + 1)
    concept = torch.multinomial(often, batch * SLOTS, replacement=True).view(batch, SLOTS)
    length = torch.randint(1, 4, (batch, SLOTS, 1))
    first = torch.randint(1, WORDS - 4, (batch, SLOTS, 1))
    column = torch.arange(COLUMNS)
    index = torch.where((column < length) & valid[..., None], first + column, 0)
    return Problem(
        F.normalize(torch.randn(batch, WORDS, DIM), dim=-1),
        F.normalize(torch.randn(batch, PATCHES, DIM), dim=-1),
        index,
        torch.where(valid, concept, -1),
        CONCEPTS,
    )


def reference(problem: Problem) -> Loss:
    """The loss on padded tables (sections 2.3 to 3.2 of the formulas), target: the concept."""
    index, concept, concepts = problem.index, problem.concept, problem.concepts
    rows, real = torch.arange(len(index))[:, None, None], (index > 0)[..., None]
    valid = concept >= 0
    row = torch.where(valid, concept, concepts)  # one row more, for table entries without phrase
    present = torch.zeros(concepts + 1, dtype=torch.bool)
    present[row.flatten()] = True

    def loss(words: Tensor, patches: Tensor) -> Tensor:
        phrases = (words[rows, index] * real).sum(dim=2)
        sums = words.new_zeros(concepts + 1, words.shape[-1])
        sums = sums.index_add(0, row.flatten(), phrases.flatten(0, 1))
        prototypes = F.normalize(sums, dim=-1)
        queries = prototypes[row]
        attention = (queries @ patches.mT / 0.1).softmax(dim=-1)
        seen = F.normalize(attention @ patches, dim=-1)[valid]
        logits = seen @ prototypes[:concepts].mT / 0.07
        logits = logits.masked_fill(~present[:concepts], -torch.inf)
        return F.cross_entropy(logits, concept[valid])

    return loss


def ours(problem: Problem) -> Loss:
    """The same through the objective that the recipes train with."""
    caption, slot = (problem.concept >= 0).nonzero(as_tuple=True)
    phrase, column = (problem.index[caption, slot] > 0).nonzero(as_tuple=True)
    phrases = Phrases(
        caption=caption,
        concept=problem.concept[caption, slot],
        covered_phrase=phrase,
        covered_word=problem.index[caption, slot][phrase, column],
    )
    batch, words, dim = problem.words.shape
    ids = torch.ones(batch, words, dtype=torch.long)
    tokens = Tokens(ids, ids.bool(), torch.zeros(batch, words, 2, dtype=torch.long))
    objective = ConceptConsistency(weight=1.0).build(Sizes(dim=dim, concepts=problem.concepts))
    whole = Batch(tokens, phrases=phrases)
    none = Pairs(torch.zeros(batch, batch), torch.zeros(batch, batch))

    def loss(words: Tensor, patches: Tensor) -> Tensor:
        images = EncodedImages(patches[:, 0], patches, None, (1, patches.shape[1]))
        return objective(whole, Encoded(images, EncodedTexts(words, words[:, 0]), none)).total

    return loss


FORMS = {"ours": ours, "padded": reference}


def step(loss: Loss, problem: Problem, *, to_patches: bool) -> list[Tensor]:
    """The loss and its gradients, to words and perhaps to patches."""
    words = problem.words.detach().requires_grad_()
    patches = problem.patches.detach().requires_grad_(to_patches)
    value = loss(words, patches)
    value.backward()
    gradients = (words.grad, patches.grad)
    return [value.detach(), *(gradient for gradient in gradients if gradient is not None)]


def agreement(problem: Problem) -> str:
    """Largest differences of loss and gradients, relative to the largest entry."""
    mine, theirs = (step(form(problem), problem, to_patches=True) for form in FORMS.values())
    off = [((a - b).abs().max() / b.abs().max()).item() for a, b in zip(mine, theirs, strict=True)]
    assert max(off) < 1e-3, f"the two forms differ: {off}"
    names = ("loss", "word gradient", "patch gradient")
    return ", ".join(f"{name} {value:.1e}" for name, value in zip(names, off, strict=True))


def check_golden() -> str:
    """Both forms against the loss and gradients that the released code gives on stored inputs."""
    beside = Path(__file__).parents[2] / "shared" / "golden"
    folder = Path(os.environ.get("WHATWHERE_GOLDEN", beside))
    sets = os.environ.get("WHATWHERE_GOLDEN_SET", "dev")
    path = folder / f"simzss_concept_loss_{sets}.safetensors"
    if not path.is_file():
        return f"golden vectors not compared: {path.name} is missing"
    stored = load_file(path)
    for form in FORMS.values():
        raw = {key: stored[key].requires_grad_() for key in ("token_raw", "patch_raw")}
        words, patches = (F.normalize(vectors, dim=-1) for vectors in raw.values())
        index, concept = stored["concept_token_index"], stored["concept_id"]
        problem = Problem(words, patches, index, concept, len(stored["prototypes"]))
        value = form(problem)(words, patches)
        value.backward()
        torch.testing.assert_close(value, stored["loss_concept_idtarget"].reshape(()))
        for key, vectors in raw.items():
            expected = stored[f"grad_{key}_concept_idtarget"]
            torch.testing.assert_close(vectors.grad, expected, rtol=1e-3, atol=1e-7)
            vectors.grad = None
    return f"both agree with {path.name}"


def times(problem: Problem, *, to_patches: bool, repeats: int) -> dict[str, float]:
    """Seconds."""
    losses = {name: form(problem) for name, form in FORMS.items()}
    taken = {name: [] for name in losses}
    for i in range(repeats + 1):
        for name, loss in losses.items():
            start = time.perf_counter()
            step(loss, problem, to_patches=to_patches)
            if i:  # the first warms up
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def resident(key: str) -> float:
    """MiB of this process: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def grows(name: str, batch: int, *, to_patches: bool) -> float:
    """MiB that a step needs beside its inputs; call in a fresh process."""
    problem = drawn(batch)
    loss = FORMS[name](problem)
    step(FORMS[name](small := drawn(2)), small, to_patches=to_patches)  # load what torch loads late
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step(loss, problem, to_patches=to_patches)
    return resident("VmHWM") - before


def memory(args: argparse.Namespace, *, to_patches: bool) -> dict[str, float]:
    found = {}
    for name in FORMS:
        command = [sys.executable, __file__, "--batch", str(args.batch), "--memory", name]
        command += ["--threads", str(args.threads)] + ["--patches"] * to_patches
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[name] = float(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", choices=list(FORMS), help=argparse.SUPPRESS)
    parser.add_argument("--patches", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory:
        print(grows(args.memory, args.batch, to_patches=args.patches))
        return
    golden = check_golden()
    rows = []
    for kind, to_patches in (("words", False), ("words and patches", True)):
        used = memory(args, to_patches=to_patches)  # first: this process is still small
        rows.append((kind, to_patches, used))
    problem = drawn(args.batch)
    print(f"{'gradient to':<20}{'time':>8}{'memory':>8}{'ours':>20}{'padded':>20}")
    for kind, to_patches, used in rows:
        taken = times(problem, to_patches=to_patches, repeats=args.repeats)
        ratios = [pair["padded"] / pair["ours"] for pair in (taken, used)]
        cells = [f"{taken[name]:.3f} s {used[name]:6.0f} MiB" for name in FORMS]
        print(f"{kind:<20}{ratios[0]:>7.1f}x{ratios[1]:>7.1f}x{cells[0]:>20}{cells[1]:>20}")
    phrases = (problem.concept >= 0).sum(dim=1)
    print(
        f"B {args.batch}, {PATCHES} patches, D {DIM}, C {CONCEPTS}, {WORDS} tokens, "
        f"{phrases.float().mean():.2f} phrases a caption (0 to {phrases.max()}), "
        f"{args.threads} threads, medians of {args.repeats}"
    )
    print(f"largest relative differences: {agreement(problem)}; {golden}")


if __name__ == "__main__":
    main()
