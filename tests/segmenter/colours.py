"""A toy model that knows colours: what it must answer for a painted picture can be written down."""

import torch
import torch.nn.functional as F
from einops import rearrange
from PIL import Image
from torch import nn

from whatwhere.heads.identity import Identity
from whatwhere.model import Model
from whatwhere.pooling.patches import PatchPool
from whatwhere.records import ImageFeatures, Sizes, TextFeatures, Tokens
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Reading
from whatwhere.similarity.cosine import Cosine

RGB = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "white": (1, 1, 1),
}
SMALL = Reading(side=0, window=0, prompts="name")


def code(rgb):
    """Unit vectors of colours: pure red, green and blue have cosines of 1/3, red and white too."""
    return F.normalize(torch.cat([rgb, 1 - rgb], dim=-1), dim=-1)


class Seer(nn.Module):
    """A patch is the code of its mean colour."""

    light: torch.Tensor
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    patch, size, width, frozen = 4, 8, 6, True

    def __init__(self):
        super().__init__()
        self.register_buffer("light", torch.ones(()))

    def grid(self, height, width):
        return height // self.patch, width // self.patch

    def forward(self, images, inject=None):
        assert images.min() >= 0 and images.max() <= 1
        assert images.shape[2] % self.patch == 0 and images.shape[3] % self.patch == 0
        colour = F.avg_pool2d(self.light * images, self.patch)
        return ImageFeatures(code(rearrange(colour, "b rgb rows cols -> b rows cols rgb")))


class Dictionary:
    """Words by number; 0 is every word that is not in it."""

    def __init__(self, words):
        self.words, self.context = list(words), 9

    def clean(self, text):
        return " ".join(text.lower().replace(".", " ").split())

    def __call__(self, texts):
        ids = torch.zeros(len(texts), self.context, dtype=torch.long)
        mask = torch.zeros(len(texts), self.context, dtype=torch.bool)
        for row, text in enumerate(texts):
            for column, word in enumerate(text.split()[: self.context]):
                ids[row, column] = self.words.index(word) + 1 if word in self.words else 0
                mask[row, column] = True
        return Tokens(ids, mask, torch.zeros(*ids.shape, 2, dtype=torch.long))


class Reader(nn.Module):
    """A caption is the sum of its words."""

    table: torch.Tensor
    frozen = True

    def __init__(self, tokenizer, vectors, *, never_learnt=()):
        super().__init__()
        self.tokenizer, self.never_learnt = tokenizer, never_learnt
        self.register_buffer("table", torch.cat([torch.zeros(1, vectors.shape[1]), vectors]))

    def fit(self, captions):
        pass

    def unknown(self, texts):
        words = (self.tokenizer.clean(text).split() for text in texts)
        return [tuple(word for word in some if word in self.never_learnt) for some in words]

    def embed(self, ids):
        return self.table[ids]

    def encode(self, embeddings, mask, inject=None):
        return TextFeatures(embeddings, (embeddings * mask[..., None]).sum(dim=1))


def reader(more=0, *, never_learnt=()):
    """Knows the colours, and `more` words c0, c1, ... of random vectors."""
    torch.manual_seed(3)
    vectors = torch.cat([code(torch.tensor(list(RGB.values())).float()), torch.randn(more, 6)])
    words = Dictionary([*RGB, *(f"c{i}" for i in range(more))])
    return Reader(words, vectors, never_learnt=never_learnt)


def segmenter(reading=SMALL, *, more=0, similarity=None, never_learnt=()):
    similarity = similarity or Cosine().build(Sizes(dim=6))
    words = reader(more, never_learnt=never_learnt)
    model = Model(Seer(), Identity().build(Sizes()), PatchPool(), words, similarity)
    return Segmenter(model, reading)


def painting(*rows, block=8):
    """A picture of square blocks: painting(["red", "blue"]) is 8 high and 16 wide."""
    colours = torch.tensor([[RGB[name] for name in row] for row in rows], dtype=torch.uint8) * 255
    pixels = colours.repeat_interleave(block, dim=0).repeat_interleave(block, dim=1)
    return Image.fromarray(pixels.numpy())


def mosaic(height, width):
    """Every four pixels another colour."""
    torch.manual_seed(0)
    colours = torch.randint(256, (-(-height // 4), -(-width // 4), 3), dtype=torch.uint8)
    pixels = colours.repeat_interleave(4, dim=0).repeat_interleave(4, dim=1)
    return Image.fromarray(pixels[:height, :width].contiguous().numpy())
