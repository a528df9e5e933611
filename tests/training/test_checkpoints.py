"""A checkpoint is whole or is not there, and holds no pickle."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from whatwhere.training import checkpoints
from whatwhere.training.schedule import optimizer
from whatwhere.training.settings import Training

ABOUT = {"recipe": {"why": "naïve"}, "concepts": ["dog|puppy"]}


class Net(nn.Module):
    seen: torch.Tensor

    def __init__(self, seed=0, width=3):
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = nn.Linear(2, width), nn.Linear(width, 5)
        self.fixed = nn.Linear(5, 4).requires_grad_(False)
        self.register_buffer("seen", torch.rand(7))

    def forward(self, inputs):
        return self.fixed(self.second(self.first(inputs))).square().sum()


def trained(net, steps):
    adam = optimizer(net, Training(lr=0.1))
    for step in range(steps):
        adam.zero_grad()
        net(torch.full((3, 2), 1.0 + step)).backward()
        adam.step()
    return adam


def equal(one, two):
    states = one.state_dict(), two.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_weights_and_buffers_come_back_bit_for_bit(tmp_path):
    net, other = Net(), Net(seed=1)
    folder = checkpoints.save(tmp_path, 3, net, trained(net, 3), ABOUT)
    assert not equal(net, other)
    checkpoints.read_weights(folder, other)
    assert equal(net, other)


def test_training_goes_on_from_stored_moments_as_if_it_had_not_stopped(tmp_path):
    whole = Net()
    trained(whole, 1)
    adam = trained(whole, 3)
    folder = checkpoints.save(tmp_path, 3, whole, adam, ABOUT)
    resumed = Net(seed=1)
    checkpoints.read_weights(folder, resumed)
    again = optimizer(resumed, Training(lr=0.1))
    checkpoints.read_optimizer(folder, resumed, again)
    for net, how in ((whole, adam), (resumed, again)):
        how.zero_grad()
        net(torch.full((3, 2), 0.5)).backward()
        how.step()
    assert equal(whole, resumed)
    for weight, same in zip(whole.parameters(), resumed.parameters(), strict=True):
        for key, value in adam.state.get(weight, {}).items():
            assert torch.equal(value, again.state[same][key])


def test_a_checkpoint_says_what_it_was_told(tmp_path):
    folder = checkpoints.save(tmp_path, 12, Net(), None, ABOUT)
    said = checkpoints.read_about(folder)
    assert said == {"format": checkpoints.FORMAT, "step": 12} | ABOUT


def test_there_is_no_pickle_in_it(tmp_path):
    net = Net()
    folder = checkpoints.save(tmp_path, 1, net, trained(net, 1), ABOUT)
    assert sorted(file.name for file in folder.iterdir()) == [
        "about.json",
        "model.safetensors",
        "optimizer.safetensors",
    ]
    for file in folder.glob("*.safetensors"):
        length = int.from_bytes(file.read_bytes()[:8], "little")
        json.loads(file.read_bytes()[8 : 8 + length])


def test_only_the_two_newest_stay(tmp_path):
    for step in (9, 10, 200):
        checkpoints.save(tmp_path, step, Net(), None, ABOUT)
    left = [folder.name for folder in checkpoints.whole(tmp_path)]
    assert left == ["step-00000010", "step-00000200"]
    assert checkpoints.newest(tmp_path).name == "step-00000200"


def test_a_half_written_checkpoint_is_ignored_and_then_removed(tmp_path):
    good = checkpoints.save(tmp_path, 2, Net(), None, ABOUT)
    half = tmp_path / "checkpoints" / ".step-00000004.4711"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half of it")
    assert checkpoints.newest(tmp_path) == good
    checkpoints.save(tmp_path, 6, Net(), None, ABOUT)
    names = sorted(folder.name for folder in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000002", "step-00000006"]


def test_the_same_step_may_be_kept_again(tmp_path):
    checkpoints.save(tmp_path, 2, Net(), None, ABOUT)
    other = Net(seed=1)
    folder = checkpoints.save(tmp_path, 2, other, None, ABOUT)
    found = Net()
    checkpoints.read_weights(folder, found)
    assert equal(found, other)


def test_a_checkpoint_may_be_given_instead_of_its_run(tmp_path):
    folder = checkpoints.save(tmp_path, 2, Net(), None, ABOUT)
    assert checkpoints.newest(folder) == folder


def test_a_folder_without_checkpoints_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"holds no checkpoint .* give the --out folder"):
        checkpoints.newest(tmp_path)


def test_another_format_is_an_error(tmp_path):
    folder = checkpoints.save(tmp_path, 2, Net(), None, ABOUT | {"format": 99})
    with pytest.raises(ValueError, match="has checkpoint format 99, this version reads 1"):
        checkpoints.read_about(folder)


@pytest.mark.parametrize("text", ["", '{"format": 1'])
def test_a_damaged_description_is_an_error(tmp_path, text):
    folder = checkpoints.save(tmp_path, 2, Net(), None, ABOUT)
    (folder / "about.json").write_text(text)
    with pytest.raises(ValueError, match="damaged"):
        checkpoints.read_about(folder)


@pytest.mark.parametrize("other", [nn.Linear(2, 3), Net(width=4)], ids=["names", "sizes"])
def test_weights_that_do_not_fit_are_an_error_of_one_line(tmp_path, other):
    folder = checkpoints.save(tmp_path, 2, Net(), None, ABOUT)
    with pytest.raises(ValueError, match=r"do not fit its recipe: .*\w") as caught:
        checkpoints.read_weights(folder, other)
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_an_error(tmp_path):
    folder = checkpoints.save(tmp_path, 2, Net(), None, ABOUT)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match="are damaged"):
        checkpoints.read_weights(folder, Net())


class Mixed(nn.Module):
    """Every kind of tensor that packing has to decide about."""

    measured: torch.Tensor
    count: torch.Tensor

    def __init__(self):
        super().__init__()
        self.plain = nn.Parameter(torch.randn(5, 3))
        self.tied = self.plain
        self.bias = nn.Parameter(torch.randn(7))
        self.huge = nn.Parameter(torch.tensor([[1e6, 1.0, 2.0]]))
        self.faint = nn.Parameter(1e-7 * torch.randn(4, 2))
        self.register_buffer("measured", torch.randn(2, 6))
        self.register_buffer("count", torch.tensor(2**40))


def test_packing_halves_learned_matrices_and_nothing_that_float16_would_spoil(tmp_path):
    torch.manual_seed(0)
    net, other = Mixed(), Mixed()
    checkpoints.pack(tmp_path / "packed", 3, net, ABOUT)
    stored = load_file(tmp_path / "packed" / "model.safetensors")
    halves = {name for name, tensor in stored.items() if tensor.dtype == torch.float16}
    assert halves == stored.keys() & {"plain", "tied"} and len(halves) == 1
    checkpoints.read_weights(tmp_path / "packed", other)
    assert {tensor.dtype for tensor in other.parameters()} == {torch.float32}
    torch.testing.assert_close(other.plain, net.plain, rtol=2**-11, atol=1e-6)
    for name in ("bias", "huge", "faint", "measured", "count"):
        assert torch.equal(getattr(other, name), getattr(net, name))
    assert net.plain.dtype == torch.float32


def test_a_packed_folder_is_a_checkpoint_itself_and_cannot_be_trained_on(tmp_path):
    net = Net()
    checkpoints.pack(tmp_path / "packed", 3, net, ABOUT)
    assert [file.name for file in tmp_path.iterdir()] == ["packed"]
    assert checkpoints.newest(tmp_path / "packed") == tmp_path / "packed"
    said = checkpoints.read_about(tmp_path / "packed")
    assert said == {"format": checkpoints.FORMAT, "step": 3} | ABOUT
    with pytest.raises(ValueError, match="exported without what training needs"):
        checkpoints.read_optimizer(tmp_path / "packed", net, trained(net, 1))
