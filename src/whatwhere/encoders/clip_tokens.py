"""The byte-pair tokenizer of CLIP, with the characters that each token came from."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

from whatwhere.encoders.tokenizing import mended, tokens
from whatwhere.records import Tokens

START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = 49152 - 256 - 2  # the vocabulary file holds more than the models know
PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True)
class ClipTokens:
    """Lower-cased byte pairs between a start and an end token, zeros after (arXiv 2103.00020).

    The ids are those of OpenAI's tokenizer, also for the names of the special tokens in a text.
    A longer caption is cut and still ends with the end token. A plain value: worker processes get
    it by pickling and read the vocabulary, which open_clip ships, once each.
    """

    context: int = 77

    def clean(self, text: str) -> str:
        """Mojibake and HTML entities mended, blanks collapsed, lower case."""
        return mended(text, lower=True)

    def pieces(self, text: str) -> list[tuple[str, int, int]]:
        """The tokens of a clean text as the vocabulary writes them, each with its characters.

        The last piece of a word ends in "</w>".
        """
        found = _tokenizer(self.context).encode(text)
        return [(piece, *place) for piece, place in zip(found.tokens, found.offsets, strict=True)]

    def ids(self, text: str) -> list[int]:
        """The tokens of a clean text, start and end included, as numbers without padding."""
        found = _tokenizer(self.context).encode(text)
        return found.ids[: sum(found.attention_mask)]

    def words(self, text: str) -> list[str]:
        """A clean text in the parts that byte pairs are joined in: words, numbers, other signs.

        A word that is cut by the end of the context is none.
        """
        found = _tokenizer(self.context).encode(text)
        words, start, real = [], None, sum(found.attention_mask)
        for piece, (first, last) in zip(found.tokens[1:real], found.offsets[1:real], strict=True):
            start = first if start is None else start
            if piece.endswith("</w>"):
                words.append(text[start:last])
                start = None
        return words

    def __call__(self, texts: list[str]) -> Tokens:
        return tokens(texts, tokenizer=_tokenizer(self.context), context=self.context)


@lru_cache
def _tokenizer(context: int) -> Tokenizer:
    pairs = _merges()
    letters = _letters()
    names = [*letters, *(f"{x}</w>" for x in letters), *("".join(p) for p in pairs), START, END]
    vocabulary = {name: i for i, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, end_of_word_suffix="</w>"))
    tokenizer.add_special_tokens([START, END])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}",
        special_tokens=[(START, vocabulary[START]), (END, vocabulary[END])],
    )
    tokenizer.enable_truncation(context)
    tokenizer.enable_padding(length=context, pad_id=0, pad_token=names[0])
    return tokenizer


def _merges() -> list[tuple[str, str]]:
    package = find_spec("open_clip")  # only found, not imported: that would take seconds
    if package is None or package.origin is None:
        raise ImportError("the CLIP tokenizer needs open_clip: pip install open_clip_torch")
    file = Path(package.origin).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(file.read_bytes()).decode().split("\n")[1 : MERGES + 1]
    pairs = [line.split() for line in lines]
    return [(left, right) for left, right in pairs]


def _letters() -> list[str]:
    """The 256 bytes as visible characters, in the order in which the vocabulary begins."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(i) for i in visible] + [chr(256 + i) for i in range(256 - len(visible))]
