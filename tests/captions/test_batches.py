"""Step k is always the same batch, whoever asks, however often, with however many helpers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from plain import NAMES, Pieces, find_names, pairs_of, same, shown, texts_of

from whatwhere.captions.batches import Batches, Batching, align
from whatwhere.captions.cached import pack
from whatwhere.records import PackedFeatures, Span, Tokens

SETTINGS = Batching(batch=4, size=(6, 8), crop=(0.5, 1.0))


def batches(pairs, settings=SETTINGS, *, seed=7, **more):
    return Batches(pairs, settings, tokenizer=Pieces(), find_phrases=find_names, seed=seed, **more)


def rows_of(prepared):
    return shown(prepared.batch.images)


def test_a_step_is_the_same_whatever_was_asked_before(tmp_path):
    pairs = pairs_of(tmp_path, 13)
    one, two = batches(pairs), batches(pairs)
    first = one[5]
    for step in (0, 17, 5, 2):
        one[step]
    assert same(one[5], first)
    assert same(two[5], first)
    assert not same(two[6], first)
    assert not same(batches(pairs, seed=8)[5], first)


def test_pictures_and_captions_stay_together(tmp_path):
    pairs = pairs_of(tmp_path, 13)
    for step in range(9):
        prepared = batches(pairs)[step]
        assert prepared.batch.images.shape == (4, 3, 6, 8)
        assert [i for i, _ in texts_of(prepared.batch.tokens, pairs)] == rows_of(prepared)


@pytest.mark.parametrize("count", [12, 14])
def test_every_picture_is_met_once_in_an_epoch(tmp_path, count):
    """With 14 pictures, two are left for another epoch, and not always the same two."""
    pairs = pairs_of(tmp_path, count)
    here = batches(pairs)
    assert here.steps_per_epoch == 3
    epochs = [[row for s in range(3) for row in rows_of(here[3 * e + s])] for e in range(6)]
    assert all(len(set(epoch)) == 12 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6
    assert {row for epoch in epochs for row in epoch} == set(range(count))


def test_a_picture_shows_all_its_captions_over_time(tmp_path):
    pairs = pairs_of(tmp_path, 4)
    here = batches(pairs)
    met = {text for step in range(40) for text in texts_of(here[step].batch.tokens, pairs)}
    assert met == {(i, j) for i, sample in enumerate(pairs) for j in range(len(sample.captions))}


def test_every_caption_may_be_a_sample_of_its_own(tmp_path):
    pairs = pairs_of(tmp_path, 6)
    here = batches(pairs, replace(SETTINGS, captions="each"))
    assert here.steps_per_epoch == 3
    met = [text for step in range(3) for text in texts_of(here[step].batch.tokens, pairs)]
    assert sorted(met) == [(i, j) for i, s in enumerate(pairs) for j in range(len(s.captions))]


def test_joined_captions_are_all_of_a_picture_in_changing_order(tmp_path):
    pairs = pairs_of(tmp_path, 6)
    here = batches(pairs, replace(SETTINGS, captions="joined"))
    row = max(range(6), key=lambda row: len(pairs[row].captions))
    captions = pairs[row].captions
    drawn = {here._text(captions, -1, np.random.default_rng(seed)) for seed in range(20)}
    assert len(captions) > 1 and len(drawn) > 1
    for text in drawn:
        assert len(text) == len(" ".join(captions)) and all(c in text for c in captions)
    assert here.steps_per_epoch == 1


def test_two_processes_share_one_big_batch(tmp_path):
    pairs = pairs_of(tmp_path, 13)
    whole = batches(pairs)
    halves = [batches(pairs, rank=rank, world=2) for rank in range(2)]
    for step in (0, 4, 7):
        big, parts = whole[step].batch, [half[step].batch for half in halves]
        assert torch.equal(torch.cat([part.images for part in parts]), big.images)
        assert torch.equal(torch.cat([part.tokens.ids for part in parts]), big.tokens.ids)
        concepts = torch.cat([part.phrases.concept for part in parts])
        assert torch.equal(concepts, big.phrases.concept)
        captions = torch.cat([part.phrases.caption + 2 * i for i, part in enumerate(parts)])
        assert torch.equal(captions, big.phrases.caption)


@pytest.mark.parametrize("workers", [1, 2])
def test_helpers_change_nothing(tmp_path, workers):
    pairs = pairs_of(tmp_path, 13, broken=(3, 4))
    alone = batches(pairs)
    helped = batches(pairs, replace(SETTINGS, workers=workers))
    found = list(helped.from_step(2, last=8))
    assert len(found) == 6
    assert all(same(one, alone[2 + i]) for i, one in enumerate(found))
    assert any(one.broken for one in found)


def test_steps_are_counted_from_the_start_of_the_run(tmp_path):
    here = batches(pairs_of(tmp_path, 9))
    assert [rows_of(p) for p in here.from_step(3, last=5)] == [rows_of(here[3]), rows_of(here[4])]
    assert list(here.from_step(5, last=5)) == []


def test_a_broken_picture_is_replaced_by_the_next_and_told(tmp_path):
    pairs = pairs_of(tmp_path, 8, broken=(2, 3))
    here = batches(pairs, replace(SETTINGS, batch=8))
    prepared = here[0]
    rows = rows_of(prepared)
    assert sorted(rows) == [0, 1, 4, 4, 4, 5, 6, 7]
    assert [i for i, _ in texts_of(prepared.batch.tokens, pairs)] == rows
    told = {key: why for key, why in prepared.broken}
    assert told == dict.fromkeys(("002.png", "003.png"), "cannot identify image file")


def test_after_the_last_picture_comes_the_first(tmp_path):
    pairs = pairs_of(tmp_path, 5, broken=(4,))
    assert sorted(rows_of(batches(pairs, replace(SETTINGS, batch=5))[0])) == [0, 0, 1, 2, 3]


def test_with_a_caption_of_its_own_a_broken_picture_still_gets_a_caption(tmp_path):
    pairs = pairs_of(tmp_path, 6, broken=(2,))  # three captions; the next picture has one
    here = batches(pairs, replace(SETTINGS, captions="each"))
    for step in range(3):
        prepared = here[step]
        assert [i for i, _ in texts_of(prepared.batch.tokens, pairs)] == rows_of(prepared)


def test_without_any_picture_there_is_no_batch(tmp_path):
    here = batches(pairs_of(tmp_path, 4, broken=range(4)))
    with pytest.raises(ValueError, match="none of the 4 pictures can be opened: cannot identify"):
        here[0]


def test_too_few_pictures_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"3 samples do not fill a batch of 4.*batch=3 or fewer"):
        batches(pairs_of(tmp_path, 3))


@pytest.mark.parametrize(("world", "good"), [(3, 3), (8, 8)])
def test_a_batch_must_divide_among_processes(tmp_path, world, good):
    with pytest.raises(ValueError, match=rf"{world} processes; use batching\.batch={good}"):
        batches(pairs_of(tmp_path, 13), world=world)


@pytest.mark.parametrize(("crop", "views"), [((1.0, 1.0), 1), ((0.5, 1.0), 6)])
def test_only_the_whole_centre_is_the_same_in_every_epoch(tmp_path, crop, views):
    ramp = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)
    pairs = pairs_of(tmp_path, 1)
    Image.fromarray(ramp).save(tmp_path / pairs[0].key)
    here = batches(pairs, replace(SETTINGS, batch=1, crop=crop))
    assert len({here[epoch].batch.images.sum().item() for epoch in range(6)}) == views


class Cached:
    """Features that name their row and their view; row 2 could not be opened."""

    broken = ((2, "empty file"),)

    def __init__(self, views=1):
        self.views = views

    def __len__(self):
        return 9

    def seen(self, rows, views):
        values = torch.tensor([rows, views], dtype=torch.float32).T
        return PackedFeatures(pack(values[:, None, None].expand(-1, 2, 3, -1), "bf16"))


def test_cached_features_take_the_place_of_pictures(tmp_path):
    pairs = pairs_of(tmp_path, 9, broken=range(9))  # never opened
    here = batches(pairs, features=Cached())
    met = []
    for step in range(2):
        batch = here[step].batch
        assert batch.images is None
        rows = batch.features.unpack().patches[:, 0, 0, 0].long().tolist()
        assert [i for i, _ in texts_of(batch.tokens, pairs)] == rows
        met += rows
    assert sorted(met) == [0, 1, 3, 4, 5, 6, 7, 8]


def test_a_step_sees_one_view_of_each_cached_picture(tmp_path):
    pairs = pairs_of(tmp_path, 9)
    kept = Cached(views=3)
    here, again = batches(pairs, features=kept), batches(pairs, features=kept)
    plain = batches(pairs, replace(SETTINGS, crop=(1.0, 1.0)), features=kept)

    def views(some, step):
        return some[step].batch.features.unpack().patches[:, 0, 0, 1].tolist()

    met = [views(here, step) for step in range(12)]
    assert met == [views(again, step) for step in range(12)]
    assert {view for step in met for view in step} == {0, 1, 2}
    assert any(len(set(step)) > 1 for step in met), "each picture draws its own"
    assert not any(any(views(plain, step)) for step in range(12)), "and the centre is the first"


def test_without_a_matcher_there_are_no_phrases(tmp_path):
    here = Batches(pairs_of(tmp_path, 4), SETTINGS, tokenizer=Pieces(), find_phrases=None, seed=0)
    assert here[0].batch.phrases is None


def words(text, spans):
    tokens = Pieces()([text])
    phrases = align([spans], tokens)
    return phrases, [
        [text[a:b] for a, b in tokens.offsets[0, phrases.covered_word[phrases.covered_phrase == p]]]
        for p in range(len(phrases.concept))
    ]


def test_a_word_of_several_tokens_is_covered_whole():
    text = "an umbrella on grass"
    phrases, found = words(text, find_names(text))
    assert found == [["umb", "rel", "la"], ["gra", "ss"]]
    assert [NAMES[i] for i in phrases.concept] == ["umbrella", "grass"]


def test_a_span_of_several_words_and_marks_covers_them_all():
    _, found = words("a hot-dog bun", [Span(2, 13, 5)])
    assert found == [["hot", "-", "dog", "bun"]]


def test_a_token_that_a_span_only_touches_counts():
    _, found = words("doghouse", [Span(0, 4, 0)])
    assert found == [["dog", "hou"]]


def test_what_a_span_leaves_out_between_its_parts_is_not_covered():
    _, found = words("a hot-dog bun", [Span(2, 13, 5, ((2, 5), (10, 13)))])
    assert found == [["hot", "bun"]]


def test_spans_side_by_side_do_not_share_tokens():
    _, found = words("dog.cat", [Span(0, 3, 0), Span(4, 7, 1)])
    assert found == [["dog"], ["cat"]]


def test_what_was_cut_off_is_left_out():
    text = "a a a a a a dog grass grass"  # the context holds seven words
    phrases, found = words(text, find_names(text))
    assert found == [["dog"]]
    assert phrases.concept.tolist() == [0]


def test_captions_without_phrases_are_skipped():
    tokens = Pieces()(["photo", "a dog", "", "grass dog"])
    phrases = align([[], [Span(2, 5, 0)], [], [Span(0, 5, 1), Span(6, 9, 0)]], tokens)
    assert phrases.caption.tolist() == [1, 3, 3]
    assert phrases.concept.tolist() == [0, 1, 0]
    assert phrases.covered_phrase.tolist() == [0, 1, 1, 2]
    assert phrases.covered_word.tolist() == [2, 1, 2, 3]


@pytest.mark.parametrize("spans", [[], [[]], [[], []]])
def test_no_phrase_at_all_is_four_empty_lists(spans):
    phrases = align(spans, Pieces()(["photo"] * len(spans)))
    for values in vars(phrases).values():
        assert values.shape == (0,) and values.dtype == torch.long


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9), st.integers(0, 5)), max_size=6))
def test_alignment_agrees_with_a_slow_loop(drawn):
    text = "dog, umbrellas 12 on a gr"
    tokens = Pieces()([text, text])
    spans = [Span(start, start + length, concept) for start, length, concept in drawn]
    phrases = align([[], spans], tokens)
    expected = []
    for span in spans:
        touched = [
            word
            for word, (start, end) in enumerate(tokens.offsets[1].tolist())
            if end > start and set(range(start, end)) & set(range(span.start, span.end))
        ]
        if touched:
            expected.append((span.concept, touched))
    found = [
        (concept, phrases.covered_word[phrases.covered_phrase == p].tolist())
        for p, concept in enumerate(phrases.concept.tolist())
    ]
    assert found == expected
    assert phrases.caption.tolist() == [1] * len(expected)


def test_special_tokens_are_never_covered():
    """Their offsets are 0, 0 even where a phrase begins at the first character."""
    phrases = align([[Span(0, 3, 0)]], Pieces()(["dog"]))
    assert phrases.covered_word.tolist() == [1]
    nothing = Tokens(
        torch.ones(1, 4, dtype=torch.long),
        torch.ones(1, 4, dtype=torch.bool),
        torch.zeros(1, 4, 2, dtype=torch.long),
    )
    assert len(align([[Span(0, 3, 0)]], nothing).concept) == 0


def test_prompts_are_drawn_for_each_picture_in_turn_and_change_nothing_else(tmp_path):
    pairs = pairs_of(tmp_path, 13)

    def draw_prompts(key, caption, draw):
        return [f"{caption} {draw.integers(10)}", key.partition(".")[0]]

    plain, some = batches(pairs)[5].batch, batches(pairs, draw_prompts=draw_prompts)[5].batch
    again = batches(pairs, draw_prompts=draw_prompts)[5].batch
    assert plain.prompts is None and some.prompts is not None
    assert torch.equal(some.images, plain.images)
    assert torch.equal(some.tokens.ids, plain.tokens.ids)
    assert torch.equal(some.prompts.ids, again.prompts.ids)
    assert len(some.prompts.ids) == 2 * len(some.tokens.ids)
    tokenizer = Pieces()
    texts = [pairs[i].captions[j] for i, j in texts_of(some.tokens, pairs)]
    keys = [pairs[i].key.partition(".")[0] for i, _ in texts_of(some.tokens, pairs)]
    for row, (text, key) in enumerate(zip(texts, keys, strict=True)):
        drawn = tokenizer([tokenizer.clean(f"{text} {n}") for n in range(10)]).ids
        assert (drawn == some.prompts.ids[2 * row]).all(dim=1).any()
        assert torch.equal(tokenizer([tokenizer.clean(key)]).ids[0], some.prompts.ids[2 * row + 1])
