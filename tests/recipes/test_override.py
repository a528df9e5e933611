"""`--set key=value`: what is understood, and what an error says instead."""

from dataclasses import replace

import pytest

from whatwhere.concepts.bank import Concepts
from whatwhere.encoders.conv import Conv
from whatwhere.objectives.concept_consistency import ConceptConsistency
from whatwhere.objectives.contrastive import Contrastive
from whatwhere.pooling.patches import PatchPool
from whatwhere.recipes import load, override, paths
from whatwhere.similarity.log_sum_exp import LogSumExp

RECIPE = replace(
    load("scenes"),
    objectives=(Contrastive(), ConceptConsistency()),
    concepts=Concepts(),
)


def test_a_dotted_key_reaches_one_setting_and_no_other():
    changed = override(RECIPE, ["training.lr=2e-4"])
    assert changed.training.lr == 2e-4
    assert replace(changed, training=RECIPE.training) == RECIPE


def test_what_stands_before_a_key_may_be_left_out_when_it_is_clear():
    changed = override(RECIPE, ["lr=1", "world.height=64", "most=7"])
    assert changed.training.lr == 1.0 and isinstance(changed.training.lr, float)
    assert changed.captions.world.height == 64 and changed.concepts == Concepts(most=7)


def test_an_unclear_key_names_what_it_could_be():
    with pytest.raises(ValueError, match=r"batch could be batching\.batch or caching\.batch"):
        override(RECIPE, ["batch=8"])


def test_later_assignments_build_on_earlier_ones():
    swap = "pool=whatwhere.pooling.patches:PatchPool"
    changed = override(RECIPE, ["pool.how=mean", swap, "pool.with_cls=True"])
    assert changed.pool == PatchPool(how="max", with_cls=True)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("training.lrr=1", r"no setting is called training\.lrr; did you mean training\.lr\?"),
        ("lrr=1", r"no setting is called lrr; did you mean training\.lr\?"),
        ("trainin.lr=1", r"did you mean training\.lr\?"),
        ("zzz=1", r"no setting is called zzz \(there are image, text, pool, .*training"),
        ("objectives.kontrastive.weight=1", r"did you mean objectives\.contrastive\.weight"),
        ("lr", "--set takes key=value; got 'lr'"),
    ],
)
def test_a_typo_is_an_error_that_helps(typed, said):
    with pytest.raises(ValueError, match=said):
        override(RECIPE, [typed])


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("training.steps=many", "training.steps takes a whole number; got 'many'"),
        ("training.steps=1.5", "takes a whole number"),
        ("training.steps=True", "takes a whole number"),
        ("lr=fast", "lr takes a number; got 'fast'"),
        ("lr=False", "takes a number"),
        ("pool.how=sum", "pool.how takes max or mean or cls; got 'sum'"),
        ("pool.with_cls=1", "takes True or False"),
        ("batching.size=64", "takes a tuple such as"),
        ("batching.size=(64,)", "takes a tuple such as"),
        ("batching.size=(64, wide)", "takes a tuple such as"),
        ("concepts.path.x=1", r"concepts\.path is None, which has no settings"),
        ("training.lr.x=1", r"training\.lr is 0.* which has no settings$"),
        ("pool=max", "pool takes module:Class, such as"),
        ("pool=whatwhere.pooling.patches:Pach", "is not a settings class"),
        ("captions=whatwhere.scenes.source:Scenes", "needs world, count; make a value"),
        ("pool=whatwhere.pooling.pach:PatchPool", "no module is called 'whatwhere.pooling.pach'"),
    ],
)
def test_a_value_of_the_wrong_kind_says_what_is_taken(typed, said):
    with pytest.raises(ValueError, match=said):
        override(RECIPE, [typed])


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("batching.size=(64, 80)", lambda r: r.batching.size == (64, 80)),
        ("batching.size=64,80", lambda r: r.batching.size == (64, 80)),
        ("batching.crop=(1, 1)", lambda r: r.batching.crop == (1.0, 1.0)),
        ("captions.world.kinds=cat", lambda r: r.captions.world.kinds == ("cat",)),
        ("captions.world.kinds=('cat', 'car')", lambda r: r.captions.world.kinds == ("cat", "car")),
        ("caching.folder=cache", lambda r: r.caching.folder == "cache"),
        ("caching.folder=a=b", lambda r: r.caching.folder == "a=b"),
        ("caching.folder=7", lambda r: r.caching.folder == "7"),
        ("caching.folder=None", lambda r: r.caching.folder is None),
        ("caching.folder=none", lambda r: r.caching.folder is None),
        ("concepts=none", lambda r: r.concepts is None),
        ("held_out=7", lambda r: r.held_out == 7 and isinstance(r.held_out, int)),
        ("held_out=0.5", lambda r: r.held_out == 0.5),
        ("captions=none", lambda r: r.captions is None),
        ("device=cuda:1", lambda r: r.training.device == "cuda:1"),
        ("training.precision=bf16", lambda r: r.training.precision == "bf16"),
        (" lr = 3 ", lambda r: r.training.lr == 3.0),
    ],
)
def test_values_get_the_type_of_their_setting(typed, found):
    assert found(override(RECIPE, [typed]))


def test_a_part_is_swapped_by_class_with_its_defaults():
    changed = override(
        RECIPE,
        [
            "similarity=whatwhere.similarity.log_sum_exp:LogSumExp",
            "similarity.temperature=0.2",
            "image=whatwhere.encoders.conv:Conv",
        ],
    )
    assert changed.similarity == LogSumExp(temperature=0.2) and changed.image == Conv()


def test_a_part_may_be_a_value_of_a_module():
    found = override(RECIPE, ["captions=whatwhere.recipes.photos:recipe"]).captions
    assert found == load("photos")


def test_objectives_are_addressed_by_their_class():
    changed = override(RECIPE, ["objectives.concept_consistency.weight=0"])
    assert changed.objectives == (Contrastive(), ConceptConsistency(weight=0.0))
    swap = "objectives.contrastive=whatwhere.objectives.concept_consistency:ConceptConsistency"
    assert override(RECIPE, [swap]).objectives == (ConceptConsistency(), ConceptConsistency())


def test_an_objective_can_be_left_out():
    changed = override(RECIPE, ["objectives.concept_consistency=none"])
    assert changed.objectives == (Contrastive(),)


def test_a_setting_of_a_missing_part_says_to_set_the_part_first():
    with pytest.raises(ValueError, match="concepts is None, which has no settings; first set"):
        override(load("scenes"), ["concepts.most=5"])
    first = "concepts=whatwhere.concepts.bank:Concepts"
    assert override(load("scenes"), [first, "concepts.most=5"]).concepts == Concepts(most=5)


def test_every_setting_that_is_listed_can_be_set_to_its_own_value():
    for path, value in paths(RECIPE).items():
        if isinstance(value, (bool, int, float, str)):
            assert override(RECIPE, [f"{'.'.join(path)}={value}"]) == RECIPE
