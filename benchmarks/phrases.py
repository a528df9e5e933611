"""How many captions a second one core mines for noun phrases and searches for a bank's names.

    python benchmarks/phrases.py --captions ../shared/data/flickr8k/captions.jsonl

CPU time of this process, mending of captions, normalisation and character offsets included (byte
pairs only for the strict parser, which reads them), medians over repeats that take turns, so that a
busy machine slows all alike; building is not counted.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from whatwhere.concepts.bank import Bank, Concepts
from whatwhere.concepts.nouns import table
from whatwhere.concepts.phrases import NounPhrases
from whatwhere.encoders.clip_tokens import ClipTokens


def main() -> None:
    shared = Path(__file__).parents[1].parent / "shared"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", default=shared / "data/flickr8k/captions.jsonl", type=Path)
    parser.add_argument("--names", default=20_000, type=int, help="size of the large bank")
    parser.add_argument("--repeats", default=5, type=int)
    options = parser.parse_args()

    rows = map(json.loads, options.captions.read_text(encoding="utf-8").splitlines())
    captions = [caption for row in rows for caption in row["captions"]]
    find = NounPhrases()
    words = statistics.mean(len(caption.split()) for caption in captions)
    print(f"{len(captions)} captions of {words:.1f} words")

    strict = Concepts(parser="strict")
    small = Concepts().bank(captions)
    large = large_bank(captions, options.names)
    print(f"banks of {len(small)} and {len(large)} names")
    jobs: dict[str, Callable[[str], object]] = {
        f"matcher, {len(small)} names": small.matcher(),
        f"matcher, {len(large)} names": large.matcher(),
        **spacy_matcher(large),
        "noun phrases, textblob": find,
        f"strict parser, {len(large)} names": strict.finder(large, pieces=ClipTokens().pieces),
    }
    rates: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(options.repeats):
        for name, job in jobs.items():
            rates[name].append(rate(job, captions))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ours = medians[f"matcher, {len(large)} names"]
    for name, median in medians.items():
        spread = f"{min(rates[name]):,.0f} to {max(rates[name]):,.0f}"
        print(f"{name:32} {median:9,.0f} captions/s ({spread}), our matcher x {ours / median:.2f}")

    spans = [small.matcher()(caption) for caption in captions]
    share = sum(map(bool, spans)) / len(spans)
    each = sum(map(len, spans)) / len(spans)
    print(f"{share:.2%} of captions mention one of {len(small)} concepts, {each:.2f} per caption")


def large_bank(captions: list[str], size: int) -> Bank:
    """Every name in the captions, filled up with English nouns that they may or may not have."""
    mined = list(Bank.mine(captions, most=size, least=1, find=NounPhrases()).names)
    known = {name.replace("-", " ") for name in mined}
    nouns = (
        w for w, kinds in table().items() if kinds.get("noun") == w and w.isalpha() and w.islower()
    )
    rest = [noun for noun in nouns if noun not in known]
    pairs = [f"{one} {two}" for one, two in pairwise(rest)]
    return Bank.parse((mined + rest + pairs)[:size])


def spacy_matcher(bank: Bank) -> dict[str, Callable[[str], object]]:
    try:
        import spacy
        from spacy.matcher import PhraseMatcher
    except ImportError:
        print("spaCy is not installed: no comparison with its PhraseMatcher")
        return {}
    nlp = spacy.blank("en")
    matcher = PhraseMatcher(nlp.vocab, attr="LOWER")
    for i, names in enumerate(bank.concepts):
        matcher.add(str(i), [nlp.make_doc(name) for name in names])

    def search(text: str) -> list[tuple[int, int, int]]:
        doc = nlp.make_doc(text)
        found = matcher(doc, as_spans=True)
        return [(span.start_char, span.end_char, int(span.label_)) for span in found]

    return {f"spaCy PhraseMatcher, {len(bank)} names": search}


def rate(job: Callable[[str], object], captions: list[str]) -> float:
    clean = ClipTokens().clean
    start = time.process_time()
    for caption in captions:
        job(clean(caption))
    return len(captions) / (time.process_time() - start)


if __name__ == "__main__":
    main()
