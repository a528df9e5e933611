"""Settings of every test run."""

import pytest
import torch

torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


@pytest.fixture(scope="session")
def small_tiny(tmp_path_factory):
    """A folder of models with an untrained `tiny` in it, kept as those of the package are."""
    from safetensors.torch import load_file, save_file

    from runs.small import small
    from whatwhere.runs.loading import about, build
    from whatwhere.training import checkpoints

    folder = tmp_path_factory.mktemp("models")
    recipe = small("reading.side=64", "reading.background.rule=score", "background.threshold=0.1")
    saved = checkpoints.save(
        folder / "run", 7, build(recipe), None, about(recipe, ["cat", "dog"])
    ).rename(folder / "tiny")
    weights = load_file(saved / "model.safetensors")
    save_file({name: w.half() for name, w in weights.items()}, saved / "model.safetensors")
    return folder


@pytest.fixture
def tiny(small_tiny, monkeypatch):
    """The small `tiny` in the place of the one that comes with the package."""
    from whatwhere import models

    monkeypatch.setattr(models, "FOLDER", small_tiny)
    return small_tiny / "tiny"
