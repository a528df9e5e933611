"""Recipes by name, module and file; and as JSON, which must not run what it should not."""

import json
import sys
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest

from whatwhere.objectives.concept_consistency import ConceptConsistency
from whatwhere.recipes import from_json, load, names, to_json


@pytest.mark.parametrize("name", names())
def test_a_recipe_comes_back_from_json(name):
    recipe = load(name)
    assert from_json(json.loads(json.dumps(to_json(recipe)))) == recipe


def test_a_recipe_with_every_kind_of_value_comes_back():
    recipe = load("scenes")
    world = replace(recipe.captions.world, count=(2, 3), language="de", omit=0.25)
    changed = replace(
        recipe,
        captions=replace(recipe.captions, world=world),
        objectives=(*recipe.objectives, ConceptConsistency(target="argmax")),
        concepts=load("photos").concepts,
    )
    assert from_json(json.loads(json.dumps(to_json(changed)))) == changed != recipe


@dataclass(frozen=True)
class Picky:
    how: Literal["max", "mean"] = "max"


def test_a_recipe_made_in_python_is_held_to_its_choices_too():
    recipe = replace(load("scenes"), pool=Picky(), objectives=(Picky("mean"),))
    wrong: Any = {"how": "most"}
    wrong = Picky(**wrong)
    with pytest.raises(ValueError, match=r"pool\.how takes max or mean; got 'most'"):
        replace(recipe, pool=wrong)
    with pytest.raises(ValueError, match=r"objectives\.picky\.how takes max or mean; got 'most'"):
        replace(recipe, objectives=(wrong,))


@pytest.mark.parametrize("part", ["image", "text", "pool", "head", "similarity"])
def test_a_recipe_without_a_part_that_it_needs_is_an_error(part):
    with pytest.raises(ValueError, match=f"no recipe works without {part}"):
        replace(load("scenes"), **{part: None})


def test_only_plain_values_become_json():
    with pytest.raises(ValueError, match="holds plain values and dataclasses of them, not"):
        to_json(replace(load("scenes"), pool=print))


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (
            {"class": "not_imported_yet:Pool"},
            "not part of whatwhere; if you trust it, import it first: --import",
        ),
        ({"class": "os:system"}, "which this version does not have"),
        ({"class": "whatwhere.pooling.patches:torch"}, "which this version does not have"),
        ({"class": "whatwhere.pooling.patches:Old"}, "which this version does not have"),
        ({"class": "whatwhere.pooling.old:Pool"}, "no module is called"),
        (
            {"class": "whatwhere.pooling.patches:PatchPool", "who": 1, "age": 2},
            "PatchPool has no age, who in this version",
        ),
        ({"what": 1}, "an object without a class: what"),
    ],
)
def test_strange_json_is_an_error(stored, said):
    with pytest.raises(ValueError, match=said):
        from_json([1, stored])
    assert "not_imported_yet" not in sys.modules


@dataclass(frozen=True)
class Mine:
    weight: float = 1.0


def test_a_class_of_a_module_that_was_imported_is_trusted():
    assert from_json(to_json(Mine(2.0))) == Mine(2.0)


TEXT = """
from dataclasses import dataclass, replace
from typing import Any, Literal
from whatwhere.recipes import load

@dataclass(frozen=True)
class Pool:
    share: float = 0.5

fast = replace(load("scenes"), pool=Pool())
recipe = replace(fast, held_out=0.5)
number = 3
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "an_idea_of_mine.py"
    path.write_text(TEXT)
    yield path
    sys.modules.pop(path.stem, None)


def test_a_recipe_is_read_from_a_file(file):
    assert load(f"{file}:fast").pool.share == 0.5
    assert load(str(file)).held_out == 0.5
    recipe = load(f"{file}:fast")
    assert from_json(to_json(recipe)) == recipe


def test_a_recipe_is_read_from_a_module(file, monkeypatch):
    monkeypatch.syspath_prepend(file.parent)
    assert load("an_idea_of_mine:fast").pool.share == 0.5
    assert load("whatwhere.recipes.scenes:recipe") == load("scenes")


def test_a_file_may_not_stand_in_for_a_module_that_others_use(tmp_path):
    path = tmp_path / "json.py"
    path.write_text(TEXT)
    with pytest.raises(ValueError, match="a module called 'json' is in use already; rename"):
        load(str(path))
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("scene", r"no recipe is called 'scene'; did you mean scenes\? \(there are .*photos"),
        ("zzz", r"no recipe is called 'zzz' \(there are .*module:attribute and file.py"),
        ("no_such_module:recipe", "no module is called 'no_such_module'"),
        ("whatwhere.recipes.scenes:fast", "whatwhere.recipes.scenes has no 'fast'"),
        ("whatwhere.recipes.scenes:KINDS", "is a tuple, not a Recipe"),
        ("nowhere/mine.py:fast", "no recipe file at nowhere/mine.py"),
    ],
)
def test_what_is_no_recipe_is_an_error(name, said):
    with pytest.raises(ValueError, match=said):
        load(name)


def test_the_attributes_of_a_file_are_checked_too(file):
    with pytest.raises(ValueError, match=r"an_idea_of_mine\.py has no 'slow'"):
        load(f"{file}:slow")
    with pytest.raises(ValueError, match=r"an_idea_of_mine\.py:number is a int, not a Recipe"):
        load(f"{file}:number")


def test_a_fault_inside_a_module_is_shown_and_not_taken_for_a_typo(tmp_path):
    path = tmp_path / "a_faulty_idea.py"
    path.write_text("import no_such_package_at_all\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_package_at_all"):
        load(str(path))
    sys.modules.pop(path.stem, None)
