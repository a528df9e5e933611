"""Names with words that were never learnt get no pixel, whatever stands in their vectors."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from colours import SMALL, painting, segmenter

from whatwhere.segmenter.reading import Background, Regions

SCENE = (["red", "red", "green", "blue", "blue"], ["red", "green", "green", "blue", "white"])
TOLD = "ignore:.*given no pixel:UserWarning"
NAMED = replace(SMALL, regions=Regions(scale=20.0))


@pytest.mark.filterwarnings(TOLD)
@pytest.mark.parametrize("reading", [SMALL, replace(SMALL, chunk=1), NAMED])
@pytest.mark.parametrize(
    "names", ["blue, red, green|white", "red, blue, green|white", "green|white, red, blue"]
)
def test_a_name_that_was_never_learnt_is_as_if_it_were_not_asked_for(reading, names):
    found = segmenter(reading, never_learnt={"blue"})(painting(*SCENE), names)
    order = tuple(name.split("|")[0] for name in names.split(", "))
    kept = ", ".join(name for name in names.split(", ") if name != "blue")
    alone = segmenter(reading)(painting(*SCENE), kept)
    assert found.names == order and found.unknown == ("blue",)
    assert alone.unknown == ()
    assert np.array_equal(np.array(order)[found.labels], np.array(alone.names)[alone.labels])
    assert np.array_equal(found.confidence, alone.confidence)
    assert not found.mask("blue").any()


def test_a_synonym_that_was_never_learnt_is_left_out_and_its_name_is_not_unknown():
    found = segmenter(never_learnt={"blue"})(painting(*SCENE), "red, blue|green")
    alone = segmenter()(painting(*SCENE), "red, green")
    assert found.unknown == () and found.names == ("red", "blue")
    assert np.array_equal(found.labels, alone.labels)
    assert np.array_equal(found.confidence, alone.confidence)


@pytest.mark.filterwarnings(TOLD)
def test_nothing_is_sure_where_no_name_was_ever_learnt():
    found = segmenter(never_learnt={"dark", "azure"})(painting(*SCENE), "dark red, azure")
    assert found.unknown == ("dark red", "azure")
    assert found.confidence.shape == found.labels.shape == (16, 40)
    assert not found.confidence.any() and not found.labels.any()
    assert found.overlay().width >= 40


@pytest.mark.filterwarnings(TOLD)
@pytest.mark.parametrize(
    ("rule", "reading"),
    [
        (Background("score", -1.0), SMALL),
        (Background("probability", 0.0), SMALL),
        (Background("names", names=("white", "azure")), SMALL),
        (Background("names", names=("azure",)), SMALL),
        (Background("list", names=("voc60",)), SMALL),
        (Background("region", 0.5), NAMED),
    ],
)
def test_without_a_name_that_was_learnt_all_is_background(rule, reading):
    segment = segmenter(reading, never_learnt={"azure", "pink"})
    found = segment(painting(*SCENE), "pink", background=rule)
    assert found.names == ("background", "pink") and found.unknown == ("pink",)
    assert not found.labels.any()


@pytest.mark.filterwarnings(TOLD)
@pytest.mark.parametrize(
    ("rule", "reading"),
    [
        (Background("score", 0.9), SMALL),
        (Background("probability", 0.7), SMALL),
        (Background("names", names=("white",)), SMALL),
        (Background("region", 0.9), NAMED),
    ],
)
def test_the_background_is_the_same_without_the_names_that_were_never_learnt(rule, reading):
    segment = segmenter(reading, never_learnt={"azure", "pink"})
    found = segment(painting(*SCENE), "azure, red, pink, green, blue", background=rule)
    alone = segment(painting(*SCENE), "red, green, blue", background=rule)
    there = np.array(found.names)[found.labels]
    assert np.array_equal(there, np.array(alone.names)[alone.labels])
    assert np.array_equal(found.confidence, alone.confidence)
    assert 0 < alone.shares()["background"] < 1 or rule.rule == "region"


def test_background_names_that_were_never_learnt_are_left_out_silently():
    rule = Background("names", names=("azure", "white"))
    found = segmenter(never_learnt={"azure"})(painting(*SCENE), "red, green", background=rule)
    alone = segmenter()(painting(*SCENE), "red, green", background=replace(rule, names=("white",)))
    assert found.unknown == ()
    assert np.array_equal(found.labels, alone.labels)


def test_a_warning_tells_once_of_every_name_and_of_its_words():
    segment = segmenter(never_learnt={"dark", "azure", "sky"})
    names = "red, dark azure | azure sky, sky"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        segment(painting(["red"]), names)
        segment(painting(["green"]), names)
    assert [str(warning.message) for warning in told] == [
        "'dark azure' is given no pixel, since no caption has taught this model the words dark, "
        "azure, sky",
        "'sky' is given no pixel, since no caption has taught this model the word sky",
    ]


def test_names_that_have_no_vector_have_no_row():
    segment = segmenter(more=2, never_learnt={"blue", "azure"})
    vectors, owner = segment.name_vectors([("blue",), ("c0", "azure", "c1"), ("red",)])
    expected, _ = segmenter(more=2).name_vectors([("c0", "c1"), ("red",)])
    assert owner.tolist() == [1, 1, 2]
    assert np.array_equal(vectors, expected)
