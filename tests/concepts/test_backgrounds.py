"""Lists of names for background: their files, and what is left out of them."""

import pytest

from whatwhere.concepts.backgrounds import background_lists, background_names
from whatwhere.concepts.names import name_key


@pytest.mark.parametrize("which", background_lists())
def test_a_list_has_each_name_once(which):
    names = [name for (name,) in background_names(which, asked=[])]
    assert names and len(set(map(name_key, names))) == len(names)
    assert all(name == name.strip() and name for name in names)


def test_names_that_are_asked_for_are_left_out_by_any_synonym():
    everything = background_names("voc60", asked=[])
    asked = [("lawn", "Grass"), ("dog",), ("wall",)]
    assert ("grass",) in everything and ("dog",) not in everything
    assert background_names("voc60", asked=asked) == [
        names for names in everything if names not in [("grass",), ("wall",)]
    ]
