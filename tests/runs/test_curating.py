"""The steps of a curation fit together, go on where they stopped and refuse what is not theirs."""

import io
import re
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from whatwhere.captions.samples import Sample, Skipped
from whatwhere.captions.sources import Pairs
from whatwhere.concepts.bank import Concepts
from whatwhere.concepts.prompts import Prompts
from whatwhere.curation import search, vectors
from whatwhere.curation.sidecar import Sidecar
from whatwhere.runs import curating, spaces
from whatwhere.runs.curating import Rewriting

pytest.importorskip("pyarrow")
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (20, 60, 230)}
SHOWS = {"red": "apple", "green": "lawn", "blue": "lake"}


class Bytes:
    def __init__(self, data):
        self.data = data

    def __call__(self):
        return self.data


def photo(color, draw):
    held = io.BytesIO()
    pixels = np.clip(np.array(color) + draw.normal(0, 8, (6, 9, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(held, "png")
    return held.getvalue()


@pytest.fixture
def pairs():
    """Four photos of each colour; only the first of them is told what it shows. One is broken."""
    draw = np.random.default_rng(0)
    samples = []
    for color, rgb in COLOURS.items():
        for i in range(4):
            said = f"two {SHOWS[color]}s" if i == 0 else "a picture of something"
            samples.append(Sample(f"{color}-{i}", (said,), Bytes(photo(rgb, draw))))
    samples.append(Sample("zz-broken", ("a lawn",), Bytes(b"no picture")))
    return Pairs(tuple(samples), Skipped())


def space(identity="colours"):
    """Pictures by their mean colour, names by the colour of the thing."""

    def unit(rows):
        rows = np.array(rows, dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def texts(some):
        rows = [
            next((COLOURS[c] for c, thing in SHOWS.items() if thing in text), (128, 128, 128))
            for text in some
        ]
        return unit(rows)

    def pictures(some):
        return unit([np.asarray(one, dtype=np.float32).mean(axis=(0, 1)) for one in some])

    return spaces.Space(identity, 3, pictures, texts)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    for module in (vectors, curating):
        monkeypatch.setattr(module, "SHARD", 4)


def prepared(folder, pairs, using=None, *, how=None):
    bank, _ = curating.make_gallery(folder, pairs, Concepts(least=1))
    curating.embed_concepts(folder, bank, using or space(), Prompts("photo"))
    curating.embed_pictures(folder, pairs, using or space(), batch=3)
    curating.make_index(folder, how=how, memory=1.0)
    return bank


SETTINGS = Rewriting(near=4, most=3)


def whole(folder, pairs):
    """All steps, one after the other, with an index on disk where there can be one."""
    prepared(folder, pairs, how="hnsw" if find_spec("faiss") else "exact")
    rewritten(folder)


def rewritten(folder):
    curating.rewrite(folder, SETTINGS)
    return told(folder, "red-1")


def told(folder, key, count=3):
    (names,) = Sidecar(folder / "sidecar", count=count)([key], [np.random.default_rng(0)])
    return names


def test_pictures_are_told_what_similar_ones_mention(tmp_path, pairs):
    prepared(tmp_path, pairs)
    curating.rewrite(tmp_path, Rewriting(near=4, most=3))
    for color, thing in SHOWS.items():
        assert all(told(tmp_path, f"{color}-{i}")[0] == thing for i in range(4))
    assert told(tmp_path, "zz-broken") == []
    held = Sidecar(tmp_path / "sidecar")
    assert len(held) == len(pairs)


def test_a_broken_picture_lends_nothing(tmp_path, pairs):
    """It alone mentions a lake now, and every picture is its neighbour."""
    only = [replace(s, captions=("a lawn",)) for s in pairs.samples[:-1]]
    last = replace(pairs.samples[-1], captions=("a lake",))
    prepared(tmp_path, Pairs((*only, last), Skipped()))
    curating.rewrite(tmp_path, Rewriting(near=13))
    assert Sidecar(tmp_path / "sidecar").names == ["lawn"]


def test_another_pool_lends_to_pictures_without_captions_of_their_own_use(tmp_path, pairs):
    prepared(tmp_path / "pool", pairs)
    draw = np.random.default_rng(5)
    few = tuple(
        Sample(f"new-{color}", ("hm",), Bytes(photo(rgb, draw))) for color, rgb in COLOURS.items()
    )
    curating.embed_pictures(tmp_path / "new", Pairs(few, Skipped()), space(), batch=2)
    curating.rewrite(tmp_path / "new", Rewriting(near=4), pool=tmp_path / "pool")
    assert [told(tmp_path / "new", f"new-{color}")[0] for color in COLOURS] == list(SHOWS.values())

    found = partial(curating.audit_sidecar, tmp_path / "new", top=1, examples=3, seed=0)
    audited = found(Pairs(few, Skipped()), pool=tmp_path / "pool")
    assert {one.gained[0][0] for one in audited.examples} == set(SHOWS.values())
    assert audited.counts.own.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="captions are not of the pictures of"):
        found(pairs, pool=tmp_path / "pool")
    curating.make_gallery(tmp_path / "new", Pairs(few, Skipped()), Concepts(least=1))
    with pytest.raises(ValueError, match="name the curation that lent with --pool"):
        found(Pairs(few, Skipped()))


def test_an_approximate_index_gives_the_same_here_and_is_not_made_twice(tmp_path, pairs):
    pytest.importorskip("faiss")
    prepared(tmp_path / "exact", pairs)
    prepared(tmp_path / "hnsw", pairs, how="hnsw")
    graph = tmp_path / "hnsw" / curating.GRAPH
    made = graph.stat().st_mtime_ns
    assert curating.make_index(tmp_path / "hnsw", how="hnsw", memory=1.0) == "hnsw"
    assert graph.stat().st_mtime_ns == made
    for name in ("exact", "hnsw"):
        curating.rewrite(tmp_path / name, Rewriting(near=4))
    both = [
        Sidecar(tmp_path / name / "sidecar")(
            [s.key for s in pairs], [np.random.default_rng(0)] * 13
        )
        for name in ("exact", "hnsw")
    ]
    assert both[0] == both[1]


def test_negative_cosines_are_lifted_and_positive_ones_left_alone(tmp_path, pairs):
    prepared(tmp_path / "positive", pairs)
    assert curating.rewrite(tmp_path / "positive", Rewriting()) == 0
    plain = space()

    def centred(vectors):
        moved = vectors - np.float32(0.5)
        return moved / np.linalg.norm(moved, axis=1, keepdims=True)

    using = spaces.Space(
        "centred",
        3,
        lambda some: centred(plain.pictures(some)),
        lambda some: centred(plain.texts(some)),
    )
    prepared(tmp_path / "centred", pairs, using)
    shift = curating.rewrite(tmp_path / "centred", Rewriting())
    found = vectors.Vectors.open(tmp_path / "centred" / curating.PICTURES).all()
    concepts = centred(plain.texts(["apple", "lake", "lawn"]))
    assert shift == pytest.approx(-np.quantile(found @ concepts.T, 0.01), abs=0.02) and shift > 0.1


def test_clusters_are_written_when_asked_for(tmp_path, pairs):
    prepared(tmp_path, pairs)
    curating.rewrite(tmp_path, Rewriting(near=13, clusters=True))
    held = Sidecar(tmp_path / "sidecar", how="cluster")
    assert held.clusters.max() == 1, "three concepts make two clusters"


def test_the_audit_counts_what_captions_do_not_say(tmp_path, pairs):
    prepared(tmp_path, pairs)
    curating.rewrite(tmp_path, Rewriting(near=4))
    found = curating.audit_sidecar(tmp_path, pairs, top=1, examples=4, seed=0)
    assert found.counts.gained.tolist() == [0, 1, 1, 1] * 3 + [0]
    assert len(found.examples) == 4
    for one in found.examples:
        assert [name for name, _ in one.gained] == [SHOWS[one.key.split("-")[0]]]
        assert one.said == () and one.gained[0][1] > 1
    assert found.counts.never.tolist() == []


def test_captions_that_changed_under_the_same_keys_are_not_audited(tmp_path, pairs):
    whole(tmp_path, pairs)
    audit = partial(curating.audit_sidecar, tmp_path, top=1, examples=4, seed=0)
    first, *others = pairs.samples
    changed = Pairs((replace(first, captions=("two lawns",)), *others), Skipped())
    with pytest.raises(ValueError, match=r"captions have changed since .* run .* concepts` again"):
        audit(changed)
    make = partial(
        curating.make_gallery, tmp_path, concepts=Concepts(str(tmp_path / "gallery.txt"))
    )
    make(changed)
    with pytest.raises(ValueError, match=r"was not written from what .* or delete the sidecar"):
        audit(changed)
    with pytest.raises(ValueError, match=r"was not written from what .* holds now"):
        audit(changed, pool=tmp_path)
    make(pairs)
    assert audit(pairs, pool=tmp_path).examples == audit(pairs).examples


def test_a_curation_that_does_not_tell_its_captions_can_be_audited(tmp_path, pairs):
    whole(tmp_path, pairs)
    file = tmp_path / curating.MENTIONS
    with np.load(file) as held:
        older = dict(held) | {"about": held["about"][:2]}
    np.savez_compressed(file, **older)
    assert curating.audit_sidecar(tmp_path, pairs, top=1, examples=4, seed=0).examples


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("gallery.txt", "no gallery in .*; run `whatwhere curate concepts` first"),
        ("mentions.npz", "no .*mentions.npz; run `whatwhere curate concepts` first"),
        ("index.json", r"no index of .*; run `whatwhere curate index` \(again\)"),
    ],
)
def test_a_step_left_out_is_named(tmp_path, pairs, missing, said):
    prepared(tmp_path, pairs)
    (tmp_path / missing).unlink()
    with pytest.raises(ValueError, match=said):
        curating.rewrite(tmp_path, Rewriting())


@pytest.mark.parametrize(
    ("file", "step"),
    [
        ("mentions.npz", "concepts"),
        ("pictures/about.json", "embed"),
        ("pictures/keys.json", "embed"),
        ("pictures/00001.npz", "embed"),
        ("concepts/*/about.json", "embed"),
        ("concepts/*/keys.json", "embed"),
        ("index.json", "index"),
        ("index.faiss", "index"),
        ("sidecar/about.json", "rewrite"),
        ("sidecar/part-00000.parquet", "rewrite"),
    ],
)
@pytest.mark.parametrize("harm", ["cut", "empty", "junk"])
def test_a_damaged_file_is_named_with_the_step_that_mends_it(tmp_path, pairs, file, step, harm):
    if file == "index.faiss":
        pytest.importorskip("faiss")
    whole(tmp_path, pairs)
    before = rewritten(tmp_path)
    (damaged,) = tmp_path.glob(file)
    data = damaged.read_bytes()
    damaged.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "junk": b"\xff\x00{"}[harm])
    said = rf"{re.escape(str(damaged))} .*; delete it and run `whatwhere curate {step}` again$"
    with pytest.raises(ValueError, match=said):
        rewritten(tmp_path)
    damaged.unlink()
    whole(tmp_path, pairs)
    assert rewritten(tmp_path) == before


def test_what_does_not_belong_together_is_refused(tmp_path, pairs):
    prepared(tmp_path, pairs)
    with pytest.raises(ValueError, match="holds vectors of another model"):
        curating.embed_pictures(tmp_path, pairs, space("other"), batch=4)
    (tmp_path / "gallery.txt").write_text("apple\nlawn\n")
    with pytest.raises(ValueError, match="is of another gallery or of other pictures"):
        curating.rewrite(tmp_path, Rewriting())
    curating.make_gallery(tmp_path, pairs, Concepts(path=str(tmp_path / "gallery.txt")))
    with pytest.raises(ValueError, match=r"have no vectors of the model .* embed` \(again\)"):
        curating.rewrite(tmp_path, Rewriting())
    prepared(tmp_path / "pool", pairs, space("other"))
    with pytest.raises(ValueError, match="hold vectors of different models"):
        curating.rewrite(tmp_path, Rewriting(), pool=tmp_path / "pool")


def test_settings_that_lend_nothing_are_refused():
    with pytest.raises(ValueError, match="near=0, most=16; take 1 or more"):
        Rewriting(near=0)


def test_exact_is_chosen_for_few(tmp_path, pairs):
    prepared(tmp_path, pairs)
    held = vectors.Vectors.open(tmp_path / curating.PICTURES)
    assert isinstance(curating.open_index(tmp_path, held), search.Exact)
