"""Banks: from a file, from captions, joined by synonyms, and through a checkpoint."""

import pickle
import subprocess
import sys

import pytest

from whatwhere.concepts.bank import Bank, Concepts, everyday_synonyms
from whatwhere.concepts.phrases import NounPhrases
from whatwhere.encoders.clip_tokens import ClipTokens

CAPTIONS = [
    "two dogs on the grass",
    "a dog chases a tennis ball, then the dog sleeps",
    "a man with a tennis ball",
    "a boy throws a rubber ball",
    "a man in front of a house",
    "a house in the grass",
]


def mine(captions, *, least=1, most=100, synonyms=()):
    return Bank.mine(captions, least=least, most=most, find=NounPhrases(), synonyms=synonyms)


def test_a_names_file_has_comments_blank_lines_and_synonyms(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("# animals\nDog | puppy  # young\n\ngrass\ndog|hound\n", encoding="utf-8")
    assert Bank.read(path).concepts == (("dog", "puppy", "hound"), ("grass",))


def test_a_name_in_two_concepts_is_refused_with_both_lines(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("sofa|couch\ndog\ncouch|bench\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"names.txt: 'couch' is in line 1 and again in line 3"):
        Bank.read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# nothing\n\n", "no names"),
        (b"dog\ncat||\n", "line 2: an empty name"),
        (b"caf\xe9", "UTF-8"),
    ],
)
def test_a_names_file_that_cannot_be_read_says_why(tmp_path, content, message):
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Bank.read(path)


def test_lines_bring_the_same_bank_back():
    bank = Bank.parse(["dog|puppy", "traffic light", "t-shirt"])
    assert Bank.parse(bank.lines) == bank
    assert pickle.loads(pickle.dumps(bank)) == bank


def test_mined_names_are_singular_and_ordered_by_the_captions_that_say_them():
    names = mine(CAPTIONS, least=2).names
    assert names == ("dog", "grass", "house", "man", "tennis ball")


def test_a_name_counts_once_per_caption():
    bank = mine(["a dog and a dog and a dog", "a cat", "a cat and a bird"])
    assert bank.names == ("cat", "bird", "dog")


def test_a_frequent_compound_is_a_concept_and_a_rare_one_counts_for_its_head():
    names = mine(CAPTIONS, least=2).names
    assert "tennis ball" in names
    assert "rubber ball" not in names
    assert "ball" in mine([*CAPTIONS, "a ball"], least=2).names


def test_a_compound_whose_words_meet_by_chance_is_no_concept():
    by_chance = ["a dog toy"] + ["a dog and a toy"] * 8
    assert mine(by_chance).names == ("toy", "dog")


def test_places_in_the_picture_and_amounts_are_no_things():
    assert mine(["a group of men in front of a photo", "the middle of the day"]).names == ("man",)


def test_the_most_frequent_names_are_kept():
    assert mine(CAPTIONS, most=3).names == mine(CAPTIONS).names[:3]


def test_order_of_the_captions_does_not_matter():
    assert mine(CAPTIONS[::-1]) == mine(CAPTIONS)


def test_two_spellings_are_one_name_under_the_more_frequent():
    bank = mine(["a t-shirt", "a t-shirt", "a cellar door", "a cellar-door"])
    assert "t-shirt" in bank.names
    assert len([name for name in bank.names if "door" in name]) == 1


@pytest.mark.parametrize(
    ("captions", "message"), [([], "no captions"), (["a dog"], "no name is in 2 of the 1 captions")]
)
def test_nothing_to_mine_is_an_error_that_says_what_to_do(captions, message):
    with pytest.raises(ValueError, match=message):
        mine(captions, least=2)


def test_synonyms_are_counted_together_and_stand_in_one_concept():
    table = (("person", "man", "boy"),)
    bank = mine(CAPTIONS, least=3, synonyms=table)
    assert ("person", "man", "boy") in bank.concepts


def test_merging_keeps_the_place_of_the_first_and_all_names():
    bank = Bank.parse(["grass", "sofa|divan", "dog", "couch"])
    merged = bank.merged([("couch", "sofa", "settee")])
    assert merged.concepts == (("grass",), ("couch", "sofa", "settee", "divan"), ("dog",))


def test_merging_twice_changes_nothing():
    table = everyday_synonyms()
    bank = mine(CAPTIONS).merged(table)
    assert bank.merged(table) == bank


def test_settings_keep_people_apart_unless_asked():
    assert {"man", "boy"} <= set(Concepts(least=1).bank(CAPTIONS).names)
    joined = Concepts(least=1, synonyms=True).bank(CAPTIONS)
    assert not {"man", "boy"} & set(joined.names)
    assert "person" in joined.names


def test_settings_with_a_file_leave_the_captions_unread(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("zebra\ncouch\n", encoding="utf-8")
    assert Concepts(path=str(path)).bank(iter(CAPTIONS)).names == ("zebra", "couch")
    assert "sofa" in Concepts(path=str(path), synonyms=True).bank([]).concepts[1]


def test_a_names_file_needs_no_captions_whatever_mining_is_set_to(tmp_path):
    (tmp_path / "names.txt").write_text("dog\ncat")
    bank = Concepts(path=str(tmp_path / "names.txt"), least=3).bank([])
    assert bank.names == ("dog", "cat")


def test_mining_imports_no_torch():
    code = (
        "import sys; from whatwhere.concepts import bank, names, prompts;"
        "bank.Concepts(least=1).bank(['a dog']); prompts.Prompts('seven')('dog');"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_names_file_says_what_else_there_is(tmp_path):
    with pytest.raises(ValueError, match=r"no names file at .*; give one, or 'benchmarks'"):
        Concepts(path=str(tmp_path)).bank([])


def test_events_are_no_things_even_in_two_words_but_their_balls_are():
    captions = ["two boys play a soccer game indoors", "a skateboard trick", "a soccer ball"]
    assert set(mine(captions).names) == {"boy", "soccer ball"}


def test_a_bank_may_have_one_name_of_many_words_and_a_synonym_twice():
    bank = Bank.parse(["man-made body of salt water | lake | Lake"])
    assert bank.concepts == (("man-made body of salt water", "lake"),)
    assert [span.concept for span in bank.matcher()("a man made body of salt waters, lakes")] == [
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("parser", "expected"),
    [
        ("all", ["people", "ball", "t-shirt"]),
        ("strict", ["people", "t-shirt"]),
        ("strict chunks", ["people", "a black t-shirt"]),
    ],
)
def test_the_parser_decides_what_is_found_in_a_caption(parser, expected):
    bank, text = Bank.parse(["t shirt", "person", "ball"]), "people, a tennis ball, a black t-shirt"
    spans = Concepts(parser=parser).finder(bank, pieces=ClipTokens().pieces)(text)
    assert [text[span.start : span.end] for span in spans] == expected
