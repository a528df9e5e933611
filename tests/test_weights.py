"""Files of weights: what may lie beside the tensors, and what may not."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from whatwhere.weights import read


def test_settings_beside_the_tensors_do_no_harm(tmp_path):
    torch.save({"model": {"a": torch.ones(2)}, "args": Namespace(lr=1.0)}, tmp_path / "a.pth")
    assert torch.equal(read(str(tmp_path / "a.pth"))["a"], torch.ones(2))


def test_single_numbers_of_numpy_are_tensors(tmp_path):
    torch.save({"params": {"logit_scale": np.float32(2.5)}}, tmp_path / "a.pth")
    found = read(str(tmp_path / "a.pth"))
    assert found == {"params/logit_scale": torch.tensor(2.5)}


def test_a_file_of_something_else_is_refused(tmp_path):
    for name in ("a.pth", "a.safetensors"):
        (tmp_path / name).write_bytes(b"junk")
        with pytest.raises(ValueError, match=r"cannot read weights from .*a\."):
            read(str(tmp_path / name))


def test_what_could_run_code_is_refused_by_its_name(tmp_path):
    torch.save({"a": torch.ones(2), "where": Path("here")}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"holds a pathlib.*Path, and reading one could run code"):
        read(str(tmp_path / "a.pth"))
