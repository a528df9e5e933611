"""A folder of curation, step by step: gallery, vectors, index, what each picture may borrow.

Each step reads what earlier ones left in the folder, refuses what does not belong together, and
goes on where it was stopped.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from whatwhere.captions.samples import BrokenImage, Sample
from whatwhere.captions.sources import Pairs
from whatwhere.concepts.bank import Bank, Concepts
from whatwhere.concepts.nouns import singular
from whatwhere.concepts.prompts import Prompts
from whatwhere.curation import search
from whatwhere.curation.audit import Audit, audit
from whatwhere.curation.clustering import cluster
from whatwhere.curation.files import digest, read, write
from whatwhere.curation.mentions import Finder, Mentions
from whatwhere.curation.pieces import Each, here
from whatwhere.curation.ranking import Pool, fits_of, rank
from whatwhere.curation.sidecar import Borrowed, Sidecar, write_sidecar
from whatwhere.curation.vectors import SHARD, Embedded, Vectors, embed
from whatwhere.encoders.clip_tokens import ClipTokens
from whatwhere.runs.spaces import Space

GALLERY, MENTIONS, INDEX, GRAPH = "gallery.txt", "mentions.npz", "index.json", "index.faiss"
PICTURES, CONCEPTS, SIDECAR = "pictures", "concepts", "sidecar"


@dataclass(frozen=True)
class Rewriting:
    """How concepts are borrowed. The defaults are CoCu's, whose archive keeps all concepts."""

    near: int = 8  # pictures whose captions lend, the picture itself included
    most: int = 16  # concepts kept for a picture
    clusters: bool = False  # cluster them, for cluster-guided sampling

    def __post_init__(self) -> None:
        if self.near < 1 or self.most < 1:
            raise ValueError(f"near={self.near}, most={self.most}; take 1 or more")


def make_gallery(
    folder: Path, pairs: Pairs[Sample], concepts: Concepts, *, singulars: bool = True
) -> tuple[Bank, Mentions]:
    """The gallery, and which of its concepts each picture's captions mention.

    `singulars=False` leaves the captions' plurals alone: a concept is then found only as it is
    written.
    """
    said = _cleaned(pairs)
    bar = tqdm(said, "mining concepts", unit=" pictures", disable=concepts.path is not None)
    bank = concepts.bank(text for texts in bar for text in texts)
    mentions = _mentioned(said, bank, singulars=singulars)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / GALLERY, "".join(f"{line}\n" for line in bank.lines).encode())
    about = np.array([digest(bank.lines), digest([s.key for s in pairs]), pairs.digest()])
    held = io.BytesIO()
    np.savez_compressed(held, start=mentions.start, concept=mentions.concept, about=about)
    write(folder / MENTIONS, held.getvalue())
    return bank, mentions


def _cleaned(pairs: Pairs[Sample]) -> list[list[str]]:
    clean = ClipTokens().clean
    return [[clean(text) for text in s.captions] for s in tqdm(pairs, "reading", unit=" pictures")]


def _mentioned(said: list[list[str]], bank: Bank, *, singulars: bool = True) -> Mentions:
    find = Finder(bank.concepts, singular=singular if singulars else None)
    return Mentions.of(
        list(dict.fromkeys(row for text in texts for row in find(text)))
        for texts in tqdm(said, "finding concepts", unit=" pictures")
    )


def read_gallery(folder: Path) -> Bank:
    if not (folder / GALLERY).is_file():
        raise ValueError(f"no gallery in {folder}; run `whatwhere curate concepts` first")
    return Bank.read(folder / GALLERY)


def read_mentions(
    folder: Path, bank: Bank, keys: Sequence[str], *, captions: str | None = None
) -> Mentions:
    """Mentions of these pictures and no others, of this gallery.

    `captions` is the digest of those that must have been read; older files do not tell.
    """
    file = folder / MENTIONS
    if not file.is_file():
        raise ValueError(f"no {file}; run `whatwhere curate concepts` first")

    def parse(data: bytes) -> tuple[list[str], Mentions]:
        with np.load(io.BytesIO(data)) as held:
            return held["about"].tolist(), Mentions(held["start"], held["concept"])

    about, mentions = read(file, parse, step="concepts")
    if about[:2] != [digest(bank.lines), digest(keys)]:
        raise ValueError(
            f"{file} is of another gallery or of other pictures; run `whatwhere curate concepts` "
            "again"
        )
    if captions is not None and about[2:] not in ([], [captions]):
        raise ValueError(
            f"the captions have changed since {file} was made of them; run `whatwhere curate "
            "concepts` again, then embed and rewrite"
        )
    return mentions


def embed_pictures(
    folder: Path, pairs: Pairs[Sample], space: Space, *, batch: int, each: Each = here
) -> Vectors:
    """A broken picture gets zeros: it neither borrows nor lends."""

    def encode(samples: Sequence[Sample]) -> Embedded:
        opened, reasons = [], []
        for sample in samples:
            try:
                opened.append(sample.open())
                reasons.append("")
            except BrokenImage as error:
                reasons.append(error.reason)
        vectors = np.zeros((len(samples), space.dim), np.float32)
        if opened:
            vectors[[why == "" for why in reasons]] = space.pictures(opened)
        return Embedded(vectors, reasons)

    keys = [sample.key for sample in pairs]
    return embed(
        folder / PICTURES,
        pairs.samples,
        keys,
        encode,
        identity=space.identity,
        batch=batch,
        what="pictures",
        each=each,
    )


def embed_concepts(folder: Path, bank: Bank, space: Space, prompts: Prompts) -> Vectors:
    """The mean of a concept's prompts, by its first name."""

    def encode(names: Sequence[str]) -> Embedded:
        prompted = [prompts(name) for name in names]
        vectors = space.texts([text for texts in prompted for text in texts])
        mean = vectors.reshape(len(names), -1, vectors.shape[1]).mean(axis=1)
        return Embedded(mean / np.linalg.norm(mean, axis=1, keepdims=True), [""] * len(names))

    return embed(
        folder / CONCEPTS / digest([*bank.names, prompts.how, space.identity]),
        bank.names,
        bank.names,
        encode,
        identity=space.identity,
        batch=max(256 // len(prompts("thing")), 1),
        what="concepts",
    )


def concept_vectors(folder: Path, bank: Bank, identity: str) -> Float32[np.ndarray, "concepts dim"]:
    """Vectors of exactly this gallery, made by the model that saw the pictures; the newest."""
    held = sorted((folder / CONCEPTS).glob("*/about.json"), key=lambda file: file.stat().st_mtime)
    found = [Vectors.peek(file.parent) for file in held if Vectors.begun(file.parent)]
    fitting = [
        one
        for one in found
        if one.keys == bank.names and one.identity == identity and not one.missing()
    ]
    if not fitting:
        raise ValueError(
            f"the concepts of {folder / GALLERY} have no vectors of the model that saw the "
            "pictures; run `whatwhere curate embed` (again)"
        )
    return fitting[-1].all()


def make_index(folder: Path, *, how: search.Kind | None, memory: float) -> search.Kind:
    """None chooses by the number of pictures and by `memory`, in GiB."""
    vectors = Vectors.open(folder / PICTURES)
    _, first = next(vectors.blocks())
    kind = how or search.choose(len(vectors), first.shape[1], memory=memory)
    about = {"kind": kind, "identity": vectors.identity, "keys": digest(vectors.keys)}
    said = json.dumps(about).encode()
    if kind != "exact":
        file = folder / INDEX
        if file.is_file() and file.read_bytes() == said and (folder / GRAPH).is_file():
            return kind
        sample = search.sampled(vectors.blocks(), count=len(vectors))
        bar = tqdm(vectors.blocks(), "indexing", len(vectors.shards), unit=" shards")
        index = search.train(kind, iter(bar), count=len(vectors), sample=sample)
        search.save(index, folder / GRAPH)
    write(folder / INDEX, said)
    return kind


def open_index(folder: Path, vectors: Vectors) -> search.Index:
    if _kind(folder, vectors) == "exact":
        return search.Exact(vectors.all())
    return search.read(folder / GRAPH)


def _kind(folder: Path, vectors: Vectors) -> str:
    """How these vectors were indexed; ValueError if they were not."""
    file, found = folder / INDEX, {}
    if file.is_file():
        found = read(file, lambda data: dict(json.loads(data)), step="index")
    if (found.get("identity"), found.get("keys")) != (vectors.identity, digest(vectors.keys)):
        raise ValueError(f"no index of {vectors.folder}; run `whatwhere curate index` (again)")
    return found["kind"]


def rewrite(
    folder: Path,
    settings: Rewriting,
    *,
    pool: Path | None = None,
    sidecar: Path | None = None,
    each: Each = here,
) -> float:
    """Borrow for every picture of `folder` from the captions of `pool`, by default its own.

    Returns what was added to cosines to make them positive: 0 where they are, as CLIP's; else what
    lifts all but the lowest hundredth of them.
    """
    lender = folder if pool is None else pool
    vectors, lenders = Vectors.open(folder / PICTURES), Vectors.open(lender / PICTURES)
    if vectors.identity != lenders.identity:
        raise ValueError(f"{folder} and {lender} hold vectors of different models; embed one again")
    bank = read_gallery(lender)
    mentions = read_mentions(lender, bank, lenders.keys)
    concepts = concept_vectors(lender, bank, lenders.identity)
    index = open_index(lender, lenders)
    lent = Pool(mentions, mentions, fits_of(lenders.blocks(), concepts, mentions))
    shift = _shift(lenders, concepts)
    cosines = concepts @ concepts.T if settings.clusters else None
    lost, broken = (np.array(sorted(one.broken()), dtype=int) for one in (lenders, vectors))

    def borrow(rows: range) -> Borrowed:
        """Shard by shard, so a part of the sidecar holds whole shards."""
        shape = (len(rows), settings.most)
        found = Borrowed(np.full(shape, -1), np.zeros(shape, np.float32), np.full(shape, -1))
        for start in range(rows.start, rows.stop, SHARD):
            some = vectors.block(start // SHARD)
            own = np.arange(start, start + len(some))
            near = index.nearest(some, near=settings.near)
            near = search.with_itself(near, own if pool is None else np.full(len(own), -1))
            near[np.isin(near, lost) | np.isin(own, broken)[:, None]] = -1
            archive = rank(some, near, concepts, lent, shift=shift, most=settings.most)
            place = slice(start - rows.start, start - rows.start + len(some))
            kept = archive.concept.shape[1]
            found.concept[place, :kept] = archive.concept
            found.score[place, :kept] = archive.score
            if cosines is not None:
                found.cluster[place, :kept] = cluster(archive.concept, cosines)
        return found

    decides = {
        "settings": [settings.near, settings.most, settings.clusters],
        "model": vectors.identity,
        "pictures": digest(vectors.keys),
        "pool": digest(lenders.keys),
        "gallery": digest(bank.lines),
        "contents": [crc32(concepts.tobytes()), *_checksums(mentions)],
        "index": _kind(lender, lenders),
    }
    file = sidecar or folder / SIDECAR
    write_sidecar(file, vectors.keys, bank.names, borrow, decides=decides, each=each)
    return shift


def _checksums(mentions: Mentions) -> list[int]:
    return [crc32(part.tobytes()) for part in (mentions.start, mentions.concept)]


def _shift(vectors: Vectors, concepts: Float32[np.ndarray, "concepts dim"]) -> float:
    """What lifts all but the lowest hundredth of the cosines above 0, seen on about 1,000."""
    step = max(len(vectors) // 1000, 1)
    some = np.concatenate([block[-first % step :: step] for first, block in vectors.blocks()])
    return max(0.0, -float(np.quantile(some @ concepts.T, 0.01)))


@dataclass(frozen=True)
class Example:
    """A picture, what its captions mention, and what it borrows beside that, with scores."""

    key: str
    said: tuple[str, ...]
    gained: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Audited:
    """What a sidecar would tell a model that the captions do not."""

    counts: Audit
    bank: Bank
    top: int  # concepts that a picture borrows at most
    examples: tuple[Example, ...]


def audit_sidecar(
    folder: Path,
    pairs: Pairs[Sample],
    *,
    top: int,
    examples: int,
    seed: int,
    pool: Path | None = None,
    sidecar: Path | None = None,
) -> Audited:
    """The `top` concepts of every picture against its own captions; examples drawn by `seed`.

    `pairs` are the pictures of `folder`. With a `pool`, the curation that lent, the concepts are
    its own, and which of them the captions of `pairs` mention is found anew. Without, captions that
    have changed since `concepts` read them are refused, and always a sidecar that was written from
    other mentions than the lender holds now: every number would be about captions that no training
    will read, and making the steps again costs little.
    """
    lender, file = pool or folder, sidecar or folder / SIDECAR
    keys, bank = Vectors.open(folder / PICTURES).keys, read_gallery(lender)
    if [sample.key for sample in pairs] != list(keys):
        raise ValueError(f"the captions are not of the pictures of {folder}; give those")
    held = Sidecar(file, count=top)
    if pool is None:
        mentions = lent = read_mentions(folder, bank, keys, captions=pairs.digest())
        lenders = keys
    else:
        mentions = _mentioned(_cleaned(pairs), bank)
        lenders = Vectors.open(pool / PICTURES).keys
        lent = read_mentions(pool, bank, lenders)

    def parse(data: bytes) -> tuple[str, str, list[int]]:
        decided = json.loads(data)
        return decided["pool"], decided["gallery"], decided["contents"][1:]

    now = digest(lenders), digest(bank.lines), _checksums(lent)
    if read(file / "about.json", parse, step="rewrite") != now:
        raise ValueError(
            f"{file} was not written from what {lender} holds now, its gallery and what captions "
            "mention of it; name the curation that lent with --pool, or delete the sidecar and run "
            "`whatwhere curate rewrite` again"
        )
    row_of = {name: row for row, name in enumerate(bank.names)}
    table, scores = held.best(keys)
    rows = np.array([*(row_of[name] for name in held.names), -1])
    table = rows[table]
    counts = audit(mentions, table, concepts=len(bank))
    gained = np.flatnonzero(counts.gained)
    few = np.random.default_rng(seed).permutation(gained)[:examples].tolist()

    def example(row: int) -> Example:
        own = mentions.concept[mentions.start[row] : mentions.start[row + 1]].tolist()
        new = [
            (bank.names[concept], score)
            for concept, score in zip(table[row].tolist(), scores[row].tolist(), strict=True)
            if concept >= 0 and concept not in own
        ]
        return Example(keys[row], tuple(bank.names[concept] for concept in own), tuple(new))

    return Audited(counts, bank, top, tuple(map(example, few)))
