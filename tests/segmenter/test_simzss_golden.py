"""SimZSS's reading of features: class vectors of several templates, cosines, maps, background."""

import torch
from colours import Dictionary, Reader
from golden import Golden
from torch import nn

from whatwhere.concepts.prompts import Prompts
from whatwhere.heads.identity import Identity
from whatwhere.model import Model
from whatwhere.pooling.patches import PatchPool
from whatwhere.records import ImageFeatures, Sizes
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Background, Reading
from whatwhere.similarity.cosine import Cosine


class Stored(nn.Module):
    """Sees the same patches in every picture."""

    patches: torch.Tensor
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    patch, size, frozen = 14, 84, True

    def __init__(self, patches):
        super().__init__()
        self.register_buffer("patches", patches)
        self.width = patches.shape[-1]

    def grid(self, height, width):
        return self.patches.shape[1:3]

    def forward(self, images, inject=None):
        return ImageFeatures(self.patches)


class Whole(Dictionary):
    """Every prompt is one word."""

    def clean(self, text):
        return text.replace(" ", "_")


def reader(names, templates):
    """Each name's prompts get its stored vectors in turn, the same number of times each.

    There are more prompts than stored templates; those left over are unknown, whose zero vectors
    change no mean's direction.
    """
    count = templates.shape[1]
    words, vectors = [], []
    for name, stored in zip(names, templates, strict=True):
        texts = Prompts("imagenet")(name)
        texts = texts[: len(texts) // count * count]
        words += [text.replace(" ", "_") for text in texts]
        vectors.append(stored.repeat(len(texts) // count, 1))
    return Reader(Whole(words), torch.cat(vectors))


def test_golden_simzss_dense():
    golden = Golden("simzss_dense")
    templates, cosine = golden["class_text_raw"], golden["cosine"]
    names = [f"name{i}" for i in range(len(templates))]
    dim, (rows, cols) = templates.shape[2], cosine.shape[2:]
    model = Model(
        Stored(golden["patch_raw"].unflatten(1, (rows, cols))),
        Identity().build(Sizes()),
        PatchPool("mean"),
        reader(names, templates),
        Cosine().build(Sizes(dim=dim)),
    )
    segment = Segmenter(model, Reading(side=0, window=0, prompts="imagenet", chunk=3))
    vectors, _ = segment.name_vectors([(name,) for name in names])
    torch.testing.assert_close(vectors, golden["class_embedding"], rtol=1e-4, atol=1e-5)
    dense = model.similarity.readout.dense(model.encode_images(torch.zeros(1, 3, 14, 14)), vectors)
    torch.testing.assert_close(dense, cosine, rtol=1e-4, atol=1e-5)
    for name, labels in (("cosine_up_x14", "pred_x14"), ("cosine_up_97x131", "pred_97x131")):
        expected = golden[name][0]
        full = (expected.shape[1], expected.shape[2])
        found = segment.slide(torch.zeros(3, *full), vectors=vectors, full=full)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        picture = torch.zeros(3, *full)
        assert agreement(segment(picture, names).labels, golden[labels][0]) >= 0.999
    rule = Background("score", golden["background_threshold"].item())
    found = segment(picture, names, background=rule)
    assert agreement(found.labels, golden["pred_background_97x131"][0]) >= 0.999
    golden.all_compared()


def agreement(found, expected):
    """The share of pixels with the same label."""
    return (torch.from_numpy(found) == expected).float().mean().item()
