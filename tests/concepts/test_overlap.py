"""Which names a bank was told: counted in small banks by hand, and on the lists that ship."""

import json
from dataclasses import asdict

import pytest

from whatwhere.class_lists import benchmarks
from whatwhere.concepts.bank import Bank, bank_of_benchmarks
from whatwhere.concepts.overlap import Overlap, describe, overlap, overlaps, table


def counts(bank, *classes):
    found = overlap(Bank.parse(bank), [tuple(names.split("|")) for names in classes])
    return found.named, found.classes, found.shared, found.concepts


def test_both_shares_are_counted():
    assert counts(["dog", "grass", "sky", "ball"], "dog", "zebra", "sky") == (2, 3, 2, 4)


@pytest.mark.parametrize(
    ("bank", "name"),
    [
        ("dog", "dogs"),
        ("dogs", "dog"),
        ("leaf", "leaves"),
        ("T-shirt", "t shirt"),
        ("traffic light", "traffic lights"),
        ("couch", "sofa"),
        ("man", "person"),
        ("lawn|grass", "grass"),
    ],
)
def test_plurals_hyphens_case_and_synonyms_are_one_name(bank, name):
    assert counts([bank, "zebra"], name, "moon", "cup") == (1, 3, 1, 2)


@pytest.mark.parametrize(("bank", "name"), [("table", "dining table"), ("dining table", "table")])
def test_a_part_of_a_name_is_another_name(bank, name):
    assert counts([bank], name, "cup") == (0, 2, 0, 1)


def test_a_class_with_several_names_counts_once_and_so_does_a_concept():
    assert counts(["man", "woman", "bus"], "person|people", "bus|coach", "coach") == (2, 3, 3, 3)
    assert counts(["bicycle|bike", "moon"], "bicycle", "bike") == (2, 2, 1, 2)


def test_the_union_of_all_lists_names_every_class():
    found = overlaps(bank_of_benchmarks())
    assert sorted(found) == list(benchmarks())
    assert all(o.named == o.classes > 0 for o in found.values())
    assert all(0 < o.shared < o.concepts for o in found.values())


def test_what_a_checkpoint_stores_can_be_read_again():
    found = overlaps(Bank.parse(["dog", "rider"]))
    stored = json.loads(json.dumps({name: asdict(o) for name, o in found.items()}))
    assert {name: Overlap(**o) for name, o in stored.items()} == found
    assert found["cityscapes"] == Overlap(named=1, classes=19, shared=1, concepts=2)


def test_a_line_and_a_table_tell_it():
    found = overlaps(Bank.parse(["dog", "cat", "sofa", "moon"]))
    assert describe(found["voc"], "voc") == (
        "the bank names 3 of 20 classes of voc (15%); 3 of its 4 concepts (75.0%) name one of them"
    )
    lines = table(found).splitlines()
    assert len(lines) == 1 + len(benchmarks())
    assert lines[-1].split() == ["voc", "3/20", "15%", "3/4", "75.0%"]
