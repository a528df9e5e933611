"""The released CLIPpy evaluator, from its pictures and prompts to its score."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from golden import Golden
from PIL import Image
from safetensors.torch import save_file

from benchmarks.test_voc import devkit
from encoders.test_timm_model import as_pixels, vit
from whatwhere.benchmarks import Benchmark, Item
from whatwhere.benchmarks.clippy_voc import BothScores, BothWays, load, released_iou
from whatwhere.concepts.backgrounds import background_names
from whatwhere.encoders.hf_text import HuggingFaceText
from whatwhere.encoders.timm_model import tower
from whatwhere.heads.identity import Identity
from whatwhere.model import Model
from whatwhere.pooling.patches import PatchPool
from whatwhere.records import Sizes, Tokens
from whatwhere.runs.evaluating import measure
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Reading
from whatwhere.similarity.cosine import Cosine

transformers = pytest.importorskip("transformers")

ELSEWHERE = {
    "img.*": "image encoder",
    "infer.*": "poolings of the image encoder, and other resolutions",
    "txt.*": "text encoder",
    "loss.*": "objective",
    "lr.*": "schedule of training",
    "dense.*": "segmenter",
    "zs.*": "classifier from prompts",
    "metric.*": "counting: tests/benchmarks/test_clippy_voc.py",
    "pdrop.*": "token dropping in training",
    "native*": "an encoder that is not of the method",
    "sd.logit_scale": "an objective's",
}


class Numbered(torch.nn.Module):
    """Sees stored pixels in place of a picture that is painted with their number."""

    frozen = True

    def __init__(self, encoder, pixels):
        super().__init__()
        self.encoder, self.pixels = encoder, pixels
        self.patch, self.size, self.width = encoder.patch, pixels.shape[3], encoder.width

    def forward(self, images, inject=None):
        return self.encoder(self.pixels[(255 * images[:, 0, 0, 0]).round().long()])


class Prompted:
    """The stored tokens of each stored prompt; others it does not know."""

    def __init__(self, prompts, ids, mask):
        self.prompts, self.ids, self.mask = prompts, ids, mask

    def clean(self, text):
        return text

    def __call__(self, texts):
        rows = [self.prompts.index(text) for text in texts]
        ids = self.ids[rows]
        return Tokens(ids, self.mask[rows], torch.zeros(*ids.shape, 2, dtype=torch.long))


class Numbers:
    """Pictures painted with their number, under the classes of the released evaluator."""

    background, ignore, official = 0, 255, None

    def __init__(self, like, labels):
        self.name, self.classes, self.names = like.name, like.classes, like.names
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def items(self, indices=None):
        for i in range(len(self)) if indices is None else indices:
            height, width = self.labels[i].shape
            yield Item(str(i), Image.new("RGB", (width, height), (i, i, i)), self.labels[i])


def image_encoder(golden):
    sizes = golden.config
    encoder: Any = tower(
        vit(
            img_size=sizes["img"],
            patch_size=sizes["patch"],
            embed_dim=sizes["width"],
            depth=sizes["depth"],
            num_heads=sizes["heads"],
        )
    )
    encoder.trunk.trunk.model.load_state_dict(golden.under("sd.visual.trunk."))
    return Numbered(encoder, as_pixels(golden["voc.images"]))


def text_encoder(golden, folder):
    state, linear = golden.under("sd.text.0.auto_model."), golden["sd.text.2.linear.weight"]
    words = state["encoder.embed_tokens.weight"]
    config = transformers.T5Config(vocab_size=len(words), **golden.config["t5"])
    config.save_pretrained(folder)
    save_file(state | {"shared.weight": words.clone()}, folder / "model.safetensors")
    (folder / "2_Dense").mkdir()
    save_file({"linear.weight": linear}, folder / "2_Dense" / "model.safetensors")
    facts = {"bias": False, "activation_function": "torch.nn.modules.linear.Identity"}
    (folder / "2_Dense" / "config.json").write_text(json.dumps(facts))
    encoder: Any = HuggingFaceText(str(folder), head="dense").build(Sizes(dim=len(linear)))
    encoder.tokenizer = Prompted(
        json.loads(golden.metadata["prompts"]),
        golden["voc.prompt_ids"].long(),
        golden["voc.prompt_mask"].bool(),
    )
    return encoder


def test_golden_clippy_voc(tmp_path):
    golden = Golden("clippy", excused=ELSEWHERE)
    (tmp_path / "t5").mkdir()
    model = Model(
        image_encoder(golden),
        Identity().build(Sizes()),
        PatchPool(),
        text_encoder(golden, tmp_path / "t5"),
        Cosine().build(Sizes()),
    )
    segment = Segmenter(model, Reading(side=0, window=0, prompts="article", chunk=7))
    photos = Numbers(load(str(devkit(tmp_path))).photos, golden["voc.labels"].long().numpy())
    assert isinstance(photos, Benchmark)

    others = background_names("voc60", asked=[])
    said = [others[0], *photos.names[1:], *others[1:]]  # the order of the released code
    vectors, owner = segment.name_vectors(said)
    expected = golden["voc.class_embeddings_unit"]
    torch.testing.assert_close(vectors, expected, rtol=1e-5, atol=1e-5)
    official = vectors / vectors.norm()  # of all names together: no name gains on another
    torch.testing.assert_close(official, golden["voc.class_embeddings_official"])
    folded = golden["voc.pred_folded"].long()
    for i, item in enumerate(photos.items()):
        for names in (vectors, official):
            _, labels, _ = segment.best(segment.look(item.image), names, owner)
            assert torch.equal(labels, golden["voc.pred_raw_0_to_59"][i].long())
            assert torch.equal(torch.where(labels < len(photos.classes), labels, 0), folded[i])

    found = measure(segment, BothWays(photos, side=photos.labels.shape[1]))
    assert isinstance(found.result, BothScores)
    released, correct = found.result.released, found.result.correct
    confused = golden["voc.confusion_rows_label_cols_pred"].numpy()
    assert np.array_equal(released.counts, confused)
    # Square photos that are seen at their own size: both ways look at the same.
    assert np.array_equal(correct.counts, confused)
    iou = released_iou(released)
    assert np.allclose(iou, golden["voc.iou_per_class"].numpy(), rtol=0, atol=1e-6)
    assert iou.mean() == pytest.approx(golden["voc.miou"].item(), abs=1e-6)
    assert correct.miou > iou.mean()  # some classes occur nowhere
    golden.all_compared()
