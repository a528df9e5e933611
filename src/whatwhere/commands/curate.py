"""Find out what captions leave out: concepts that similar pictures mention (CoCu).

example:
  whatwhere curate concepts --captions my_photos/ --out curated
  whatwhere curate embed    --captions my_photos/ --out curated --model runs/mine
  whatwhere curate index    --out curated
  whatwhere curate rewrite  --out curated
  whatwhere curate audit    --captions my_photos/ --out curated

embed and rewrite go on where they were stopped; with --ray they run on the actors of a Ray cluster
and leave the same files. curated/sidecar/ is Parquet: key, concepts, scores.
The model may be open_clip:ViT-B-16:clip.pt. `whatwhere curate STEP --help` tells more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from whatwhere.commands import add_device, add_import, from_one


def arguments(parser: argparse.ArgumentParser) -> None:
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)

    def step(name: str, says: str) -> argparse.ArgumentParser:
        one = steps.add_parser(name, help=says, description=says, allow_abbrev=False)
        one.add_argument("--out", required=True, metavar="DIR", help="folder of this curation")
        return one

    def captioned(one: argparse.ArgumentParser) -> None:
        one.add_argument("--captions", required=True, metavar="PATH", help="pictures and captions")
        one.add_argument("--kind", help="how to read PATH, where that is not plain")

    def spread(one: argparse.ArgumentParser) -> None:
        one.add_argument(
            "--ray",
            nargs="?",
            const="local",
            metavar="ADDRESS",
            help="on a Ray cluster (ADDRESS; auto), or on Ray actors here if no address is given",
        )
        one.add_argument(
            "--workers", type=from_one, help="Ray actors; default: one a processor, or one a GPU"
        )

    one = step("concepts", "the gallery, and which of its concepts each caption mentions")
    captioned(one)
    one.add_argument(
        "--gallery",
        default="mined",
        metavar="NAMES",
        help="mined from the captions (default), a names file, or benchmarks: their class names",
    )
    one.add_argument("--most", type=from_one, default=2000, help="names mined; default: 2000")
    one.add_argument(
        "--least", type=from_one, default=5, help="captions that one needs; default: 5"
    )
    one.add_argument(
        "--as-written", action="store_true", help="plurals mention a concept only if it is plural"
    )

    one = step("embed", "vectors of the pictures, and of the concepts if there is a gallery")
    captioned(one)
    one.add_argument(
        "--model",
        required=True,
        help="tiny, a run, a checkpoint or open_clip:ARCHITECTURE:WEIGHTS",
    )
    one.add_argument("--prompts", default="photo", help="name, photo (default), seven or imagenet")
    one.add_argument("--batch", type=from_one, default=32, help="pictures at a time; default: 32")
    add_device(one)
    add_import(one)
    spread(one)

    one = step("index", "what finds similar pictures")
    one.add_argument(
        "--how",
        choices=("exact", "hnsw", "ivf-sq8", "ivf-pq"),
        help="default: by the number of pictures and the memory",
    )
    one.add_argument("--memory", type=float, default=8.0, metavar="GIB", help="default: 8")

    one = step("rewrite", "the concepts that each picture may borrow, as a Parquet sidecar")
    one.add_argument("--pool", metavar="DIR", help="another curation that lends; default: itself")
    one.add_argument("--near", type=from_one, default=8, help="pictures that lend; default: 8")
    one.add_argument("--most", type=from_one, default=16, help="concepts kept; default: 16")
    one.add_argument("--clusters", action="store_true", help="for cluster-guided sampling")
    one.add_argument("--sidecar", metavar="DIR", help="default: DIR/sidecar")
    spread(one)

    one = step("audit", "a page: what is never said, how much is recovered, examples")
    captioned(one)
    one.add_argument(
        "--top", type=from_one, default=3, help="concepts a picture is told; default: 3"
    )
    one.add_argument("--pool", metavar="DIR", help="the curation that lent, as for rewrite")
    one.add_argument("--examples", type=from_one, default=24, help="pictures shown; default: 24")
    one.add_argument("--sidecar", metavar="DIR", help="default: DIR/sidecar")


def run(args: argparse.Namespace) -> int:
    args.out = Path(args.out).expanduser()
    {"concepts": _concepts, "embed": _embed, "index": _index, "rewrite": _rewrite, "audit": _audit}[
        args.step
    ](args)
    return 0


def _concepts(args: argparse.Namespace) -> None:
    from whatwhere.captions.sources import open_pairs
    from whatwhere.concepts.bank import Concepts
    from whatwhere.concepts.overlap import overlaps, table
    from whatwhere.runs.curating import GALLERY, make_gallery

    pairs = open_pairs(args.captions, kind=args.kind)
    path = None if args.gallery == "mined" else args.gallery
    concepts = Concepts(path=path, most=args.most, least=args.least)
    bank, mentions = make_gallery(args.out, pairs, concepts, singulars=not args.as_written)
    _left_out(pairs)
    print(
        f"{args.out / GALLERY}: {len(bank)} concepts; {len(pairs)} pictures mention "
        f"{len(mentions.concept) / len(pairs):.2f} of them each"
    )
    print(table(overlaps(bank)))


def _embed(args: argparse.Namespace) -> None:
    from whatwhere.captions.sources import open_pairs
    from whatwhere.concepts.prompts import Prompts
    from whatwhere.runs import curating
    from whatwhere.runs.spaces import open_space

    prompts, each = Prompts(args.prompts), _each(args, gpu=args.device != "cpu")
    pairs = open_pairs(args.captions, kind=args.kind)
    space = open_space(args.model, device=args.device, imports=args.imports)
    gallery = (args.out / curating.GALLERY).is_file()
    if gallery:
        curating.embed_concepts(args.out, curating.read_gallery(args.out), space, prompts)
    vectors = curating.embed_pictures(args.out, pairs, space, batch=args.batch, each=each)
    for row, why in vectors.broken().items():
        pairs.skipped.add("broken image", vectors.keys[row], why)
    _left_out(pairs)
    print(f"{vectors.folder}: {len(vectors)} pictures")
    if not gallery:
        print("no gallery yet: after `whatwhere curate concepts`, embed again (only the concepts)")


def _index(args: argparse.Namespace) -> None:
    from whatwhere.runs.curating import make_index

    print(f"{args.out}: index {make_index(args.out, how=args.how, memory=args.memory)}")


def _rewrite(args: argparse.Namespace) -> None:
    from whatwhere.runs.curating import SIDECAR, Rewriting, rewrite

    sidecar = Path(args.sidecar).expanduser() if args.sidecar else args.out / SIDECAR
    settings = Rewriting(near=args.near, most=args.most, clusters=args.clusters)
    pool = None if args.pool is None else Path(args.pool).expanduser()
    shift = rewrite(args.out, settings, pool=pool, sidecar=sidecar, each=_each(args, gpu=False))
    if shift:
        print(f"cosines of this model may be negative: {shift:.3f} was added to all of them")
    print(f"{sidecar}: written")


def _audit(args: argparse.Namespace) -> None:
    from whatwhere.captions.sources import open_pairs
    from whatwhere.report import page, section
    from whatwhere.report.curated import Shown, concept_table, examples, never, numbers
    from whatwhere.runs.curating import SIDECAR, audit_sidecar

    pairs = open_pairs(args.captions, kind=args.kind)
    samples = {s.key: s for s in pairs}
    pool = None if args.pool is None else Path(args.pool).expanduser()
    sidecar = Path(args.sidecar).expanduser() if args.sidecar else args.out / SIDECAR
    found = audit_sidecar(
        args.out,
        pairs,
        top=args.top,
        examples=args.examples,
        seed=0,
        pool=pool,
        sidecar=sidecar,
    )
    counts, names = found.counts, found.bank.names
    shown = [
        Shown(samples[one.key].open(), samples[one.key].captions, one.said, one.gained)
        for one in found.examples
    ]
    lead = f"The {args.top} best concepts of {sidecar} against what captions say themselves."
    document = page(
        "What captions leave out",
        lead=lead,
        generator="whatwhere curate",
        sections=[
            numbers(counts, top=args.top),
            section("Gained most", inside=concept_table(counts, names)),
            section("Examples", inside=examples(shown, folder=args.out / "audit")),
            never(counts, names),
        ],
    )
    path = args.out / "audit.html"
    path.write_text(document, encoding="utf-8")
    some = int((counts.gained > 0).sum())
    print(
        f"{some} of {len(counts.own)} pictures gain {counts.gained.mean():.2f} concepts on "
        f"average; captions say {counts.own.mean():.2f}; {len(counts.never)} of "
        f"{len(names)} concepts are never said\n{path}"
    )


def _each(args: argparse.Namespace, *, gpu: bool):
    """Who does the pieces of a step."""
    from whatwhere.curation.pieces import here
    from whatwhere.runs.spreading import on_ray

    if args.workers is not None and args.ray is None:
        raise ValueError("--workers counts Ray actors; give --ray too")
    return here if args.ray is None else on_ray(args.ray, workers=args.workers, gpu=gpu)


def _left_out(pairs) -> None:
    if report := pairs.skipped.report():
        print(f"left out:\n{report}", file=sys.stderr)
