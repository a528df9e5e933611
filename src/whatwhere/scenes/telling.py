"""Tells a scene in words: what to say, in which order, and where each thing is named."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from . import languages
from .scene import Mention, Relation, Thing

SPLIT = 0.5  # how often equal things of different colors are told one by one
MOST_RELATIONS = 3  # sentences of a long caption that state one


@dataclass(frozen=True)
class Manner:
    """How a scene is told; see `World`."""

    attributes: float
    relations: float
    omit: float
    omit_grounds: float
    long: bool


@dataclass(frozen=True)
class Group:
    """Things of one name on one ground that share a noun phrase."""

    name: str
    ground: str
    things: tuple[int, ...]
    attributes: tuple[str, ...]


@dataclass
class Told:
    """A caption that grows."""

    text: str = ""
    mentions: list[Mention] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    sentence: int = 0  # where the current one begins

    def say(
        self,
        lead: str,
        phrase: str,
        name: str,
        things: tuple[int, ...],
        attributes: tuple[str, ...],
    ) -> None:
        self.text += (" " if self.text and self.text[-1] != " " else "") + lead
        start = len(self.text)
        self.text += phrase
        self.mentions.append(Mention(name, things, start, len(self.text), attributes))

    def stop(self, mark: str) -> None:
        """Ends the sentence; a capital letter has as many characters as a small one here."""
        begin = self.text[self.sentence].upper() + self.text[self.sentence + 1 :]
        self.text = self.text[: self.sentence] + begin + mark
        self.sentence = len(self.text)


def language(code: str) -> ModuleType:
    known = sorted(module.name for module in pkgutil.iter_modules(languages.__path__))
    if code not in known:
        raise ValueError(f"language {code!r} is not known; use one of {', '.join(known)}")
    return importlib.import_module(f"{languages.__name__}.{code}")


def tell(
    things: tuple[Thing, ...],
    grounds: dict[str, str],
    facts: list[Relation],
    *,
    manner: Manner,
    speech: ModuleType,
    draw: np.random.Generator,
) -> Told:
    """A caption of the things and of the grounds (name to color); every `fact` may be stated.

    A name is said for all its things or for none, so that counts are true. When chance leaves
    nothing to say, one ground is named all the same.
    """
    names = [name for name in _unique(things) if draw.random() >= manner.omit]
    said = {name: c for name, c in grounds.items() if draw.random() >= manner.omit_grounds}
    if not names and not said:
        kept = str(draw.choice(list(grounds)))
        said = {kept: grounds[kept]}
    colored: dict[str, tuple[str, ...]] = {
        name: (color,) if draw.random() < manner.attributes else () for name, color in said.items()
    }
    groups = [group for name in names for group in _groups(name, things, manner, draw)]
    told = Told()
    pair = _pair(groups, facts, draw) if draw.random() < manner.relations else None
    _overview(told, groups, colored, pair, speech, draw)
    if manner.long:
        told.stop(".")
        _details(told, things, names, said, facts, manner, speech, draw)
    elif draw.random() < 0.5:
        told.stop("." if draw.random() < 0.7 else "")
    return told


def _unique(things: tuple[Thing, ...]) -> list[str]:
    return list(dict.fromkeys(thing.name for thing in things))


def _groups(
    name: str, things: tuple[Thing, ...], manner: Manner, draw: np.random.Generator
) -> list[Group]:
    by_ground: dict[str, list[int]] = {}
    for index, thing in enumerate(things):
        if thing.name == name:
            by_ground.setdefault(thing.ground, []).append(index)
    groups = []
    for ground, members in by_ground.items():
        colors = {things[index].color for index in members}
        apart = len(members) > 1 and len(colors) == len(members) and manner.attributes > 0
        one_by_one = apart and draw.random() < SPLIT
        for part in [[m] for m in members] if one_by_one else [members]:
            shared = set.intersection(*(set(things[index].attributes) for index in part))
            chosen = tuple(
                word
                for word in things[part[0]].attributes
                if word in shared
                and (draw.random() < manner.attributes or (one_by_one and word in colors))
            )
            groups.append(Group(name, ground, tuple(part), chosen))
    return groups


def _pair(
    groups: list[Group], facts: list[Relation], draw: np.random.Generator
) -> tuple[Group, Relation, Group] | None:
    """One true relation between two groups of one thing each."""
    single = {group.things[0]: group for group in groups if len(group.things) == 1}
    possible = [f for f in facts if f.subject in single and f.object in single]
    if not possible:
        return None
    fact = possible[draw.integers(len(possible))]
    return single[fact.subject], fact, single[fact.object]


def _overview(
    told: Told,
    groups: list[Group],
    grounds: dict[str, tuple[str, ...]],
    pair: tuple[Group, Relation, Group] | None,
    speech: ModuleType,
    draw: np.random.Generator,
) -> None:
    """One sentence with every group, ground by ground, and the grounds that nothing is on."""
    intro = str(draw.choice(speech.INTROS))
    paired = () if pair is None else (pair[0], pair[2])
    clauses: dict[str | None, list] = {}
    if pair is not None:
        together = pair[0].ground == pair[2].ground
        clauses[pair[0].ground if together else None] = [pair]
    for group in groups:
        if group not in paired:
            clauses.setdefault(group.ground, []).append(group)
    asides = _shuffled([name for name in grounds if name not in clauses], draw)
    if not clauses:
        _list_grounds(told, asides, grounds, intro, speech)
        return
    if asides and not intro and draw.random() < 0.3:
        name = asides.pop()
        _place(told, name, grounds[name], str(draw.choice(speech.ASIDES[name])), speech)
        told.text += ","
    # Clauses that name no ground come last: before one that does, they would share its ground.
    order = sorted(_shuffled(list(clauses), draw), key=lambda ground: ground not in grounds)
    for number, ground in enumerate(order):
        joint = ""
        if number:
            told.text += "," if draw.random() < 0.5 or number + 1 < len(order) else ""
            joint = f"{speech.AND} " if number + 1 == len(order) else ""
        _clause(told, clauses[ground], intro, joint, number == 0, speech, draw)
        if ground in grounds:
            place = str(draw.choice(speech.PLACES[ground]))
            _place(told, ground, grounds[ground], place, speech)
    for number, name in enumerate(asides):
        told.text += "," if number or draw.random() < 0.5 else ""
        _place(told, name, grounds[name], str(draw.choice(speech.ASIDES[name])), speech)


def _clause(
    told: Told, items: list, intro: str, joint: str, first: bool, speech: ModuleType,
    draw: np.random.Generator,
) -> None:  # fmt: skip
    """The groups of one ground. The intro is said once but decides the case of all."""
    items = sorted(_shuffled(items, draw), key=lambda item: isinstance(item, tuple))
    for number, item in enumerate(items):  # the pair last, or "and a cat" would join its object
        group = item[0] if isinstance(item, tuple) else item
        lead, phrase = speech.some(
            group.name, count=len(group.things), attributes=group.attributes, after=intro
        )
        if number:
            last = number + 1 == len(items)
            told.text += "" if last else ","
            lead = f"{speech.AND} " if last else ""
        elif not first:
            lead = joint
        told.say(lead, phrase, group.name, group.things, group.attributes)
        if isinstance(item, tuple):
            _, fact, other = item
            how = str(draw.choice(speech.RELATIONS[fact.how]))
            words = speech.some(other.name, count=1, attributes=other.attributes, after=how)
            told.say(*words, other.name, other.things, other.attributes)
            told.relations.append(fact)


def _place(
    told: Told, name: str, attributes: tuple[str, ...], after: str, speech: ModuleType
) -> None:
    told.say(*speech.the(name, attributes=attributes, after=after), name, (), attributes)


def _list_grounds(
    told: Told,
    names: list[str],
    grounds: dict[str, tuple[str, ...]],
    intro: str,
    speech: ModuleType,
) -> None:
    for number, name in enumerate(names):
        lead, phrase = speech.the(name, attributes=grounds[name], after=intro)
        if number:
            last = number + 1 == len(names)
            told.text += "" if last else ","
            lead = f"{speech.AND} " if last else ""
        told.say(lead, phrase, name, (), grounds[name])


def _details(
    told: Told,
    things: tuple[Thing, ...],
    names: list[str],
    grounds: dict[str, str],
    facts: list[Relation],
    manner: Manner,
    speech: ModuleType,
    draw: np.random.Generator,
) -> None:
    """Sentences with "the": only about things that share their name with no other."""
    everyone = [thing.name for thing in things]
    alone = [k for k, t in enumerate(things) if t.name in names and everyone.count(t.name) == 1]
    stated = [f for f in facts if f.subject in alone and f.object in alone]
    told_of = {frozenset((f.subject, f.object)) for f in told.relations}
    news = {frozenset((f.subject, f.object)): f for f in _shuffled(stated, draw)}  # one per pair
    chosen = [f for pair, f in news.items() if pair not in told_of]
    chosen = [f for f in chosen if draw.random() < manner.relations][:MOST_RELATIONS]
    described: list[tuple[str, tuple[int, ...], tuple[str, ...]]]
    described = [(things[k].name, (k,), things[k].attributes) for k in alone]
    described += [(name, (), (color,)) for name, color in grounds.items()]
    described = [d for d in described if draw.random() < manner.attributes]
    for item in _shuffled([*chosen, *described], draw):
        told.text += " "
        told.sentence += 1
        if isinstance(item, Relation):
            name, which, attributes = things[item.subject].name, (item.subject,), ()
        else:
            name, which, attributes = item
        told.say(*speech.the(name, attributes=(), after=""), name, which, attributes)
        told.text += f" {speech.IS}"
        if isinstance(item, Relation):
            other, how = things[item.object].name, str(draw.choice(speech.RELATIONS[item.how]))
            told.say(*speech.the(other, attributes=(), after=how), other, (item.object,), ())
            told.relations.append(item)
        else:
            told.text += " " + _listed(speech.predicate(name, attributes), speech.AND)
        told.stop(".")


def _listed(words: list[str], joint: str) -> str:
    return f"{', '.join(words[:-1])} {joint} {words[-1]}" if len(words) > 1 else words[0]


def _shuffled(items: list, draw: np.random.Generator) -> list:
    return [items[k] for k in draw.permutation(len(items))]
