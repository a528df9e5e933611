"""Pairs whose pictures can be told apart by their colour, and a tokenizer that cuts words."""

import re

import torch
from PIL import Image

from whatwhere.captions.samples import FilePart, Sample
from whatwhere.records import Span, Tokens

NAMES = ("dog", "grass", "umbrella")


def pairs_of(folder, count, *, broken=(), captions=3, shift=0):
    """Picture i is filled with the grey value 10 * i + shift; its captions begin with `photo i`."""
    samples = []
    for i in range(count):
        path = folder / f"{i:03d}.png"
        if i in broken:
            path.write_bytes(b"not a picture")
        else:
            Image.new("RGB", (12 + i % 3, 9), (10 * i + shift,) * 3).save(path)
        said = (f"Photo {i}", f"photo {i}  a DOG", f"photo {i} an umbrella on grass, grass")
        samples.append(Sample(path.name, said[: 1 + i % captions], FilePart(str(path))))
    return tuple(samples)


def shown(images):
    """Which picture each row of a batch is."""
    grey = 255 * images.mean(dim=(1, 2, 3)) / 10
    assert torch.allclose(grey, grey.round(), atol=1e-3)
    return grey.round().long().tolist()


class Pieces:
    """Tokens of at most three letters; a start and an end token that come from no character."""

    context = 9
    start, end = 1, 2

    def clean(self, text):
        return " ".join(text.lower().split())

    def __call__(self, texts):
        ids = torch.zeros(len(texts), self.context, dtype=torch.long)
        offsets = torch.zeros(len(texts), self.context, 2, dtype=torch.long)
        for row, text in enumerate(texts):
            assert text == self.clean(text)
            places = [m.span() for m in re.finditer(r"[a-z]{1,3}|[0-9]+|[^\w ]", text)]
            places = places[: self.context - 2]
            numbers = [3 + sum(map(ord, text[a:b])) for a, b in places]
            ids[row, : len(places) + 2] = torch.tensor([self.start, *numbers, self.end])
            offsets[row, 1 : len(places) + 1] = torch.tensor(places).reshape(-1, 2)
        return Tokens(ids, ids > 0, offsets)


def find_names(text):
    return [
        Span(*match.span(), NAMES.index(match[0])) for match in re.finditer("|".join(NAMES), text)
    ]


def texts_of(tokens, pairs):
    """The captions behind token ids: all that `pairs` may say, tokenised again."""
    tokenizer, known = Pieces(), {}
    for i, sample in enumerate(pairs):
        for j, caption in enumerate(sample.captions):
            ids = tokenizer([tokenizer.clean(caption)]).ids[0]
            known[tuple(ids.tolist())] = (i, j)
    return [known[tuple(ids)] for ids in tokens.ids.tolist()]


def same(one, two):
    """Whether two records hold equal tensors."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if one is None or isinstance(one, tuple):
        return one == two
    return all(same(getattr(one, name), getattr(two, name)) for name in vars(one))
