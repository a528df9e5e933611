"""Files of weights: what may lie beside the tensors, and what may not."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from whatwhere.weights import read


class Settings:
    """As a training script keeps them."""

    def __init__(self):
        self.where, self.rates, self.kind = Path("here"), [1.0, Namespace(a={"b": [2]})], dict


class Evil:
    ran = False

    def __reduce__(self):
        return setattr, (Evil, "ran", True)


def test_settings_beside_the_tensors_are_left_where_they_are(tmp_path):
    saved = {"model": {"a": torch.ones(2)}, "config": Settings(), "args": Namespace(lr=1.0)}
    torch.save(saved, tmp_path / "a.pth")
    found = read(str(tmp_path / "a.pth"))
    assert list(found) == ["a"] and torch.equal(found["a"], torch.ones(2))
    torch.save(saved["config"], tmp_path / "a.pth")
    with pytest.raises(ValueError, match="holds no tensors by name"):
        read(str(tmp_path / "a.pth"))


def test_no_code_of_a_file_is_run(tmp_path):
    torch.save({"a": torch.ones(2), "evil": Evil()}, tmp_path / "a.pth")
    assert list(read(str(tmp_path / "a.pth"))) == ["a"] and not Evil.ran
    torch.load(tmp_path / "a.pth", weights_only=False)
    assert Evil.ran


def test_single_numbers_of_numpy_are_tensors(tmp_path):
    torch.save({"params": {"logit_scale": np.float32(2.5)}}, tmp_path / "a.pth")
    found = read(str(tmp_path / "a.pth"))
    assert found == {"params/logit_scale": torch.tensor(2.5)}


def test_a_file_of_something_else_is_refused(tmp_path):
    for name in ("a.pth", "a.safetensors"):
        (tmp_path / name).write_bytes(b"junk")
        with pytest.raises(ValueError, match=r"cannot read weights from .*a\."):
            read(str(tmp_path / name))
