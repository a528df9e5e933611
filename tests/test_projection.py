"""The projection of whole vectors and of their parts: its statistics, and over processes."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

from test_parallel import two_processes
from whatwhere.projection import Projection

BATCH, PARTS, WIDTH, HIDDEN, DIM = 6, 3, 5, 7, 4


def the_projection():
    torch.manual_seed(0)
    head = Projection(WIDTH, HIDDEN, DIM)
    nn.init.uniform_(head.norm.weight, 0.5, 1.5)
    nn.init.normal_(head.norm.bias)
    return head


def the_vectors():
    draw = torch.Generator().manual_seed(1)
    return (
        2 * torch.randn(BATCH, WIDTH, generator=draw) + 1,
        torch.randn(BATCH, PARTS, WIDTH, generator=draw),
    )


@pytest.mark.parametrize("training", [True, False])
def test_whole_vectors_go_through_torchs_own_batch_norm(training):
    head, (whole, parts) = the_projection().train(training), the_vectors()
    plain = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU())
    plain.append(nn.Linear(HIDDEN, DIM)).train(training)
    own = ("hidden", "norm", "out")
    for name, place in zip(own, (0, 1, 3), strict=True):
        plain[place].load_state_dict(getattr(head, name).state_dict())
    for _ in range(2):  # the second step starts from moved statistics
        assert_close(head(whole, parts).whole, plain(whole))
    for name in ("running_mean", "running_var"):
        assert_close(getattr(head.norm, name), getattr(plain[1], name))


@pytest.mark.parametrize("training", [True, False])
def test_a_part_that_equals_its_whole_comes_out_equal_and_moves_no_statistics(training):
    head, (whole, parts) = the_projection().train(training), the_vectors()
    twin = the_projection().train(training)
    assert_close(head(whole, whole[:, None]).parts[:, 0], twin(whole, parts).whole)
    assert_close(head.norm.running_var, twin.norm.running_var)


def test_a_batch_of_one_is_finite():
    head = the_projection()
    found = head(torch.randn(1, WIDTH), torch.randn(1, PARTS, WIDTH))
    assert found.whole.isfinite().all() and found.parts.isfinite().all()
    assert head.norm.running_var.isfinite().all()


def loss_of(found, first):
    """Of no row like of another."""
    rows = torch.arange(first + 1.0, first + 1 + len(found.whole))
    weights = torch.arange(1.0, DIM + 1)
    whole = (found.whole * weights * rows[:, None]).square().mean()
    return whole + (found.parts.square() * rows[:, None, None]).mean()


def rank_of_projection(rank, folder):
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    torch.set_num_threads(1)
    head, half = the_projection(), BATCH // 2
    whole, parts = (x[rank * half : (rank + 1) * half] for x in the_vectors())
    wrapped = DistributedDataParallel(head)  # must outlive the backward pass
    loss_of(wrapped(whole, parts), rank * half).backward()
    found = {name: weight.grad for name, weight in head.named_parameters()}
    torch.save(found | dict(head.named_buffers()), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one_big_batch(tmp_path):
    two_processes(rank_of_projection, str(tmp_path))
    head = the_projection()
    loss_of(head(*the_vectors()), 0).backward()
    expected = {name: weight.grad for name, weight in head.named_parameters()}
    expected |= dict(head.named_buffers())
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, value in expected.items():
            assert_close(found[name], value, rtol=1e-4, atol=1e-4)
