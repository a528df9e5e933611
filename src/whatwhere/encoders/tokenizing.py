"""What tokenizers share: mending text, and tokens with the characters that they came from."""

import html

import ftfy
import torch
from tokenizers import Tokenizer

from whatwhere.records import Tokens


def mended(text: str, *, lower: bool) -> str:
    """Mojibake and HTML entities mended, blanks collapsed.

    Entities are resolved until none is left (OpenAI's code stops after two rounds), so that
    mending twice changes nothing and offsets stay true.
    """
    if text.isascii() and text.isprintable() and "&" not in text:
        text = " ".join(text.split())  # nearly every caption: nothing to mend, and ftfy is slow
        return text.lower() if lower else text
    before = None
    while before != text:
        before = text
        text = " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())
        text = text.lower() if lower else text
    return text


def tokens(texts: list[str], *, tokenizer: Tokenizer, context: int) -> Tokens:
    """Tokens of clean texts by a tokenizer that cuts and pads to `context`.

    Offsets leave out a blank that some vocabularies count to the word after it.
    """
    # One by one: the library's batch call starts threads, which forked workers cannot have.
    found = [tokenizer.encode(text) for text in texts]
    places = [
        (start + (end > start and text[start].isspace()), end)
        for text, encoding in zip(texts, found, strict=True)
        for start, end in encoding.offsets
    ]
    shape = len(found), context
    return Tokens(
        ids=torch.tensor([e.ids for e in found], dtype=torch.long).view(shape),
        mask=torch.tensor([e.attention_mask for e in found], dtype=torch.bool).view(shape),
        offsets=torch.tensor(places, dtype=torch.long).view(*shape, 2),
    )
