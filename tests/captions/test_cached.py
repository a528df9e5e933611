"""Cached features are what the encoder gave, up to rounding that is known beforehand."""

import json
import os
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st
from plain import Pieces, pairs_of, same

from whatwhere.captions import cached
from whatwhere.captions.batches import Batches, Batching
from whatwhere.captions.cached import CachedFeatures, Caching, cache_features, pack
from whatwhere.records import ImageFeatures, Packed, PackedFeatures
from whatwhere.transforms import random_crop, to_tensor

SIZE = (6, 8)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(cached, "SHARD", 4)


class Encoder:
    """Patches of 2 x 2 pixels through one matrix, and their mean; counts the pictures it saw."""

    def __init__(self, cls=True):
        torch.manual_seed(0)
        self.matrix, self.cls, self.seen = torch.randn(3, 7), cls, 0

    def __call__(self, images):
        self.seen += len(images)
        colour = rearrange(F.avg_pool2d(images, 2), "b rgb rows cols -> b rows cols rgb")
        patches = (colour - 0.3) @ self.matrix
        return ImageFeatures(patches, patches.mean(dim=(1, 2)) if self.cls else None)


def cache(tmp_path, pairs, encoder=None, *, precision="int8", size=SIZE, identity="weights 1"):
    settings = Caching(str(tmp_path / "cache"), precision, batch=3)
    return cache_features(pairs, encoder or Encoder(), settings, size=size, identity=identity)


def centres(features, rows):
    return features.seen(rows, [0] * len(rows))


def streamed(pairs, encoder):
    """The same features without a cache, in the order of the pairs."""
    whole = Batching(batch=1, size=SIZE, crop=(1.0, 1.0))
    here = Batches(pairs, whole, tokenizer=Pieces(), find_phrases=None, seed=0)
    order = [here._epoch(0)[i] for i in range(len(pairs))]
    images = [here[order.index(row)].batch.images for row in range(len(pairs))]
    return encoder(torch.cat([one for one in images if one is not None]))


vectors = st.lists(st.floats(-1e4, 1e4, width=32), min_size=5, max_size=5)


@given(st.lists(vectors, min_size=1, max_size=4))
def test_int8_is_off_by_half_a_unit_at_most(values):
    """The unit is a 127th of the vector's largest number, so no number is off by 1/254 of that."""
    exact = torch.tensor(values)
    packed = pack(exact, "int8")
    assert packed.numbers.dtype == torch.int8
    largest = exact.abs().amax(dim=-1, keepdim=True)
    assert np.allclose(packed.unit, largest[..., 0] / 127, atol=1e-11)
    off = (packed.unpack() - exact).abs()
    assert (off <= largest / 254 * (1 + 1e-4) + 1e-12).all()


@given(st.lists(vectors, min_size=1, max_size=4))
def test_bf16_is_off_by_a_256th_at_most(values):
    """Eight bits of mantissa, one of them implied: half of the last is 2^-9 of a number."""
    exact = torch.tensor(values)
    packed = pack(exact, "bf16")
    assert packed.numbers.dtype == torch.bfloat16
    off = (packed.unpack() - exact).abs()
    assert (off <= exact.abs() * 2**-8 + 1e-30).all()


def test_int8_turns_directions_by_less_than_a_degree():
    torch.manual_seed(0)
    exact = torch.randn(50, 384)
    found = pack(exact, "int8").unpack()
    cosine = F.cosine_similarity(found, exact, dim=-1)
    assert cosine.min() > np.cos(np.radians(1))


def test_zeros_stay_zeros():
    assert not pack(torch.zeros(2, 3), "int8").unpack().any()


@pytest.mark.parametrize("cls", [True, False])
@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_cached_features_equal_streamed_ones_up_to_rounding(tmp_path, precision, cls):
    pairs, encoder = pairs_of(tmp_path, 10), Encoder(cls)
    found = centres(cache(tmp_path, pairs, encoder, precision=precision), range(10)).unpack()
    exact = streamed(pairs, encoder)
    assert (found.cls is None) == (not cls)
    for one, two in ((found.patches, exact.patches), (found.cls, exact.cls)):
        if two is not None:
            largest = two.abs().amax(dim=-1, keepdim=True)
            bound = largest / 254 if precision == "int8" else two.abs() * 2**-8
            assert ((one - two).abs() <= bound * (1 + 1e-4) + 1e-6).all()


def test_the_second_time_nothing_is_encoded(tmp_path):
    pairs, encoder = pairs_of(tmp_path, 10), Encoder()
    one = cache(tmp_path, pairs, encoder)
    two = cache(tmp_path, pairs, encoder)
    assert encoder.seen == 10
    assert same(centres(one, [9, 0, 4]), centres(two, [9, 0, 4]))


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    """Ten pictures are three shards; the encoder breaks down in the second."""
    pairs, encoder = pairs_of(tmp_path, 10), Encoder()

    def fragile(images):
        if encoder.seen >= 6:
            raise RuntimeError("killed")
        return encoder(images)

    with pytest.raises(RuntimeError, match="killed"):
        cache(tmp_path, pairs, fragile)
    again = Encoder()
    found = cache(tmp_path, pairs, again)
    assert again.seen == 6
    whole = cache(tmp_path / "other", pairs)
    assert same(centres(found, range(10)), centres(whole, range(10)))


@pytest.mark.parametrize("lost", ["shard", "checksums", "patches"])
def test_only_a_lost_shard_is_computed_again(tmp_path, lost):
    pairs = pairs_of(tmp_path, 10)
    one = cache(tmp_path, pairs)
    exact = centres(one, range(10))
    shard = one.folders[0] / "shard-00001"
    for file in shard.iterdir():
        if lost == "shard" or file.stem == lost or (lost == "patches" and "sums" in file.stem):
            file.unlink()
    if lost == "shard":
        shard.rmdir()
    encoder = Encoder()
    two = cache(tmp_path, pairs, encoder)
    assert encoder.seen == 4
    assert same(centres(two, range(10)), exact)


def test_a_flipped_byte_is_found(tmp_path):
    found = cache(tmp_path, pairs_of(tmp_path, 10))
    found.check()
    file = found.folders[0] / "shard-00002" / "patches.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"shard-00002 are damaged; delete that folder"):
        found.check()


@pytest.mark.parametrize("name", ["cls.npy", "broken.json"])
def test_a_missing_file_is_found(tmp_path, name):
    found = cache(tmp_path, pairs_of(tmp_path, 10))
    (found.folders[0] / "shard-00000" / name).unlink()
    with pytest.raises(ValueError, match="shard-00000"):
        found.check()


def test_what_a_killed_run_left_is_removed_once_it_is_old(tmp_path):
    pairs = pairs_of(tmp_path, 5)
    folder = cache(tmp_path, pairs).folders[0]
    old, young = (folder / f".shard-00001.{pid}" for pid in (4711, 4712))
    old.mkdir()
    young.mkdir()
    os.utime(old, (0, 0))
    cache(tmp_path, pairs)
    assert young.is_dir() and not old.exists()


def test_whatever_decides_the_features_decides_the_folder(tmp_path):
    pairs = pairs_of(tmp_path, 5)
    other = tmp_path / "others"
    other.mkdir()
    folders = [
        cache(tmp_path, pairs).folders[0],
        cache(tmp_path, pairs, identity="weights 2").folders[0],
        cache(tmp_path, pairs, size=(8, 8)).folders[0],
        cache(tmp_path, pairs, precision="bf16").folders[0],
        cache(tmp_path, pairs[:4]).folders[0],
        cache(tmp_path, pairs[::-1]).folders[0],
        cache(tmp_path, pairs_of(other, 5, shift=1)).folders[0],  # same keys, other pictures
    ]
    assert len(set(folders)) == len(folders)


def test_captions_do_not_decide_the_folder(tmp_path):
    one, two = (cache(tmp_path, pairs_of(tmp_path, 5, captions=n)).folders[0] for n in (2, 3))
    assert one == two


def test_a_folder_says_what_is_in_it(tmp_path):
    found = cache(tmp_path, pairs_of(tmp_path, 5))
    said = json.loads((found.folders[0] / "about.json").read_text())
    assert (said["identity"], said["size"], said["precision"]) == ("weights 1", [6, 8], "int8")


def test_broken_pictures_are_listed(tmp_path):
    pairs = pairs_of(tmp_path, 10, broken=(1, 8))
    why = "cannot identify image file"
    assert cache(tmp_path, pairs).broken == [(1, why), (8, why)]
    assert cache(tmp_path, pairs).broken == [(1, why), (8, why)]  # also when read again


def test_some_of_the_features_in_another_order(tmp_path):
    pairs = pairs_of(tmp_path, 10, broken=(1, 8))
    whole = cache(tmp_path, pairs)
    some = whole.of([9, 8, 2])
    assert len(whole) == 10 and len(some) == 3
    assert same(centres(some, [2, 0]), centres(whole, [2, 9]))
    assert [row for row, _ in some.broken] == [1]
    twice = some.of([2, 1])
    assert same(centres(twice, [0]), centres(whole, [2]))
    assert [row for row, _ in twice.broken] == [1]


def test_helpers_read_the_cache_too(tmp_path):
    pairs = pairs_of(tmp_path, 10, broken=(4,))
    features = cache(tmp_path, pairs)
    centres(features, [0])  # memory maps are open before the helpers start
    plain = Batching(batch=3, size=SIZE)
    alone, helped = (
        Batches(
            pairs,
            replace(plain, workers=workers),
            tokenizer=Pieces(),
            find_phrases=None,
            seed=0,
            features=features,
        )
        for workers in (0, 2)
    )
    for step, found in enumerate(helped.from_step(0, last=5)):
        assert same(found, alone[step])


def test_an_opened_cache_needs_no_encoder(tmp_path):
    one = cache(tmp_path, pairs_of(tmp_path, 10))
    two = CachedFeatures(one.folders, 10)
    assert same(centres(one, [3, 7]), centres(two, [3, 7]))


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 9))
def test_any_number_of_pictures_fills_shards(tmp_path_factory, count):
    folder = tmp_path_factory.mktemp("pairs")
    found = cache(folder, pairs_of(folder, count))
    assert len(found) == count
    assert centres(found, range(count)).unpack().patches.shape == (count, 3, 4, 7)


def viewed(tmp_path, pairs, views, *, crop=(0.3, 0.6), mirror=True, encoder=None):
    kept = Caching(str(tmp_path / "cache"), "bf16", batch=3, views=views)
    see = encoder or Encoder()
    return cache_features(pairs, see, kept, size=SIZE, identity="", crop=crop, mirror=mirror)


def test_views_are_the_centre_and_crops_of_each_picture(tmp_path):
    """Each is found again among the encoder's features of the same random crops."""
    pairs, encoder = pairs_of(tmp_path, 10), Encoder()
    found = viewed(tmp_path, pairs, 3)
    assert found.views == 3
    assert same(centres(found, [2, 5]), centres(viewed(tmp_path, pairs, 1), [2, 5]))
    mirrored = set()
    for view in (1, 2):
        for row in range(10):
            picture = pairs[row].open()
            draw = np.random.default_rng((view, row))
            box = random_crop(
                picture.height, picture.width, size=SIZE, scale=(0.3, 0.6), mirror=True, draw=draw
            )
            mirrored.add(box.mirrored)
            exact = encoder(to_tensor(box.picture(picture))[None]).patches
            here = found.seen([row], [view]).unpack().patches
            assert ((here - exact).abs() <= exact.abs() * 2**-8 + 1e-6).all()
    assert mirrored == {True, False}


def test_another_view_leaves_those_before_it_as_they_are(tmp_path):
    pairs, again = pairs_of(tmp_path, 5), Encoder()
    two = viewed(tmp_path, pairs, 2)
    three = viewed(tmp_path, pairs, 3, encoder=again)
    assert again.seen == 5 and three.folders[:2] == two.folders
    for changed in ({"crop": (0.3, 0.7)}, {"mirror": False}):
        other = viewed(tmp_path, pairs, 2, **changed).folders
        assert other[0] == two.folders[0] and other[1] != two.folders[1]


def test_a_damaged_view_is_found(tmp_path):
    found = viewed(tmp_path, pairs_of(tmp_path, 5), 2)
    (found.folders[1] / "shard-00001" / "patches.npy").unlink()
    with pytest.raises(ValueError, match=f"{found.folders[1].name}/shard-00001 are damaged"):
        found.check()


def test_a_cache_keeps_one_view_or_more():
    with pytest.raises(ValueError, match=r"caching\.batch=32, views=0; take 1 or more"):
        Caching(views=0)


CROP = Batching(batch=4, feature_crop=(0.5, 1.0))


class Noise:
    """Features of five pictures of which no two places are alike."""

    broken: ClassVar[list] = []
    views = 1

    def __init__(self):
        draw = torch.Generator().manual_seed(0)
        self.patches = pack(torch.randn(5, 6, 8, 7, generator=draw), "bf16")
        self.cls = pack(torch.randn(5, 7, generator=draw), "bf16")

    def __len__(self):
        return 5

    def seen(self, rows, views):
        some = (Packed(x.numbers[rows], x.unit[rows]) for x in (self.patches, self.cls))
        return PackedFeatures(*some)


def cropped(tmp_path, shares=CROP.feature_crop, *, seed=3):
    pairs, chosen = pairs_of(tmp_path, 5), replace(CROP, feature_crop=shares)
    tokens, noise = Pieces(), Noise()
    return Batches(pairs, chosen, tokenizer=tokens, find_phrases=None, seed=seed, features=noise)


def unpacked(prepared):
    return prepared.batch.features.unpack()


def test_a_step_sees_one_window_of_all_its_maps(tmp_path):
    """Found again in the whole maps; sides from half of them to all; another in another step."""
    whole, cut = cropped(tmp_path, (1.0, 1.0)), cropped(tmp_path)
    met = set()
    for step in range(60):
        maps, part = unpacked(whole[step]), unpacked(cut[step])
        assert maps.patches.shape == (4, 6, 8, 7)
        assert torch.equal(part.cls, maps.cls)
        rows, cols = part.patches.shape[1:3]
        windows = maps.patches.unfold(1, rows, 1).unfold(2, cols, 1).permute(1, 2, 0, 4, 5, 3)
        places = (windows == part.patches).flatten(2).all(dim=2).nonzero().tolist()
        assert len(places) == 1
        met.add((rows, cols, *places[0]))
    assert {rows for rows, *_ in met} == {3, 4, 5, 6}
    assert {cols for _, cols, *_ in met} == {4, 5, 6, 7, 8}
    assert {top for rows, _, top, _ in met if rows == 3} == {0, 1, 2, 3}


def test_a_steps_window_follows_from_seed_and_step(tmp_path):
    one, again, other = cropped(tmp_path), cropped(tmp_path), cropped(tmp_path, seed=4)
    for step in (2, 0):
        assert same(one[step], again[step])

    def shapes(here):
        return [unpacked(here[step]).patches.shape for step in range(6)]

    assert shapes(one) != shapes(other)


def test_a_window_is_never_without_places(tmp_path):
    for step in range(20):
        patches = unpacked(cropped(tmp_path, (0.01, 0.02))[step]).patches
        assert patches.shape == (4, 1, 1, 7)


def test_a_window_needs_a_cache_and_two_shares(tmp_path):
    with pytest.raises(ValueError, match=r"is for cached features; set caching\.folder, or"):
        Batches(pairs_of(tmp_path, 5), CROP, tokenizer=Pieces(), find_phrases=None, seed=0)
    with pytest.raises(ValueError, match=r"batching\.feature_crop=\(0\.5,2\); take two shares"):
        Batching(feature_crop=(0.5, 2.0))
