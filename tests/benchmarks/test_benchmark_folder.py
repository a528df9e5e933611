"""Folders of a user's own, every form of the list of classes, and two real sets."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whatwhere.benchmarks import Benchmark, folder
from whatwhere.benchmarks.photos import names_in
from whatwhere.benchmarks.score import evaluate
from whatwhere.class_lists import benchmarks, classes
from whatwhere.concepts.names import name_key, parse_names

KNOWN = names_in(Path(folder.__file__).with_name("folder_names.txt"))
SHARED = Path(__file__).parents[2].parent / "shared"
MASK = np.array([[0, 1, 2], [2, 2, 255]], np.uint8)


def made_up(home, masks=(MASK,), **classes):
    for name in ("images", "masks"):
        (home / name).mkdir(parents=True, exist_ok=True)
    for index, mask in enumerate(masks):
        Image.new("RGB", mask.shape[::-1]).save(home / "images" / f"{index}.webp")
        Image.fromarray(mask).save(home / "masks" / f"{index}.png")
    for ending, text in classes.items():
        (home / f"classes.{ending}").write_text(text)
    return str(home)


def data(name):
    path = SHARED / "data" / name
    if not path.is_dir():
        pytest.skip(f"no real photos: {path} is missing")
    return str(path)


FORMS = {
    "json list": {"json": '["sky", "sofa | couch", "void"]'},
    "json object": {"json": '{"2": "void", "0": "sky", "1": "sofa | couch"}'},
    "lines": {"txt": "sky\nsofa | couch\nvoid\n"},
    "yaml": {"yaml": "path: x  # here\nnames:\n  0: sky\n\n  1: 'sofa | couch' # seat\n  2: void"},
    "yml under classes": {"yml": 'classes:\n  0: "sky"\n  1: sofa | couch\n  2: void\nlast: 1\n'},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_list_of_classes_means_the_same(tmp_path, form):
    benchmark = folder.load(made_up(tmp_path, **FORMS[form]))
    assert benchmark.classes == ("sky", "sofa")
    assert benchmark.names == (("sky",), ("sofa", "couch"))
    (item,) = benchmark.items()
    assert item.labels.tolist() == [[0, 1, 255], [255, 255, 255]]
    assert isinstance(benchmark, Benchmark)


@pytest.mark.parametrize("name", ["unlabelled", "Unlabeled", "VOID", "ignore"])
def test_classes_that_say_so_do_not_count(tmp_path, name):
    benchmark = folder.load(made_up(tmp_path, json=json.dumps([name, "sky", "road"])))
    assert benchmark.classes == ("sky", "road")
    assert [item.labels.tolist() for item in benchmark.items()] == [[[255, 0, 1], [1, 1, 255]]]


def test_ids_may_have_gaps_and_255_may_be_a_class(tmp_path):
    mask = np.array([[3, 255, 255, 90]], np.uint8)
    benchmark = folder.load(
        made_up(tmp_path, [mask], json='{"90": "road", "255": "sky", "3": "sea"}')
    )
    assert benchmark.classes == ("sea", "road", "sky")
    assert next(benchmark.items()).labels.tolist() == [[0, 2, 2, 1]]


def test_many_classes_in_deep_masks_do_not_meet_the_ignored_value(tmp_path):
    mask = np.array([[255, 846, 65535]], np.uint16)
    names = "\n".join(f"thing {i}" for i in range(847))
    benchmark = folder.load(made_up(tmp_path, [mask], txt=names))
    assert next(benchmark.items()).labels.tolist() == [[255, 846, 65535]]
    assert benchmark.ignore == 65535
    scores = evaluate(lambda photo: np.array([[255, 0, 0]]), benchmark, progress=False)
    assert scores.counts.sum() == 2
    assert scores.iou[255] == 1


def test_a_background_is_found_by_its_name(tmp_path):
    root = made_up(tmp_path, json='["road", "background", "sky"]')
    assert folder.load(root).background == 1


def asked_of(home, *names):
    return folder.load(made_up(home, txt="\n".join(names))).names


def test_known_names_are_asked_with_synonyms_however_they_are_spelt(tmp_path):
    names = asked_of(tmp_path, "TV", "tree-merged", "Floor_Wood", "signsymbol")
    assert names == (
        ("tv", "television"),
        ("tree", "trees"),
        ("wood floor", "wooden floor", "hardwood floor"),
        ("traffic sign", "sign", "road sign", "street sign"),
    )


def test_unknown_names_are_asked_as_they_are_spoken(tmp_path):
    assert asked_of(tmp_path, "Garden-gnome", "sky-other-merged") == (("Garden gnome",), ("sky",))


def test_synonyms_of_ones_own_are_asked_and_no_others(tmp_path):
    assert asked_of(tmp_path, "tv | screen", "person | hiker") == (
        ("tv", "screen"),
        ("person", "hiker"),
    )


@pytest.mark.parametrize("turn", [1, -1])
def test_a_word_that_two_classes_have_from_our_file_is_asked_for_neither(tmp_path, turn):
    names = asked_of(tmp_path, *["person", "pedestrian", "rider", "bicyclist"][::turn])[::turn]
    assert names == (
        ("person", "boy", "girl", "kid", "lady", "guy", "baby"),
        ("pedestrian",),
        ("rider", "motorcyclist"),
        ("bicyclist",),
    )


def test_a_word_belongs_to_the_class_that_the_folder_calls_so(tmp_path):
    names = asked_of(tmp_path, "couch", "loveseat | Sofa", "dining table", "table-merged")
    assert names == (
        ("couch",),
        ("loveseat", "Sofa"),
        ("dining table", "kitchen table"),
        ("table", "coffee table"),
    )


def test_a_class_that_loses_all_its_words_is_asked_as_it_is_spoken(tmp_path):
    names = asked_of(tmp_path, "floor-marble", "floor | marble floor")
    assert names == (("floor marble",), ("floor", "marble floor"))


def test_every_line_of_our_names_is_spelt_as_it_is_looked_up():
    assert all(name == folder.spoken(name).lower() for name in KNOWN)
    for name, synonyms in KNOWN.items():
        assert [name_key(word) for word in synonyms] == list(synonyms), name
        assert len(set(synonyms)) == len(synonyms) and synonyms != (name,), name


@pytest.mark.parametrize("benchmark", benchmarks())
def test_no_word_stands_for_two_classes_of_a_public_list(tmp_path, benchmark):
    names = asked_of(tmp_path, *classes(benchmark))
    assert len(parse_names(["|".join(synonyms) for synonyms in names])) == len(names)


@pytest.mark.parametrize("name", ["camvid_val", "coco_semantic"])
def test_no_word_stands_for_two_classes_of_a_real_set(name):
    names = folder.load(data(name)).names
    assert len(parse_names(["|".join(synonyms) for synonyms in names])) == len(names)
    assert sum(len(synonyms) > 1 for synonyms in names) >= len(names) // 2


def test_a_split_file_chooses_photos_in_its_order(tmp_path):
    root = made_up(tmp_path, [MASK] * 3, txt="a\nb\nc\n")
    (tmp_path / "few.txt").write_text("2\n0\n")
    for split in ("few.txt", str(tmp_path / "few.txt")):
        assert [item.key for item in folder.load(root, split).items()] == ["2", "0"]
    assert [item.key for item in folder.load(root).items()] == ["0", "1", "2"]
    with pytest.raises(ValueError, match="there is no split file"):
        folder.load(root, "val")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, "it has none"),
        ({"json": "[]", "txt": ""}, r"it has classes\.json, classes\.txt"),
        ({"json": '{"sky": 1}'}, "neither a list of names nor an object"),
        ({"json": "[1, 2]"}, "neither a list of names nor an object"),
        ({"json": "[]"}, "lists no class"),
        ({"txt": "sky\n\nroad\n"}, "has an empty name"),
        ({"txt": "sky\nroad\nsky\n"}, "one name for several ids: sky"),
        ({"yaml": "names: [sky, road]\n"}, "lines other than"),
        ({"yaml": "names:\n  - sky\n  - road\n"}, "lines other than"),
        ({"yaml": "names:\n  0: sky\n  one: road\n"}, "lines other than"),
    ],
)
def test_a_list_of_classes_that_cannot_be_meant_is_refused(tmp_path, classes, message):
    with pytest.raises(ValueError, match=message):
        folder.load(made_up(tmp_path, **classes))


def test_a_folder_that_is_not_there_is_said_to_be_so(tmp_path):
    with pytest.raises(ValueError, match=r"there is no folder .*typo"):
        folder.load(str(tmp_path / "typo"))


def test_a_value_without_a_name_is_refused_with_the_mask(tmp_path):
    benchmark = folder.load(made_up(tmp_path, json='["sky", "road"]'))
    with pytest.raises(ValueError, match=r"0\.png: pixel values 2 are no class"):
        next(benchmark.items())


def test_real_street_photos_ignore_their_void():
    benchmark = folder.load(data("camvid_val"))
    assert (len(benchmark), len(benchmark.classes), benchmark.name) == (101, 11, "camvid_val")
    seen = set()
    for item in benchmark.items(range(0, 101, 10)):
        with Image.open(benchmark.files[0][2].with_name(f"{item.key}.png")) as file:
            values = np.asarray(file)
        assert np.array_equal(item.labels == 255, values == 11)
        assert np.array_equal(item.labels[values != 11], values[values != 11])
        seen |= set(np.unique(item.labels))
    assert seen == {*range(11), 255}


def test_real_dense_photos_have_129_names_and_a_perfect_map_scores_100():
    benchmark = folder.load(data("coco_semantic"))
    assert (len(benchmark), len(benchmark.classes)) == (200, 129)
    spoken = dict(zip(benchmark.classes, benchmark.names, strict=True))
    assert spoken["sky-other-merged"] == ("sky",)
    assert spoken["wall-brick"] == ("brick wall",)
    labels = {item.image.tobytes(): item.labels for item in benchmark.items(range(8))}
    scores = evaluate(
        lambda photo: labels[photo.tobytes()] % 255, benchmark, progress=False, limit=8
    )
    assert scores.miou == 1
    assert scores.banner is not None
    assert "8 photos of 200" in scores.banner
    ids = dict(zip(benchmark.classes, benchmark.ids, strict=True))
    for name, photos in scores.as_json()["photos"].items():
        masks = [np.asarray(Image.open(mask)) for _, _, mask in benchmark.files[:8]]
        assert photos == sum(bool((mask == ids[name]).any()) for mask in masks)
