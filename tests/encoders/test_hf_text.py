"""Hugging Face text encoders, tiny and random, from folders made on the spot."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from golden import Golden
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.testing import assert_close

from whatwhere.encoders.hf_text import T5, HuggingFaceText, HuggingFaceTokens
from whatwhere.records import Sizes, TextEncoder

transformers = pytest.importorskip("transformers")

WORDS = ["a", "the", "dog", "cat", "sat", "on", "mat", "sofa", "red", "blue", "##s", "photo", "of"]


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, pad: str) -> None:
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad)
    fast.save_pretrained(folder)


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("bert")
    names = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(names, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    save_tokenizer(tokenizer, folder, pad="[PAD]")
    config = transformers.BertConfig(
        vocab_size=len(names),
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=16,
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def t5(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("t5")
    pieces = ["<pad>", "</s>", "<unk>", "▁", *(f"▁{w}" for w in WORDS), "s", "d"]
    tokenizer = Tokenizer(models.Unigram([(p, -float(i)) for i, p in enumerate(pieces)], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    save_tokenizer(tokenizer, folder, pad="<pad>")
    save_t5(folder, seed=1, vocabulary=len(pieces))
    return str(folder)


def save_t5(folder: Path, *, seed: int, vocabulary: int, **sizes) -> None:
    torch.manual_seed(seed)
    sizes = sizes or {"d_model": 24, "d_kv": 5, "num_heads": 4, "d_ff": 40, "num_layers": 3}
    config = transformers.T5Config(vocab_size=vocabulary, **sizes)
    transformers.T5EncoderModel(config).save_pretrained(folder)


@pytest.fixture(params=["bert", "t5"])
def source(request) -> str:
    return request.getfixturevalue(request.param)


TEXTS = ["A photo of the dogs", "red cat", "the blue dog sat on a mat"]


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert_close(found, expected, rtol=1e-4, atol=2e-5)


def test_golden_clippy_text(tmp_path):
    golden = Golden(
        "clippy",
        excused={
            "sd.visual.*": "image, compared in test_timm_model",
            "sd.logit_scale": "an objective's",
            "img.*": "image",
            "infer.*": "image",
            "native*": "the baseline of open_clip",
            "loss.*": "objectives",
            "lr.*": "training",
            "dense.*": "similarity",
            "voc.*": "benchmarks",
            "metric.*": "benchmarks",
            "zs.*": "benchmarks",
            "pdrop.*": "token sub-sampling, compared in test_patch_drop",
        },
    )
    state = golden.under("sd.text.0.auto_model.")
    words = state["encoder.embed_tokens.weight"]
    config = transformers.T5Config(vocab_size=len(words), **golden.config["t5"])
    config.save_pretrained(tmp_path)
    save_file(state | {"shared.weight": words.clone()}, tmp_path / "model.safetensors")
    (tmp_path / "2_Dense").mkdir()
    linear = {"linear.weight": golden["sd.text.2.linear.weight"]}
    save_file(linear, tmp_path / "2_Dense" / "model.safetensors")
    facts = {"bias": False, "activation_function": "torch.nn.modules.linear.Identity"}
    (tmp_path / "2_Dense" / "config.json").write_text(json.dumps(facts))

    ids, mask = golden["txt.input_ids"].long(), golden["txt.attention_mask"].bool()
    settings = HuggingFaceText(str(tmp_path), head="none")
    width = words.shape[1]
    plain = settings.build(Sizes(dim=width))(ids, mask)
    close(plain.words[mask], golden["txt.token_embeddings"][mask])
    close(plain.caption, golden["txt.pooled_mean"])
    dense = replace(settings, head="dense").build(Sizes(dim=golden["txt.dense"].shape[1]))
    found = dense(ids, mask)
    caption = found.caption
    close(caption, golden["txt.dense"])
    (tmp_path / "2_Dense" / "model.safetensors").unlink()
    torch.save(linear, tmp_path / "2_Dense" / "pytorch_model.bin")  # as older snapshots have it
    again = replace(settings, head="dense").build(Sizes(dim=caption.shape[1]))
    assert torch.equal(again(ids, mask).caption, caption)
    (tmp_path / "2_Dense" / "pytorch_model.bin").unlink()
    with pytest.raises(ValueError, match=r"no weights of its dense layer.*use text\.head=new"):
        replace(settings, head="dense").build(Sizes(dim=caption.shape[1]))
    torch.save(linear, tmp_path / "2_Dense" / "pytorch_model.bin")
    close(torch.nn.functional.normalize(caption, dim=-1), golden["txt.embed"])
    unmasked = torch.nn.functional.normalize(found.words.mean(dim=1), dim=-1)  # as in JAX
    close(unmasked, golden["txt.embed_unmasked_mean"])
    highest = replace(settings, head="dense", pool="max").build(Sizes(dim=caption.shape[1]))
    unit = torch.nn.functional.normalize(highest(ids, mask).caption, dim=-1)
    close(unit, golden["txt.embed_maxpool"])
    golden.all_compared()


def test_is_a_text_encoder_that_agrees_with_the_library(source):
    encoder = HuggingFaceText(source, head="none", context=12).build(Sizes(dim=24))
    assert isinstance(encoder, TextEncoder)
    found = encoder.tokenizer(TEXTS)
    made = encoder(found.ids, found.mask)
    library = transformers.AutoModelForTextEncoding.from_pretrained(source)
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    for i, text in enumerate(TEXTS):
        alone = library(**tokenizer(text, return_tensors="pt", return_token_type_ids=False))
        length = int(found.mask[i].sum())
        assert_close(made.words[i, :length], alone.last_hidden_state[0])
        assert_close(made.caption[i], alone.last_hidden_state[0].mean(dim=0))


@pytest.mark.parametrize("pool", ["mean", "first", "max"])
def test_padding_and_company_do_not_matter(source, pool):
    settings = HuggingFaceText(source, pool=pool, context=12, frozen=False)
    encoder = settings.build(Sizes(dim=7)).eval()
    found = encoder.tokenizer(TEXTS)
    together = encoder(found.ids, found.mask)
    for i, length in enumerate(found.mask.sum(dim=1).tolist()):
        alone = encoder(found.ids[i : i + 1, :length], found.mask[i : i + 1, :length])
        assert_close(alone.caption[0], together.caption[i])
        assert_close(alone.words[0], together.words[i, :length])


def test_injecting_nothing_that_is_seen_changes_nothing(source):
    """The pass that takes injected tokens is the library's own, for as long as none came in."""
    encoder = HuggingFaceText(source, head="none", context=12).build(Sizes(dim=24))
    found = encoder.tokenizer(TEXTS)
    words = encoder.embed(found.ids)
    none = torch.zeros(3, 0, 24)
    expected = encoder.encode(words, found.mask)
    made = encoder.encode(words, found.mask, {1: none})
    assert_close(made.words[found.mask], expected.words[found.mask])


def test_injected_tokens_change_words_keep_shapes_and_learn(source):
    encoder = HuggingFaceText(source, context=12).build(Sizes(dim=7)).train()
    found = encoder.tokenizer(TEXTS)
    plain = encoder(found.ids, found.mask)
    for layer in range(3):
        tokens = torch.randn(3, 5, 24, requires_grad=True)
        made = encoder.encode(encoder.embed(found.ids), found.mask, {layer: tokens})
        assert made.words.shape == plain.words.shape == (3, 12, 7)
        assert not torch.allclose(made.caption, plain.caption)
        (gradient,) = torch.autograd.grad(made.caption.sum(), tokens)
        assert gradient.abs().amax(dim=(1, 2)).min() > 0


def test_later_injected_tokens_replace_earlier_ones(source):
    encoder: Any = HuggingFaceText(source, context=12).build(Sizes(dim=7))
    model, lengths = encoder.trunk.trunk.model, []
    for block in model.block if model.config.model_type == "t5" else model.encoder.layer:
        block.register_forward_pre_hook(lambda _, given: lengths.append(given[0].shape[1]))
    found = encoder.tokenizer(TEXTS)
    inject = {0: torch.randn(3, 5, 24), 2: torch.randn(3, 4, 24)}
    encoder.encode(encoder.embed(found.ids), found.mask, inject)
    longest = int(found.mask.sum(dim=1).max())
    assert lengths == [longest + 5, longest + 5, longest + 4]
    with pytest.raises(ValueError, match="0 to 2"):
        encoder.encode(encoder.embed(found.ids), found.mask, {3: torch.randn(3, 5, 24)})


def test_offsets_point_at_the_words_they_came_from(source):
    tokenizer = HuggingFaceText(source, context=12).build(Sizes(dim=7)).tokenizer
    text = tokenizer.clean("the  dogs &amp; a cat")
    assert text == "the dogs & a cat"
    found = tokenizer([text])
    parts = [text[a:b] for a, b in found.offsets[0][found.mask[0]].tolist()]
    assert [p for p in parts if p] == ["the", "dog", "s", "&", "a", "cat"]
    assert found.ids.shape == (1, 12)
    again = pickle.loads(pickle.dumps(tokenizer))([text])
    assert torch.equal(again.ids, found.ids)


def test_a_long_caption_is_cut_and_still_ends(source):
    found = HuggingFaceTokens(source, 5)(["the red dog sat on the mat", "a cat"])
    ends = {int(row[mask][-1]) for row, mask in zip(found.ids, found.mask, strict=True)}
    assert found.mask.sum(dim=1).tolist()[0] == 5
    assert len(ends) == 1


def test_frozen_means_only_a_new_head_is_trained(source):
    settings = HuggingFaceText(source, context=12)
    encoder = settings.build(Sizes(dim=7)).train()
    found = encoder.tokenizer(TEXTS)
    encoder(found.ids, found.mask).caption.sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is not None] == ["head.weight"]
    assert not encoder.frozen
    trained = replace(settings, frozen=False).build(Sizes(dim=7)).train()
    trained(found.ids, found.mask).caption.sum().backward()
    assert all(p.grad is not None for p in trained.parameters())
    assert replace(settings, head="none").build(Sizes(dim=24)).frozen


def test_a_checkpoint_needs_the_folder_but_no_weights(source, tmp_path):
    for file in Path(source).glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    full = HuggingFaceText(source, context=12).build(Sizes(dim=7))
    bare = HuggingFaceText(str(tmp_path), context=12).build(Sizes(dim=7, pretrained=False))
    bare.load_state_dict(full.state_dict())
    found = bare.tokenizer(TEXTS)
    assert_close(bare(found.ids, found.mask).caption, full(found.ids, found.mask).caption)
    with pytest.raises(ValueError, match="give an id"):
        HuggingFaceText(str(tmp_path), context=12).build(Sizes(dim=7))


SMALL_T5 = T5(width=24, head_width=5, heads=4, hidden=40, layers=3)


def test_sizes_may_be_told_where_there_is_only_a_tokenizer(t5, tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((Path(t5) / name).read_bytes())
    full = HuggingFaceText(t5, context=12).build(Sizes(dim=7))
    sizes = replace(
        SMALL_T5, vocabulary=len(full.state_dict()["trunk.trunk.model.embed_tokens.weight"])
    )
    settings = HuggingFaceText(str(tmp_path), context=12, t5=sizes)
    bare = settings.build(Sizes(dim=7, pretrained=False))
    bare.load_state_dict(full.state_dict())
    found = bare.tokenizer(TEXTS)
    assert_close(bare(found.ids, found.mask).caption, full(found.ids, found.mask).caption)
    read = replace(settings, source=t5).build(Sizes(dim=7)).state_dict()
    assert torch.equal(
        read["trunk.trunk.model.embed_tokens.weight"],
        full.state_dict()["trunk.trunk.model.embed_tokens.weight"],
    )
    with pytest.raises(ValueError, match="num_layers 3 instead of 2; set text"):
        replace(settings, source=t5, t5=replace(sizes, layers=2)).build(Sizes(dim=7))


def test_a_tokenizer_with_more_tokens_than_the_table_is_refused_when_building(t5, tmp_path):
    largest = max(Tokenizer.from_file(f"{t5}/tokenizer.json").get_vocab().values())
    settings = HuggingFaceText(t5, context=12, t5=replace(SMALL_T5, vocabulary=largest))
    with pytest.raises(ValueError, match=rf"up to {largest}, .* vectors for {largest}; give the"):
        settings.build(Sizes(dim=7, pretrained=False))
    fits = replace(settings, t5=replace(SMALL_T5, vocabulary=largest + 1))
    assert fits.build(Sizes(dim=7, pretrained=False)).tokenizer(["a cat"]).ids.max() <= largest


def test_a_random_start_reads_no_weights(t5, tmp_path):
    settings = HuggingFaceText(t5, head="dense", context=12, frozen=False, start="random")
    one, other = (settings.build(Sizes(dim=24)).state_dict() for _ in range(2))
    assert not any(torch.equal(one[name], other[name]) for name in one if one[name].ndim == 2)
    with pytest.raises(ValueError, match=r"set text\.frozen=False"):
        replace(settings, frozen=True).build(Sizes(dim=24))


def test_what_does_not_fit_is_an_error_that_says_what_does(bert, tmp_path):
    with pytest.raises(ValueError, match="use 16"):
        HuggingFaceText(bert).build(Sizes(dim=7))
    with pytest.raises(ValueError, match="dim 24, not 7"):
        HuggingFaceText(bert, context=12, head="none").build(Sizes(dim=7))
    with pytest.raises(ValueError, match="one of"):
        replace(HuggingFaceText(bert, context=12), pool="last").build(Sizes(dim=7))
    with pytest.raises(ValueError, match="give an id"):
        HuggingFaceText(str(tmp_path / "nothing")).build(Sizes(dim=7))
