"""Rules typed in a shell become settings, or errors that show how to write them."""

from dataclasses import replace

import jaxtyping
import pytest

from whatwhere.segmenter.reading import Background, Reading, parse_background


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("none", Background()),
        ("score:-0.1", Background("score", -0.1)),
        ("probability:0.5", Background("probability", 0.5)),
        ("region:0.95", Background("region", 0.95)),
        ("names: wall|floor , sky", Background("names", names=("wall|floor", "sky"))),
        ("list:voc60", Background("list", names=("voc60",))),
    ],
)
def test_rules_as_typed(typed, meant):
    assert parse_background(typed) == meant


@pytest.mark.parametrize(
    "typed", ["", "nothing", "none:3", "score", "score:", "score:much", "score:nan", "names: "]
)
def test_other_rules_are_refused_with_an_example(typed):
    with pytest.raises(ValueError, match=r"score:0\.2"):
        parse_background(typed)


@pytest.mark.parametrize("typed", ["list:", "list:voc61", "list:voc60,wall"])
def test_a_list_that_does_not_exist_is_refused_with_those_that_do(typed):
    with pytest.raises(ValueError, match=r"is called .*; use one of .*voc60"):
        parse_background(typed)


def test_a_rule_that_does_not_exist_is_refused(monkeypatch):
    """Also where nobody checks types, as outside of these tests."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="none, score, probability, names"):
        replace(Background(), rule="scores")


@pytest.mark.parametrize("key", ["side", "long", "window", "stride", "chunk"])
def test_settings_of_pixels_and_chunks_say_what_they_take(key):
    with pytest.raises(ValueError, match=rf"reading\.{key}=-1; take a whole number from [01] on"):
        replace(Reading(), **{key: -1})


@pytest.mark.parametrize("key", ["resize", "prompts"])
def test_a_wrong_word_is_answered_with_the_right_ones(monkeypatch, key):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=rf"reading\.{key}=cubic; take one of (bicubic|name), "):
        replace(Reading(), **{key: "cubic"})
