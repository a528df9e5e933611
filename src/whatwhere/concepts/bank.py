"""The bank: which concepts a model learns from captions, in a fixed order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from whatwhere.class_lists import benchmarks, classes
from whatwhere.concepts.names import (
    Names,
    name_key,
    refuse_shared,
    split_synonyms,
    unique,
    word_set,
)
from whatwhere.concepts.phrases import NounPhrase, NounPhrases

if TYPE_CHECKING:
    from whatwhere.concepts.matcher import Matcher
    from whatwhere.concepts.strict import Strict

# Nouns that name no thing in a picture: places in the picture, amounts, the picture itself, times,
# what a body does or feels, what could be anything, colors. Mining leaves them out; a names file
# may have them.
NOT_THINGS = word_set(
    """
    front back side middle center centre edge end top bottom left right rear foreground background
    distance direction way spot area place position level surface surroundings inside outside
    group couple number pair set lot bunch piece part kind type sort variety amount series row half
    dozen member
    picture photo photograph image view scene shot closeup close-up shape size style
    time day night morning evening afternoon moment year season summer winter spring fall today
    air midair mid-air action activity event fun attention work use life turn jump leap run walk
    look kick play trick stunt flip pose try start stop catch throw rest break attempt swim
    hold take go climb hit move touch help lead laugh talk chase progress motion speed control
    conversation case order name idea thing object item midst dark space line point pile portion
    balance bend blow bow class cover curve dive dusk expression flight formation gesture heat hug
    kiss mess method mode motocross nap purpose reflection rest round slip split spread stance
    stretch stride stroke swinging touchdown tug war weather wear wheelie wind music sport soccer
    hockey rugby tennis gymnastics parasailing waterskiing backstroke cross-country
    christmas halloween sunday
    color colour black white red blue green yellow brown grey gray pink purple tan beige blond
    blonde
    """
)

# What happens, in two words as in one: a soccer game, a skateboard trick.
EVENTS = word_set(
    """
    cartwheel celebration competition concert contest dance event festival fight game handstand
    landing lesson maneuver match meet meeting performance picnic practice race routine show
    somersault stunt tournament trick trip
    """
)


@dataclass(frozen=True)
class Bank:
    """Concepts in order, each a shown name and its synonyms; a concept's number is its place.

    >>> bank = Bank.parse(["dog|puppy", "grass"])
    >>> bank.names, len(bank)
    (('dog', 'grass'), 2)
    >>> [span[:3] for span in bank.matcher()("Two puppies on the grass")]
    [(4, 11, 0), (19, 24, 1)]
    """

    concepts: tuple[Names, ...]

    def __post_init__(self):
        if not self.concepts:
            raise ValueError("a bank needs at least one name")
        refuse_shared(self.concepts, [f"concept {i} ({c[0]})" for i, c in enumerate(self.concepts)])

    def __len__(self) -> int:
        return len(self.concepts)

    @property
    def names(self) -> tuple[str, ...]:
        """The shown name of each concept."""
        return tuple(names[0] for names in self.concepts)

    @property
    def lines(self) -> list[str]:
        """What a checkpoint stores and `parse` reads."""
        return ["|".join(names) for names in self.concepts]

    @classmethod
    def read(cls, path: str | Path) -> Bank:
        """A names file: a concept per line, synonyms by `|`, comments from `#` on.

        Lines that begin with the same name are joined, and names are put in lower case. A name in
        two concepts is an error.
        """
        if not Path(path).is_file():
            raise ValueError(
                f"there is no names file at {path}; give one, or 'benchmarks' for their class names"
            )
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8"
            ) from None
        try:
            return cls.parse(text.splitlines())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def parse(cls, lines: Iterable[str]) -> Bank:
        """A bank from the lines of a names file; what was wrong is named with its line."""
        rows: dict[str, tuple[Names, int]] = {}
        for number, line in enumerate(lines, 1):
            content = line.partition("#")[0].strip()
            if not content:
                continue
            try:
                names = split_synonyms(content.lower())
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            earlier, first = rows.get(name_key(names[0]), ((), number))
            rows[name_key(names[0])] = unique([*earlier, *names]), first
        if not rows:
            raise ValueError("no names in it; write one per line, synonyms as 'grass|lawn'")
        concepts = tuple(names for names, _ in rows.values())
        refuse_shared(concepts, [f"line {number}" for _, number in rows.values()])
        return cls(concepts)

    @classmethod
    def mine(
        cls,
        captions: Iterable[str],
        *,
        most: int,
        least: int,
        find: Callable[[str], list[NounPhrase]],
        synonyms: Sequence[Names] = (),
    ) -> Bank:
        """The `most` names that the captions' own noun phrases mention, the most frequent first.

        A name counts once per caption and needs `least` captions. A two-word name ("tennis ball")
        is a concept if it is frequent enough by itself and its words come together more often than
        chance alone would bring two such words into one caption; otherwise its captions count for
        its head ("ball"). No list of names is consulted, so a bank cannot leak the names of a
        benchmark, as the union of test classes in SimZSS's code does.
        """
        joined = {name_key(name): names[0] for names in synonyms for name in names}
        counts: Counter[str] = Counter()
        words: Counter[str] = Counter()
        total = 0
        for caption in captions:
            total += 1
            found = {joined.get(name_key(phrase.name), phrase.name) for phrase in find(caption)}
            counts.update(found)
            words.update({word for name in found for word in name.split()})
        if total == 0:
            raise ValueError("no captions to mine names from")
        counts = _one_spelling(counts)
        for name in [name for name in counts if " " in name]:
            first, head = name.split()[0], name.split()[-1]
            if counts[name] < least or counts[name] * total < words[first] * words[head]:
                # A caption that says both "tennis ball" and "ball" counts twice here: too rare to
                # keep every caption's names in memory for.
                counts[joined.get(name_key(head), head)] += counts.pop(name)
        kept = [
            name
            for name, count in counts.items()
            if count >= least and name not in NOT_THINGS and name.split()[-1] not in EVENTS
        ]
        kept = sorted(kept, key=lambda name: (-counts[name], name))[:most]
        if not kept:
            raise ValueError(
                f"no name is in {least} of the {total} captions; lower least, or give a names file"
            )
        return cls(tuple((name,) for name in kept)).merged(synonyms)

    def merged(self, synonyms: Iterable[Names]) -> Bank:
        """The bank with what a row of `synonyms` calls one thing as one concept.

        It stands where the first of its names stood, and shows the row's first name.
        """
        row_of = {name_key(name): names for names in synonyms for name in names}
        groups: dict[str, list[str]] = {}
        for names in self.concepts:
            rows = [row_of[name_key(name)] for name in names if name_key(name) in row_of]
            shown = rows[0] if rows else names
            groups.setdefault(name_key(shown[0]), []).extend([*shown, *names])
        return Bank(tuple(unique(group) for group in groups.values()))

    def matcher(self) -> Matcher:
        """Finds this bank's names in captions."""
        from whatwhere.concepts.matcher import Matcher  # its records bring torch with them

        return Matcher(self.concepts)


@dataclass(frozen=True)
class Concepts:
    """Where the bank comes from, and how captions are searched for its names.

    path      None: mined from the noun phrases of the captions that are trained on, so that no
              benchmark's names leak into it. "benchmarks": the class names of the benchmarks
              themselves, as in SimZSS (arXiv 2406.16085), whose bank also has those of Objects365.
              Else a names file.
    parser    "all": every mention, by `Matcher`. "strict" and "strict chunks": what SimZSS's
              released code finds, covered by the name or by its noun chunk (see `strict.py`).

    Synonyms stay apart unless asked for: joined, "man", "woman" and "child" become one concept,
    which draws more examples to it but can never again be told apart.
    """

    path: str | None = None
    most: int = 1000  # names mined
    least: int = 5  # captions that a mined name needs
    synonyms: bool = False  # join everyday synonyms by the table that ships beside this file
    find: NounPhrases = NounPhrases()  # for mining, and the parse behind the strict parser
    parser: Literal["all", "strict", "strict chunks"] = "all"

    def bank(self, captions: Iterable[str]) -> Bank:
        """The bank; `captions` are read only to mine it."""
        table = everyday_synonyms() if self.synonyms else ()
        if self.path == "benchmarks":
            return bank_of_benchmarks().merged(table)
        if self.path is not None:
            return Bank.read(self.path).merged(table)
        return Bank.mine(captions, most=self.most, least=self.least, find=self.find, synonyms=table)

    def finder(
        self, bank: Bank, *, pieces: Callable[[str], Sequence[tuple[str, int, int]]]
    ) -> Matcher | Strict:
        """What finds the bank's names in a caption; `pieces` are CLIP's, for the strict parser."""
        if self.parser == "all":
            return bank.matcher()
        from whatwhere.concepts.strict import Strict  # its records bring torch with them

        covers = "name" if self.parser == "strict" else "chunk"
        return Strict(bank.concepts, pieces=pieces, find=self.find, covers=covers)


def bank_of_benchmarks() -> Bank:
    """The union of the public class lists, in alphabetical order, without the background.

    As in SimZSS spellings stay apart ("aeroplane", "airplane"); names are as they are said, see
    `classes`.
    """
    return Bank.parse(sorted({said for name in benchmarks() for said in classes(name).values()}))


def everyday_synonyms() -> tuple[Names, ...]:
    """The table that ships with the package."""
    return Bank.read(Path(__file__).with_name("synonyms.txt")).concepts


def _one_spelling(counts: Counter[str]) -> Counter[str]:
    """ "t-shirt" and "t shirt" counted together, under the spelling that is more frequent."""
    together: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for name, count in counts.most_common():
        together[shown.setdefault(name_key(name), name)] += count
    return together
