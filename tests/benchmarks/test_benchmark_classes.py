"""Photos by class: folders and index files mean the same; what cannot be meant is refused."""

from pathlib import Path

import pytest
from PIL import Image

from whatwhere.benchmarks import classes

SHARED = Path(__file__).parents[2].parent / "shared"
PHOTOS = {"sea_lion/b.png": "red", "cat/a.jpg": "blue", "cat/deep/c.png": "white"}


def photos(home):
    for name, color in PHOTOS.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), color).save(home / name)
    return home


def data(name):
    path = SHARED / "data" / name
    if not path.is_dir():
        pytest.skip(f"no real photos: {path} is missing")
    return str(path)


def index(ending):
    rows = [(name, name.split("/")[0]) for name in PHOTOS]
    if ending == "jsonl":
        return "".join(f'{{"image": "{name}", "name": "{said}"}}\n\n' for name, said in rows)
    mark = "\t" if ending == "tsv" else ","
    lines = [f"width{mark}file_name{mark}label"] + [f"4{mark}{n}{mark}{said}" for n, said in rows]
    return "\n".join(lines)


@pytest.mark.parametrize("form", ["folders", "jsonl", "csv", "tsv"])
def test_every_form_means_the_same(tmp_path, form):
    photos(tmp_path)
    if form != "folders":
        (tmp_path / f"index.{form}").write_text(index(form))
    found = classes.load(str(tmp_path))
    assert found.classes == ("cat", "sea_lion")
    assert found.names == (("cat",), ("sea lion",))
    assert (len(found), found.name) == (3, tmp_path.name)
    items = {item.key: item for item in found.items()}
    assert {key: item.label for key, item in items.items()} == {
        "cat/a.jpg": 0,
        "cat/deep/c.png": 0,
        "sea_lion/b.png": 1,
    }
    assert items["sea_lion/b.png"].image.getpixel((0, 0)) == (255, 0, 0)
    assert [item.key for item in found.items([2, 0])] == [found.files[2][0], found.files[0][0]]


def test_an_index_file_may_be_given_itself(tmp_path):
    photos(tmp_path)
    (tmp_path / "mine.csv").write_text(index("csv"))
    assert len(classes.load(str(tmp_path / "mine.csv"))) == 3


def test_a_split_is_a_folder_or_an_index_file(tmp_path):
    photos(tmp_path / "val")
    photos(tmp_path)
    (tmp_path / "few.csv").write_text("image,class\ncat/a.jpg,cat\n")
    assert len(classes.load(str(tmp_path), "val")) == 3
    assert len(classes.load(str(tmp_path), "few")) == len(classes.load(str(tmp_path), "few.csv"))
    assert len(classes.load(str(tmp_path), "few")) == 1
    with pytest.raises(ValueError, match="has no split 'test'"):
        classes.load(str(tmp_path), "test")


def test_a_list_of_classes_says_which_compete_and_how_they_are_said(tmp_path):
    photos(tmp_path)
    (tmp_path / "classes.txt").write_text("dog|puppy\nsea_lion: sea lion | seal\n\ncat|kitten\n")
    found = classes.load(str(tmp_path))
    assert found.classes == ("dog", "sea_lion", "cat")
    assert found.names == (("dog", "puppy"), ("sea lion", "seal"), ("cat", "kitten"))
    assert [label for _, _, label in found.files] == [2, 2, 1]


def test_a_synonym_names_its_class_but_a_class_of_that_name_comes_first(tmp_path):
    photos(tmp_path)
    (tmp_path / "classes.txt").write_text("animal|sea_lion|cat\ncat\n")
    found = classes.load(str(tmp_path))
    assert [label for _, _, label in found.files] == [1, 1, 0]


def test_photos_are_upright(tmp_path):
    (tmp_path / "cat").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 3)).save(tmp_path / "cat" / "a.jpg", exif=exif)
    (item,) = classes.load(str(tmp_path)).items()
    assert item.image.size == (3, 4)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("index.jsonl", '{"image": "cat/a.jpg"}', r"line 1 needs a picture .* it has image"),
        ("index.jsonl", "[1]", r"line 1 is no object"),
        ("index.jsonl", '\n{"image": ', r"line 2 is no JSON"),
        ("index.jsonl", "", "lists no photo"),
        ("index.csv", "image,class\nnope.jpg,cat\n", r"line 2: .*nope\.jpg is missing"),
        ("index.csv", "image,class\ncat/a.jpg\n", r"line 2 needs a picture"),
        ("index.csv", "image,class\ncat/a.jpg,cat\ncat/a.jpg,dog\n", r"'dog' here, 'cat' above"),
        (
            "classes.txt",
            "kat\nsea_lion\n",
            r"has no class, or several, 'cat' as of .*; did you mean 'kat'",
        ),
        ("classes.txt", "cat\nsea_lion\ncat|x\n", r"line 3 has 'cat' again"),
        ("classes.txt", "cat: |\n", "line 1 names nothing"),
        ("classes.txt", "\n", "lists no class"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path, file, text, said):
    (photos(tmp_path) / file).write_text(text)
    with pytest.raises(ValueError, match=said):
        classes.load(str(tmp_path))


def test_places_without_photos_say_what_is_looked_for(tmp_path):
    (tmp_path / "cat").mkdir()
    with pytest.raises(ValueError, match=r"no photos by class in .* a folder of photos \(\.jpg"):
        classes.load(str(tmp_path))
    with pytest.raises(ValueError, match="there is no"):
        classes.load(str(tmp_path / "nowhere"))
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(ValueError, match=r"is no index; give a \.jsonl"):
        classes.load(str(tmp_path / "notes.md"))


def test_folders_that_are_splits_are_not_taken_for_classes(tmp_path):
    for split in ("train", "val"):
        photos(tmp_path / split)
    with pytest.raises(ValueError, match=r"no classes \(train, val\); choose with --split"):
        classes.load(str(tmp_path))
    assert classes.load(str(tmp_path), "train").classes == ("cat", "sea_lion")


def test_other_encodings_and_broken_photos_are_named(tmp_path):
    photos(tmp_path)
    (tmp_path / "cat" / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"cannot read .*a\.jpg as a picture"):
        list(classes.load(str(tmp_path)).items())
    (tmp_path / "index.csv").write_bytes("image,class\n\xe9,cat".encode("latin-1"))
    with pytest.raises(ValueError, match="is not UTF-8"):
        classes.load(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "count", "known", "most"),
    [("imagenet_samples", 1000, "great white shark", 2), ("caltech101", 2500, "windsor chair", 25)],
)
def test_real_photos_have_their_classes(name, count, known, most):
    found = classes.load(data(name))
    assert len(found) == count
    assert (known,) in found.names
    labels = [label for _, _, label in found.files]
    assert {labels.count(label) for label in set(labels)} <= set(range(1, most + 1))
    assert next(found.items()).image.mode == "RGB"
