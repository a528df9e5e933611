"""The text transformer agrees with the released numbers, and its hooks do what they say."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from golden import Golden
from safetensors.torch import save_file
from torch.testing import assert_close

from whatwhere.encoders.clip_text import ClipText
from whatwhere.records import Sizes, TextEncoder

SMALL = ClipText(width=24, layers=3, heads=4, context=11, vocabulary=30)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return SMALL.build(Sizes(dim=7))


@pytest.fixture
def captions():
    """Token ids and masks of three captions of 4, 9 and 2 tokens."""
    torch.manual_seed(1)
    mask = torch.arange(11) < torch.tensor([4, 9, 2])[:, None]
    return torch.randint(1, 29, (3, 11)) * mask, mask


def test_golden_simzss_text_encoder():
    golden = Golden("simzss_text_encoder")
    state, ids = golden.under("param."), golden["token_ids"]
    context, width = state["positional_embedding"].shape
    vocabulary = len(state["token_embedding.weight"])
    settings = ClipText(
        width=width,
        layers=int(golden.metadata["layers"]),
        heads=int(golden.metadata["heads"]),
        context=context,
        vocabulary=vocabulary,
    )
    mask = torch.arange(context) <= ids.argmax(dim=1, keepdim=True)
    for causal, suffix in ((True, ""), (False, "_full_attention")):
        encoder = replace(settings, causal=causal).build(Sizes(dim=golden["eot"].shape[1]))
        encoder.load_state_dict(state)
        found = encoder(ids, mask)
        # No word sees padding under the causal mask, and it is not computed.
        said = mask if causal else torch.ones_like(mask)
        tokens, eot = golden["tokens" + suffix], golden["eot" + suffix]
        assert_close(found.words[said], tokens[said], rtol=1e-4, atol=1e-5)
        assert_close(found.caption, eot, rtol=1e-4, atol=1e-5)
        if causal:
            unit = torch.nn.functional.normalize(found.words, dim=-1)
            assert_close(unit[said], golden["tokens_norm"][said], rtol=1e-4, atol=1e-5)
            unit = torch.nn.functional.normalize(found.caption, dim=-1)
            assert_close(unit, golden["eot_norm"], rtol=1e-4, atol=1e-5)
    golden.all_compared()


def test_is_a_text_encoder(encoder):
    assert isinstance(encoder, TextEncoder)


def test_padding_and_company_do_not_matter(encoder, captions):
    ids, mask = captions
    together = encoder(ids, mask)
    for i, length in enumerate(mask.sum(dim=1).tolist()):
        alone = encoder(ids[i : i + 1, :length], mask[i : i + 1, :length])
        assert_close(alone.caption[0], together.caption[i])
        assert_close(alone.words[0], together.words[i, :length])


def test_a_word_does_not_see_what_comes_after_it(encoder, captions):
    ids, mask = captions
    changed = ids.clone()
    changed[1, 5] += 1
    extra = {1: torch.randn(3, 2, 24)}
    before = encoder.encode(encoder.embed(ids), mask, extra).words
    after = encoder.encode(encoder.embed(changed), mask, extra).words
    assert_close(before[:, :5], after[:, :5])
    assert not torch.allclose(before[1, 5:9], after[1, 5:9])


def test_pooling_by_mean_is_a_loop_over_real_tokens(captions):
    ids, mask = captions
    found = replace(SMALL, pool="mean").build(Sizes(dim=7))(ids, mask)
    for i, length in enumerate(mask.sum(dim=1).tolist()):
        assert_close(found.caption[i], sum(found.words[i, :length]) / length)


def test_injected_tokens_change_words_keep_shapes_and_learn(encoder, captions):
    ids, mask = captions
    plain = encoder(ids, mask)
    for layer in range(3):
        tokens = torch.randn(3, 5, 24, requires_grad=True)
        found = encoder.encode(encoder.embed(ids), mask, {layer: tokens})
        assert found.words.shape == plain.words.shape
        assert not torch.allclose(found.caption, plain.caption)
        (gradient,) = torch.autograd.grad(found.caption.sum(), tokens)
        assert gradient.abs().amax(dim=(1, 2)).min() > 0


def test_later_injected_tokens_replace_earlier_ones(encoder, captions):
    ids, mask = captions
    tokens = []  # that a block computes: 15 words of three captions, and what was injected
    for block in encoder.transformer.resblocks:
        block.register_forward_pre_hook(lambda _, given: tokens.append(len(given[0])))
    inject = {0: torch.randn(3, 5, 24, requires_grad=True), 2: torch.randn(3, 2, 24)}
    caption = encoder.encode(encoder.embed(ids), mask, inject).caption
    assert tokens == [15 + 3 * 5, 15 + 3 * 5, 15 + 3 * 2]
    assert torch.autograd.grad(caption.sum(), inject[0])[0].abs().max() > 0


def test_injecting_at_a_layer_that_is_not_there_is_an_error(encoder, captions):
    ids, mask = captions
    with pytest.raises(ValueError, match="0 to 2"):
        encoder.encode(encoder.embed(ids), mask, {3: torch.randn(3, 1, 24)})


def test_starts_with_the_spreads_of_openclip():
    encoder: Any = ClipText(width=256, layers=4, heads=4).build(Sizes(dim=96))
    block = encoder.transformer.resblocks[2]
    expected = {
        encoder.token_embedding.weight: 0.02,
        encoder.positional_embedding: 0.01,
        encoder.text_projection: 1 / 16,
        block.attn.in_proj_weight: 1 / 16,
        block.attn.out_proj.weight: 1 / 16 / math.sqrt(8),
        block.mlp.c_proj.weight: 1 / 16 / math.sqrt(8),
        block.mlp.c_fc.weight: 1 / math.sqrt(512),
    }
    for weight, std in expected.items():
        assert weight.std().item() == pytest.approx(std, rel=0.03)


@pytest.mark.parametrize("prefix", ["", "text.", "module.text."])
def test_weights_load_from_a_file_of_a_whole_clip(encoder, captions, tmp_path, prefix):
    state = {prefix + k: v.clone() for k, v in encoder.state_dict().items()}
    save_file(state | {"module.visual.proj": torch.ones(2)}, tmp_path / "clip.safetensors")
    settings = replace(SMALL, weights=str(tmp_path / "clip.safetensors"), frozen=True)
    loaded = settings.build(Sizes(dim=7))
    assert_close(loaded(*captions).words, encoder(*captions).words)
    assert not any(p.requires_grad for p in loaded.parameters())
    with pytest.raises(ValueError, match="text_projection"):
        settings.build(Sizes(dim=8))


def test_no_file_is_read_for_a_checkpoint():
    replace(SMALL, weights="missing.safetensors").build(Sizes(dim=7, pretrained=False))
    with pytest.raises(ValueError, match="missing"):
        replace(SMALL, weights="missing.safetensors").build(Sizes(dim=7))


def test_too_long_captions_are_an_error(encoder):
    ids = torch.ones(2, 12, dtype=torch.long)
    with pytest.raises(ValueError, match="cut them to 11"):
        encoder(ids, ids.bool())


def test_the_quick_gelu_is_that_of_openais_weights(captions):
    torch.manual_seed(0)
    exact: Any = SMALL.build(Sizes(dim=7))
    quick: Any = replace(SMALL, gelu="quick").build(Sizes(dim=7))
    quick.load_state_dict(exact.state_dict())
    x = torch.linspace(-4, 4, 9)[:, None].expand(9, 24)
    for encoder, gelu in ((exact, torch.nn.functional.gelu), (quick, quick_gelu)):
        mlp = encoder.transformer.resblocks[0].mlp
        assert_close(mlp(x), mlp.c_proj(gelu(mlp.c_fc(x))))
    assert not torch.allclose(exact(*captions).caption, quick(*captions).caption)


def quick_gelu(x):
    return x / (1 + torch.exp(-1.702 * x))


@pytest.mark.parametrize("hidden", [0, 13])
def test_words_may_be_left_out_without_a_change_to_captions(captions, hidden):
    torch.manual_seed(0)
    words: Any = replace(SMALL, hidden=hidden).build(Sizes(dim=7))
    caption: Any = replace(SMALL, hidden=hidden, projects="caption").build(Sizes(dim=7))
    caption.load_state_dict(words.state_dict())
    plain, found = words(*captions), caption(*captions)
    assert plain.words.shape == (3, 11, 7) and found.words.shape == (3, 0, 7)
    assert_close(found.caption, plain.caption)
    ends = captions[1].sum(dim=1) - 1
    assert_close(plain.words[torch.arange(3), ends], plain.caption)
    assert ("text_projection" in words.state_dict()) == (hidden == 0)
