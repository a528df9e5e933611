"""Recipes: everything that decides what a run learns, as plain values.

A recipe is a Python value; a variant is `dataclasses.replace`, or `--set key=value` in the shell.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import re
import sys
import types
import typing
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, overload

from whatwhere.captions.batches import Batching
from whatwhere.captions.cached import Caching
from whatwhere.concepts.bank import Concepts
from whatwhere.heads.identity import Identity
from whatwhere.pretraining import Viewing
from whatwhere.segmenter.reading import Reading
from whatwhere.similarity.cosine import Cosine
from whatwhere.training.settings import Training

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Recipe:
    """In the order in which data flows. Stored in every checkpoint."""

    image: Any  # image encoder
    text: Any  # text encoder
    pool: Any
    objectives: tuple[Any, ...]
    head: Any = Identity()
    similarity: Any = Cosine()
    concepts: Concepts | None = None  # None: no phrases are looked for
    extra_prompts: Any = None  # texts drawn for each picture beside its caption; None: none are
    captions: Any = None  # a source of pairs that needs no path (`--captions` goes before it)
    held_out: int | float = 0.05  # share or number of pictures kept for validation; 0: none
    batching: Batching = Batching()
    caching: Caching = Caching()
    training: Training = Training()
    reading: Reading = Reading()

    def __post_init__(self) -> None:
        for part in ("image", "text", "pool", "head", "similarity"):
            if getattr(self, part) is None:
                raise ValueError(f"no recipe works without {part}; take {part}=module:Class")
        _check_choices(self)


@dataclass(frozen=True)
class Pretraining:
    """How an image encoder learns from photos without captions, before it meets any."""

    image: Any  # image encoder, not frozen
    pretexts: tuple[Any, ...]
    photos: Any = None  # pictures that need no path (`--photos` goes before it)
    viewing: Viewing = Viewing()
    training: Training = Training()

    def __post_init__(self) -> None:
        if self.image is None or not self.pretexts:
            raise ValueError("pretraining needs image=module:Class and one pretext or more")
        if self.training.validate_every:
            raise ValueError(
                f"training.validate_every={self.training.validate_every}, and pretraining has no "
                "captions to validate on; leave it at 0"
            )
        _check_choices(self)


def names(kind: type = Recipe) -> list[str]:
    """A file's `recipe` has the file's name, its other recipes the file's name and their own.

    >>> {"simzss", "simzss-b-448"} <= set(names())  # `recipe` and `b_448` in simzss.py
    True
    """
    found = []
    for file in pkgutil.iter_modules(__path__):
        for name, value in vars(_import(f"{__name__}.{file.name}")).items():
            if isinstance(value, kind):
                variant = "" if name == "recipe" else f"-{name.replace('_', '-')}"
                found.append(file.name + variant)
    return sorted(found)


@overload
def load(name: str) -> Recipe: ...
@overload
def load(name: str, kind: type[Settings]) -> Settings: ...
def load(name: str, kind: type = Recipe) -> Any:
    """`simzss-s` is whatwhere.recipes.simzss:s; `my.module:fast` and `file.py:fast` as given."""
    known = names(kind)
    module, _, attribute = name.partition(":")
    if module.endswith(".py") or ":" in name:
        found = bring(module)
    elif name in known:
        file, _, variant = name.partition("-")
        found, attribute = _import(f"{__name__}.{file}"), variant.replace("-", "_")
    else:
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(
            f"no recipe is called {name!r}{hint} (there are {', '.join(known)}; "
            "module:attribute and file.py:attribute work too)"
        )
    try:
        recipe = getattr(found, attribute or "recipe")
    except AttributeError:
        raise ValueError(f"{module} has no {attribute or 'recipe'!r}") from None
    if not isinstance(recipe, kind):
        raise ValueError(f"{name} is a {type(recipe).__name__}, not a {kind.__name__}")
    return recipe


def override(recipe: Settings, assignments: Iterable[str]) -> Settings:
    """A copy with `training.lr=1e-4`, `pool=my.module:MyPool` or a shortened `lr=1e-4` applied.

    A key may leave out what stands before it when that is not ambiguous. Objectives are addressed
    by class: `objectives.concept_consistency.weight=0`. Typos are errors that list the choices.
    """
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals:
            raise ValueError(f"--set takes key=value; got {assignment!r}")
        keys = _full_path(recipe, path.strip())
        recipe = _replaced(recipe, keys, value.strip(), path)
    return recipe


def paths(node: Any, before: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every setting by its full path, with its value."""
    found: dict[tuple[str, ...], Any] = {}
    for key, value in _children(node).items():
        found[(*before, key)] = value
        found |= paths(value, (*before, key))
    return found


def to_json(value: Any) -> Any:
    """Settings as JSON: a dataclass is its class and its fields."""
    if is_dataclass(value) and not isinstance(value, type):
        cls = type(value)
        inside = {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
        return {"class": f"{cls.__module__}:{cls.__qualname__}"} | inside
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise ValueError(f"a recipe holds plain values and dataclasses of them, not {type(value)}")


def from_json(value: Any) -> Any:
    """What `to_json` was given.

    A checkpoint may come from anywhere, so only classes of this package and of modules that the
    program has imported itself are made.
    """
    if isinstance(value, list):
        return tuple(from_json(item) for item in value)
    if not isinstance(value, dict):
        return value
    if not isinstance(value.get("class"), str):
        raise ValueError(f"the recipe holds an object without a class: {', '.join(value)}")
    module, _, name = value["class"].partition(":")
    if module.partition(".")[0] != "whatwhere" and module not in sys.modules:
        raise ValueError(
            f"the recipe uses {value['class']}, which is not part of whatwhere; if you trust it, "
            f"import it first: --import {module} (or the path of {module}.py)"
        )
    cls = getattr(_import(module), name, None)
    if not (isinstance(cls, type) and is_dataclass(cls)):
        raise ValueError(f"the recipe uses {value['class']}, which this version does not have")
    known = {f.name for f in fields(cls)}
    given = {key: from_json(item) for key, item in value.items() if key != "class"}
    if strange := given.keys() - known:
        raise ValueError(f"{value['class']} has no {', '.join(sorted(strange))} in this version")
    return cls(**given)


def bring(module: str):
    """A module by its name, or by the path of its file."""
    return _from_file(Path(module)) if module.endswith(".py") else _import(module)


def _import(module: str):
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise ValueError(f"no module is called {module!r}") from None


def _from_file(path: Path):
    if not path.is_file():
        raise ValueError(f"no recipe file at {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) != spec.origin:
        raise ValueError(f"a module called {path.stem!r} is in use already; rename {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _check_choices(node: Any, before: tuple[str, ...] = ()) -> None:
    """ValueError for a setting, however deep, that is none of its annotated literals."""
    hints = typing.get_type_hints(type(node)) if is_dataclass(node) else {}
    for key, value in _children(node).items():
        hint = hints.get(key)
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise ValueError(f"{'.'.join((*before, key))} takes {_said(hint)}; got {value!r}")
        _check_choices(value, (*before, key))


def _children(node: Any) -> dict[str, Any]:
    if is_dataclass(node) and not isinstance(node, type):
        return {f.name: getattr(node, f.name) for f in fields(node)}
    if isinstance(node, tuple) and any(is_dataclass(item) for item in node):
        return {_snake(type(item).__name__): item for item in node}
    return {}


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _full_path(recipe: Any, path: str) -> list[str]:
    keys, known = tuple(path.split(".")), paths(recipe)
    if keys in known:
        return list(keys)
    ends = [full for full in known if full[-len(keys) :] == keys]
    if len(ends) == 1:
        return list(ends[0])
    if ends:
        raise ValueError(f"{path} could be {' or '.join('.'.join(end) for end in ends)}")
    before = [full for full in known if full == keys[:-1]]
    choices = _children(known[before[0]]) if before else _children(recipe)
    if not choices:
        parent, value = ".".join(before[0]), known[before[0]]
        first = f"; first set {parent}=module:Class" if value is None else ""
        raise ValueError(f"{parent} is {value}, which has no settings{first}")
    every = {full[-1]: ".".join(full) for full in known}
    every |= {key: ".".join([*keys[:-1], key]) for key in choices if before}
    every |= {full: full for full in map(".".join, known)}
    close = get_close_matches(path, every, n=1) or get_close_matches(keys[-1], every, n=1)
    hint = f"; did you mean {every[close[0]]}?" if close else ""
    raise ValueError(f"no setting is called {path}{hint} (there are {', '.join(choices)})")


def _replaced(node: Any, keys: list[str], value: str, path: str) -> Any:
    key, *rest = keys
    old = _children(node)[key]
    if isinstance(node, tuple):
        new = _replaced(old, rest, value, path) if rest else _part(value, path)
        items = (new if item is old else item for item in node)
        return tuple(item for item in items if item is not None)
    if rest:
        return replace(node, **{key: _replaced(old, rest, value, path)})
    return replace(node, **{key: _parsed(value, _hint(type(node), key), path)})


def _hint(cls: type, key: str) -> Any:
    return typing.get_type_hints(cls)[key]


def _parsed(text: str, hint: Any, path: str) -> Any:
    """`text` as a value of the annotated type."""
    if is_dataclass(hint) or hint is Any:
        return _part(text, path)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    for candidate in (value, text):
        fits, converted = _fit(candidate, hint)
        if fits:
            return converted
    if ":" in text and any(is_dataclass(option) for option in get_args(hint)):
        return _part(text, path)
    raise ValueError(f"{path} takes {_said(hint)}; got {text!r}")


def _fit(value: Any, hint: Any) -> tuple[bool, Any]:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        for option in sorted(get_args(hint), key=lambda option: option is not types.NoneType):
            fits, converted = _fit(value, option)
            if fits:
                return True, converted
        return False, None
    if origin is Literal:
        return value in get_args(hint), value
    if origin is tuple:
        items = value if isinstance(value, (tuple, list)) else (value,)
        kinds = get_args(hint)
        kinds = kinds[:1] * len(items) if kinds[-1] is ... else kinds
        if len(kinds) != len(items):
            return False, None
        pairs = [_fit(item, kind) for item, kind in zip(items, kinds, strict=True)]
        return all(fits for fits, _ in pairs), tuple(item for _, item in pairs)
    if hint is float and type(value) is int:
        return True, float(value)
    if hint is types.NoneType:
        return value is None or value == "none", None
    return type(value) is hint, value


def _said(hint: Any) -> str:
    origin, options = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(map(str, options))
    if origin in (Union, types.UnionType):
        return " or ".join(_said(option) for option in options)
    if origin is tuple:
        return f"a tuple such as ({', '.join(_said(o) for o in options if o is not ...)},)"
    plain = {float: "a number", int: "a whole number", bool: "True or False", str: "a text"}
    return plain.get(hint, "none" if hint is types.NoneType else getattr(hint, "__name__", "?"))


def _part(text: str, path: str) -> Any:
    """The settings that `module:Class` or `module:value` names, with their defaults."""
    if text.lower() == "none":
        return None
    module, _, name = text.partition(":")
    if not name:
        raise ValueError(f"{path} takes module:Class, such as whatwhere.pooling.patches:PatchPool")
    thing = getattr(_import(module), name, None)
    if thing is None or not is_dataclass(thing):
        raise ValueError(f"{path}: {text} is not a settings class")
    if not isinstance(thing, type):
        return thing
    if needed := [f.name for f in fields(thing) if f.default is f.default_factory is MISSING]:
        raise ValueError(
            f"{path}: {text} needs {', '.join(needed)}; make a value of it in a file of yours and "
            "give that as file:value"
        )
    return thing()
