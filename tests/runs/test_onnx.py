"""ONNX files give the numbers of torch at sizes they were not made with, and their page works."""

import json
import re
import shutil
from dataclasses import replace

import jaxtyping
import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from runs.small import small
from whatwhere.encoders.mobilenet_v2 import MobileNetV2
from whatwhere.encoders.timm_model import Timm
from whatwhere.heads.linear import Linear
from whatwhere.heads.whiten import Whiten
from whatwhere.pooling.groups import Groups
from whatwhere.recipes import override
from whatwhere.runs import onnx
from whatwhere.runs.loading import build
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Regions

NAMES = "dog, grass|lawn, sky"
TIMM = Timm("mobilenetv4_conv_small", frozen=False)
VIT = Timm("test_vit", frozen=False)
GROUPS = Groups(depths=(1, 1, 1), heads=(2, 2, 2), tokens=(6, 3), groups=(5, 3), head=(16, 24))


def mnv4():
    return replace(small("text.causal=False"), image=TIMM, head=Linear(24))


RECIPES = {
    "scenes": lambda: small("image.cls=True", "pool.how=cls"),
    "timm": mnv4,
    "vit": lambda: replace(small("pool.with_cls=True"), image=VIT),
    "mobilenet_v2": lambda: replace(small(), image=MobileNetV2(frozen=False), head=Whiten(24)),
    "tiny": lambda: small("text.layers=0", "text.pool=words", "text.kept=40", "text.members=2"),
    "groups": lambda: replace(small("text.hidden=20", "calibration=none"), pool=GROUPS),
}


@pytest.fixture(autouse=True, scope="module")
def unchecked():
    """Shapes are checked by code that cannot be traced."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model and the folder of its files."""
    model, folder = built(small()), tmp_path_factory.mktemp("onnx") / "out"
    onnx.write(model, small().reading, folder, names=NAMES)
    return model, folder


def built(recipe):
    """With random weights, and means that a calibration subtracts."""
    model = build(recipe, pretrained=False).model.eval()
    readout = model.similarity.readout
    for mean in (readout.region_mean, readout.caption_mean):
        mean.copy_(0.1 * torch.randn_like(mean))
    return model


def run(file, **inputs):
    session = onnxruntime.InferenceSession(file)
    found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return [torch.from_numpy(value) for value in found]


@pytest.mark.parametrize("name", RECIPES)
@torch.no_grad()
def test_patches_times_a_name_are_its_map_at_any_size_and_batch(name, tmp_path):
    model = built(RECIPES[name]())
    onnx.image_side(model, tmp_path / "image.onnx")
    readout, patch = model.similarity.readout, model.image_encoder.patch
    vectors = nn.functional.normalize(torch.randn(4, len(readout.caption_mean)), dim=-1)
    for batch, rows, cols in ((1, 3, 6), (2, 6, 2)):
        pixels = torch.rand(batch, 3, patch * rows, patch * cols)
        images = model.encode_images(pixels)
        patches, image = run(tmp_path / "image.onnx", pixels=pixels)
        maps = torch.einsum("nd,bdrc->bnrc", vectors, patches)
        torch.testing.assert_close(maps, readout.dense(images, vectors), atol=1e-4, rtol=0)
        torch.testing.assert_close(image, images.image, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["scenes", "timm", "groups", "tiny"])
@torch.no_grad()
def test_texts_become_the_vectors_of_names(name, tmp_path):
    model = built(replace(RECIPES[name](), image=small().image, head=small().head))
    model.text_encoder.fit(["a photo of a dog", "an old red car by a wall"])
    onnx.text_side(model, tmp_path / "text.onnx")
    for texts in (["a photo of a dog"], ["grass", "an old red car by a wall", "x"]):
        tokens = model.text_encoder.tokenizer(texts)
        (vectors,) = run(tmp_path / "text.onnx", ids=tokens.ids, mask=tokens.mask)
        wanted = model.similarity.readout.names(model.encode_texts(tokens).caption)
        torch.testing.assert_close(vectors, wanted, atol=1e-4, rtol=0)


def test_a_folder_holds_both_sides_the_names_and_a_page(exported):
    assert {file.name for file in exported[1].iterdir()} == {
        "README.md", "image.onnx", "text.onnx", "names.json", "names.npy",
    }  # fmt: skip


@pytest.mark.parametrize(("side", "presence"), [(0, 0), (64, 0), (64, 0.2)])
def test_the_code_of_the_page_labels_a_photo_as_the_segmenter_does(
    side, presence, exported, tmp_path, monkeypatch
):
    model, folder = exported
    settings = [f"reading.side={side}", "reading.window=0", f"reading.presence={presence}"]
    reading = override(small(), settings).reading
    (code,) = re.findall(r"```python\n(.*?)```", onnx.page(model, reading), re.DOTALL)
    here = tmp_path / "here"
    shutil.copytree(folder, here)
    small().captions[3].open().save(here / "photo.jpg")
    monkeypatch.chdir(here)
    found: dict = {}
    exec(code, found)
    wanted = Segmenter(model, reading)(here / "photo.jpg", NAMES)
    assert len(np.unique(wanted.labels)) > 1
    assert (found["labels"] == wanted.labels).mean() > 0.999


def test_synonyms_have_vectors_of_their_own(exported):
    model, folder = exported
    about = json.loads((folder / "names.json").read_text())
    assert about == {"names": ["dog", "grass", "sky"], "owner": [0, 1, 1, 2]}
    asked = [("dog",), ("grass", "lawn"), ("sky",)]
    vectors, _ = Segmenter(model, small().reading).name_vectors(asked)
    assert np.array_equal(np.load(folder / "names.npy"), vectors.numpy())


def test_a_reading_that_names_regions_first_is_told_not_to_be_kept(tmp_path):
    recipe = small("calibration=none")
    reading = replace(recipe.reading, regions=Regions())
    with pytest.warns(UserWarning, match="names regions before pixels"):
        onnx.write(built(recipe), reading, tmp_path / "out")
    assert not list((tmp_path / "out").glob("names*"))


@torch.no_grad()
def test_a_network_of_one_size_takes_any_number_of_pictures_of_that_size(tmp_path):
    model = built(small())
    model.image_encoder.any_size, model.image_encoder.size = False, 48
    onnx.image_side(model, tmp_path / "image.onnx")
    pixels = torch.rand(1, 3, 48, 48)
    _, image = run(tmp_path / "image.onnx", pixels=pixels)
    torch.testing.assert_close(image, model.encode_images(pixels).image, atol=1e-4, rtol=0)
    assert "size = (48, 48)" in onnx.page(model, small().reading)


class Counting(nn.Module):
    """A pooling whose regions depend on values, which no fixed graph can hold."""

    def __init__(self, pool):
        super().__init__()
        self.pool = pool

    def forward(self, features):
        return self.pool(features) if features.patches.sum().item() < 0 else None


class Fixing(Counting):
    """A pooling that remembers how many pictures it was traced with."""

    def forward(self, features):
        pooled = self.pool(features)
        return replace(pooled, image=pooled.image.reshape(len(pooled.image), -1))


class Noisy(Counting):
    """A pooling that gives other numbers each time."""

    def forward(self, features):
        pooled = self.pool(features)
        return replace(pooled, image=pooled.image + torch.randn_like(pooled.image))


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        (Noisy, "IdentityHead, Noisy give other numbers in ONNX than in torch, by up to"),
        (Counting, "ImageTower, IdentityHead, Counting cannot be exported to ONNX"),
        (Fixing, "Fixing fix axis 0 of the pixels to the size they were exported with"),
    ],
)
def test_a_part_that_cannot_be_exported_is_named_and_nothing_is_left(pool, said, tmp_path):
    model = built(small())
    model.pool = pool(model.pool)
    with pytest.raises(ValueError, match=said):
        onnx.write(model, small().reading, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_without_a_text_side_that_exports_there_are_still_names(tmp_path):
    model = built(small())
    encode = model.text_encoder.encode
    model.text_encoder.encode = lambda words, mask: encode(words, mask) if mask.any() else None
    with pytest.warns(UserWarning, match=r"without text.onnx: ClipTextEncoder cannot be exported"):
        onnx.write(model, small().reading, tmp_path / "out", names=NAMES)
    assert (tmp_path / "out" / "names.npy").is_file()
    assert not (tmp_path / "out" / "text.onnx").exists()


def test_without_the_extra_the_command_that_installs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "NEEDED", ("onnx", "a_package_that_is_not_there"))
    with pytest.raises(ImportError, match=r"a_package_that_is_not_there: pip install 'whatwhere"):
        onnx.write(built(small()), small().reading, tmp_path / "out")
