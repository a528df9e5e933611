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
from whatwhere.training import checkpoints

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


def test_pooling_by_words_leaves_start_and_end_out_unless_nothing_is_between(captions):
    ids, mask = captions
    found = replace(SMALL, pool="words").build(Sizes(dim=7))(ids, mask)
    for i, length in enumerate(mask.sum(dim=1).tolist()):
        first, last = (1, length - 1) if length > 2 else (0, length)
        assert_close(found.caption[i], found.words[i, first:last].mean(dim=0))


@pytest.mark.parametrize("positions", [True, False])
def test_without_positions_a_token_is_one_vector_wherever_it_stands(positions):
    settings = ClipText(width=24, layers=0, heads=4, positions=positions)
    encoder: Any = settings.build(Sizes(dim=7))
    tokens = encoder.tokenizer(["dog cat", "cat dog"])
    one, other = encoder(tokens.ids, tokens.mask).words
    assert torch.equal(one[1:3].flip(0), other[1:3]) != positions


def test_the_last_norm_is_of_each_member_by_itself(captions):
    ids, mask = captions
    whole: Any = replace(SMALL, layers=0, members=2).build(Sizes(dim=7))
    hidden = whole.embed(ids) + whole.positional_embedding
    halves = [torch.nn.functional.layer_norm(half, (12,)) for half in hidden.chunk(2, dim=-1)]
    exact = torch.cat(halves, dim=-1) @ whole.text_projection
    assert_close(whole(ids, mask).words[mask], exact[mask])


@pytest.mark.parametrize("changed", [{"members": 5}, {"members": 0}, {"layers": 1}])
def test_members_divide_the_width_and_have_no_layers(changed):
    settings = replace(ClipText(width=24, layers=0, heads=4, members=2), **changed)
    with pytest.raises(ValueError, match=r"text\.members=\d with text\.width=24, layers="):
        settings.build(Sizes(dim=7))


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


KEPT = ClipText(width=24, layers=1, heads=4, context=11, kept=8)
START, END, MARK, A, AND, CAT, DOG = 49406, 49407, 0, 320, 537, 2368, 1929
SAID = ["A dog and a  dog", "a cat!", "a dog &amp; a dog"]


@pytest.fixture
def keeping():
    torch.manual_seed(0)
    encoder: Any = KEPT.build(Sizes(dim=7))
    encoder.fit(iter(SAID))
    return encoder


def test_rows_are_of_the_commonest_tokens_in_order_of_their_counts(keeping):
    ampersand = 261  # three tokens come once each, and two rows are left for them
    assert keeping.tokenizer.ids("! & a and cat dog") == [
        START, 256, ampersand, A, AND, CAT, DOG, END,
    ]  # fmt: skip
    assert keeping.kept_ids.tolist() == [-1, START, END, A, DOG, 256, ampersand, AND]


def test_rows_that_no_token_needs_are_left_free_and_padding_is_not_counted():
    encoder: Any = replace(KEPT, kept=9).build(Sizes(dim=7))
    encoder.fit(["dog", "a dog"])
    assert encoder.kept_ids.tolist() == [-1, START, END, DOG, A, -1, -1, -1, -1]


def test_what_a_caption_says_beyond_its_cut_is_not_counted():
    encoder: Any = replace(KEPT, context=4).build(Sizes(dim=7))
    encoder.fit(["dog and cat cat cat"])
    assert encoder.kept_ids.tolist() == [-1, START, END, AND, DOG, -1, -1, -1]


def test_kept_tokens_have_their_own_vectors_and_all_others_share_one(keeping):
    ids = torch.tensor([[START, A, DOG, END, MARK, CAT, 40000]])
    table = keeping.token_embedding.weight
    assert table.shape == (8, 24)
    assert torch.equal(keeping.embed(ids)[0], table[[1, 3, 4, 2, 0, 0, 0]])
    (gradient,) = torch.autograd.grad(keeping.embed(ids[:, 2:]).sum(), table)
    assert gradient.sum(dim=1).tolist() == [72, 0, 24, 0, 24, 0, 0, 0]


def test_captions_of_kept_tokens_mean_what_they_mean_with_every_row(keeping):
    every: Any = replace(KEPT, kept=0).build(Sizes(dim=7))
    state = keeping.state_dict()
    table, kept = state.pop("token_embedding.weight"), state.pop("kept_ids")
    every.load_state_dict(state, strict=False)
    with torch.no_grad():
        every.token_embedding.weight[kept[1:]] = table[1:]
    tokens = keeping.tokenizer(["a dog", "dog and a dog"])
    assert_close(keeping(tokens.ids, tokens.mask), every(tokens.ids, tokens.mask))


def test_a_checkpoint_brings_the_kept_tokens(keeping, tmp_path):
    folder = checkpoints.save(tmp_path, 3, keeping, None, {})
    torch.manual_seed(5)
    again: Any = KEPT.build(Sizes(dim=7, pretrained=False))
    checkpoints.read_weights(folder, again)
    tokens = keeping.tokenizer(["a wild dog", "a cat and a dog"])
    assert torch.equal(again.embed(tokens.ids), keeping.embed(tokens.ids))
    assert_close(again(tokens.ids, tokens.mask), keeping(tokens.ids, tokens.mask))


def test_tokens_are_the_same_ones_whatever_the_order_of_captions(keeping):
    again: Any = KEPT.build(Sizes(dim=7))
    again.fit(reversed(SAID))
    assert torch.equal(again.kept_ids, keeping.kept_ids)


def test_an_encoder_that_was_told_no_captions_says_so():
    encoder: Any = KEPT.build(Sizes(dim=7))
    with pytest.raises(ValueError, match="no captions have told this text encoder"):
        encoder.embed(torch.tensor([[START, END]]))
    with pytest.raises(ValueError, match="no captions to choose the 8 tokens"):
        encoder.fit([])


def test_with_a_row_for_every_token_captions_choose_nothing(encoder):
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.fit(SAID)
    assert "kept_ids" not in before
    assert_close(encoder.state_dict(), before)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"kept": 3}, "text.kept=3 rows of tokens; take 4 to 49408, or 0"),
        ({"kept": 49409}, "take 4 to 49408"),
        ({"vocabulary": 30}, "text.vocabulary=30 does not go with"),
        ({"weights": "clip.safetensors"}, "text.weights=clip.safetensors does not go with"),
    ],
)
def test_kept_tokens_that_cannot_be_are_refused(changed, why):
    with pytest.raises(ValueError, match=why):
        replace(KEPT, **changed).build(Sizes(dim=7, pretrained=False))


def test_words_are_known_that_captions_have_and_their_tokens_too(keeping):
    texts = ["Dog", "a cat and a dog!", "wolves, wolf or dog", ""]
    assert keeping.unknown(texts) == [(), ("cat",), ("wolves", "wolf", "or"), ()]


def test_a_word_of_known_tokens_that_no_caption_has_is_unknown():
    encoder: Any = replace(KEPT, kept=30).build(Sizes(dim=7))
    encoder.fit(["a wombat and an ocelot"])
    tokenizer = encoder.tokenizer
    assert [piece for piece, _, _ in tokenizer.pieces("wombat")[1:3]] == ["wom", "bat</w>"]
    assert set(tokenizer.ids("ocbat")) <= set(encoder.kept_ids.tolist())
    assert encoder.unknown(["ocbat wombat", "bat", "ocelot"]) == [("ocbat",), ("bat",), ()]


def test_signs_are_never_unknown_words(keeping):
    assert keeping.unknown(["dog & dog?", "dog-dog; dog 7"]) == [(), ("7",)]


def test_with_a_row_for_every_token_no_word_is_known_to_be_unknown(encoder):
    assert encoder.unknown(["zyzzyva", ""]) == [(), ()]


def test_an_encoder_that_was_told_no_captions_does_not_judge_words():
    with pytest.raises(ValueError, match="no captions have told this text encoder"):
        KEPT.build(Sizes(dim=7)).unknown(["dog"])
