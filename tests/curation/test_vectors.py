"""Vectors on disk: made once, half precision, checked when read."""

import numpy as np
import pytest
from pools import unit

from whatwhere.curation import vectors as module
from whatwhere.curation.vectors import Embedded, Vectors, embed

THINGS = [f"thing {i}" for i in range(11)]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(module, "SHARD", 4)


class Encoder:
    """A fixed vector for each thing; counts what it was asked, and stops when told."""

    def __init__(self, stop=99):
        self.table = dict(zip(THINGS, unit(np.random.default_rng(0), 11, 6), strict=True))
        self.seen, self.stop = [], stop

    def __call__(self, things):
        self.seen += things
        if len(self.seen) > self.stop:
            raise KeyboardInterrupt
        reasons = ["cut short" if thing == "thing 6" else "" for thing in things]
        found = np.stack([self.table[thing] for thing in things])
        return Embedded(np.where(np.array(reasons)[:, None] == "", found, 0), reasons)


def made(folder, encoder=None, *, keys=THINGS, identity="weights 1"):
    encode = encoder or Encoder()
    return embed(folder, keys, keys, encode, identity=identity, batch=3, what="things")


def test_what_is_read_is_what_was_encoded_up_to_half_precision(tmp_path):
    encoder = Encoder()
    found = made(tmp_path / "v", encoder)
    expected = np.stack([encoder.table[thing] for thing in THINGS])
    expected[6] = 0
    np.testing.assert_allclose(found.all(), expected, atol=5e-4)
    again = Vectors.open(tmp_path / "v")
    assert (again.all() == found.all()).all() and again.keys == tuple(THINGS)
    assert [first for first, _ in again.blocks()] == [0, 4, 8]
    assert again.broken() == {6: "cut short"}


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path):
    whole = made(tmp_path / "whole").all()
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "v", Encoder(stop=7))
    with pytest.raises(ValueError, match=r"2 of 3 shards in .* are missing; run `whatwhere"):
        Vectors.open(tmp_path / "v")
    encoder = Encoder()
    assert (made(tmp_path / "v", encoder).all() == whole).all()
    assert encoder.seen == THINGS[4:]
    encoder = Encoder(stop=0)
    made(tmp_path / "v", encoder)
    assert encoder.seen == []


def test_other_things_or_another_model_are_refused(tmp_path):
    made(tmp_path / "v")
    for changed in ({"identity": "weights 2"}, {"keys": THINGS[:5]}):
        with pytest.raises(ValueError, match="holds vectors of another model or of other things"):
            made(tmp_path / "v", **changed)


@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_a_damaged_shard_is_found_and_named(tmp_path, harm):
    found = made(tmp_path / "v")
    data = bytearray(found.shards[1].read_bytes())
    data[200] ^= 1
    shorter = {"flip": bytes(data), "cut": bytes(data[:150]), "empty": b""}
    found.shards[1].write_bytes(shorter[harm])
    with pytest.raises(ValueError, match=r"00001.npz is damaged .* delete it and run"):
        found.all()


def test_no_vectors_are_said_to_be_missing(tmp_path):
    with pytest.raises(ValueError, match=r"no vectors in .*; run `whatwhere curate embed` first"):
        Vectors.open(tmp_path)
