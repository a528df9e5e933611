"""A space gives unit vectors in which a picture meets its caption, whoever made the model."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from runs.small import small
from whatwhere.runs.loading import restore
from whatwhere.runs.spaces import open_space
from whatwhere.runs.training import run_training

SMALL_CLIP = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 16,
        "heads": 2,
        "layers": 1,
    },
}


@pytest.fixture(scope="module")
def photos():
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(256, size=(40, 52, 3), dtype=np.uint8)) for _ in range(3)]


def test_our_models_embed_as_they_were_trained(tmp_path, photos):
    run_training(small("training.steps=1"), out=tmp_path / "run")
    space = open_space(str(tmp_path / "run"), device="cpu")
    pictures, texts = space.pictures(photos), space.texts(["a boat", "two very small cats"])
    assert pictures.shape == (3, texts.shape[1]) and len(texts) == 2
    for vectors in (pictures, texts):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(space.pictures(photos[1:2])[0], pictures[1], atol=1e-5)
    assert open_space(str(tmp_path / "run"), device="cpu").identity == space.identity
    model = restore(tmp_path / "run").step.model.eval()
    tokenizer = model.text_encoder.tokenizer
    with torch.no_grad():
        alone = model.encode_texts(tokenizer([tokenizer.clean("a boat")])).caption
    np.testing.assert_allclose(alone.numpy()[0], texts[0], atol=1e-5)


def test_open_clip_models_embed_by_name_and_local_file(tmp_path, photos):
    open_clip = pytest.importorskip("open_clip")
    (tmp_path / "Small-CLIP-Of-Tests.json").write_text(json.dumps(SMALL_CLIP))
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    model = open_clip.create_model("Small-CLIP-Of-Tests").eval()
    torch.save(model.state_dict(), tmp_path / "clip.pt")
    space = open_space(f"open_clip:Small-CLIP-Of-Tests:{tmp_path}/clip.pt", device="cpu")
    (tmp_path / "junk.pt").write_bytes(b"junk")
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pt")
    for file in ("junk.pt", "other.pt"):
        with pytest.raises(ValueError, match=r"open_clip cannot read .*; give a file of that arch"):
            open_space(f"open_clip:Small-CLIP-Of-Tests:{tmp_path}/{file}", device="cpu")
    pictures, texts = space.pictures(photos), space.texts(["a dog", "grass"])
    assert pictures.shape == (3, 12) and texts.shape == (2, 12)
    tokens = open_clip.get_tokenizer("Small-CLIP-Of-Tests")(["grass"])
    with torch.no_grad():
        expected = model.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(texts[1:], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("open_clip:ViT-B-16", "write open_clip:ARCHITECTURE:WEIGHTS, as in"),
        ("open_clip:ViT-Z-99:clip.pt", "write open_clip:ARCHITECTURE:WEIGHTS, as in"),
        ("open_clip:ViT-B-16:nowhere.pt", "no weights at 'nowhere.pt', and open_clip has none"),
        ("nowhere", "no model at nowhere"),
    ],
)
def test_what_cannot_be_opened_is_said(name, said):
    with pytest.raises(ValueError, match=said):
        open_space(name)
