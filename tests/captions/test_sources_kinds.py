"""Each kind of source reads real files, and what people really do wrong is counted, not fatal."""

import io
import json
import pickle
import shutil
import sys
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from whatwhere.captions.sources import open_pairs

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def real(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"needs the shared photos: {name}")
    return DATA / name


def photo(path: Path, colour: str = "red") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 2), colour).save(path)


def captions(pairs) -> dict[str, tuple[str, ...]]:
    return {sample.key: sample.captions for sample in pairs}


# Folders of photos with a .txt beside each


def test_each_line_of_a_text_is_a_caption(tmp_path):
    photo(tmp_path / "sub" / "A.JPEG")
    (tmp_path / "sub" / "A.TXT").write_bytes(b"a dog\r\n\r\n  two dogs \n")
    assert captions(open_pairs(tmp_path)) == {"sub/A.JPEG": ("a dog", "two dogs")}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_that_say_their_encoding_are_understood(tmp_path, encoding):
    photo(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("ein Käfer\n甲虫\n", encoding=encoding)
    assert open_pairs(tmp_path)[0].captions == ("ein Käfer", "甲虫")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("un café".encode("latin-1"), "wrong encoding"),
        ("a dog".encode("utf-16-le"), "wrong encoding"),
        ("a dog".encode("utf-16")[:-1], "wrong encoding"),
        (b"", "empty caption"),
        (b" \n\t\n", "empty caption"),
        (b"NaN", "empty caption"),
    ],
)
def test_an_unusable_text_is_counted_and_not_guessed(tmp_path, data, reason):
    for name in ("a", "b"):
        photo(tmp_path / f"{name}.jpg")
    (tmp_path / "a.txt").write_bytes(b"a dog")
    (tmp_path / "b.txt").write_bytes(data)
    pairs = open_pairs(tmp_path)
    assert captions(pairs) == {"a.jpg": ("a dog",)}
    assert pairs.skipped.report() == f"1 {reason}: b.jpg"


def test_photos_without_text_are_counted_and_hidden_files_are_not(tmp_path):
    for name in ("a.jpg", "b.webp", "._a.jpg"):
        photo(tmp_path / name)
    (tmp_path / "a.txt").write_text("a dog")
    (tmp_path / "README.txt").write_text("my photos")
    pairs = open_pairs(tmp_path)
    assert list(captions(pairs)) == ["a.jpg"]
    assert pairs.skipped.report() == "1 missing caption: b.webp (no .txt beside it)"


def test_a_text_file_called_jpg_is_found_out_when_opened(tmp_path):
    (tmp_path / "a.jpg").write_text("not a photo")
    (tmp_path / "a.txt").write_text("a dog")
    (sample,) = open_pairs(tmp_path)
    with pytest.raises(ValueError, match="cannot identify image file"):
        sample.open()


# JSON lines


def test_all_of_flickr8k_is_found():
    pairs = open_pairs(real("flickr8k"))
    assert (len(pairs), sum(len(sample.captions) for sample in pairs)) == (8091, 40455)
    assert not pairs.skipped
    assert all(len(sample.captions) == 5 for sample in pairs)
    assert pairs[0].key.startswith("images/1000268201")
    assert pairs[0].open().size == (224, 224)


def test_photos_of_coco_are_found_by_a_list_beside_them():
    file = real("coco_semantic") / "captions.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    said = {row["image"]: tuple(caption.strip() for caption in row["captions"]) for row in rows}
    assert captions(open_pairs(file)) == said
    assert len(said) == 100


def test_the_usual_names_of_fields_are_understood(tmp_path):
    rows = [
        {"image": "a.jpg", "captions": ["a dog", None, " "]},
        {"file_name": "./b.jpg", "text": "a cat"},
        {"filepath": "b.jpg", "title": "two cats", "caption": None},
        {"path": str(tmp_path / "c.jpg"), "caption": "a cow"},
    ]
    photo(tmp_path / "images" / "a.jpg")
    photo(tmp_path / "b.jpg")
    photo(tmp_path / "c.jpg")
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs = open_pairs(tmp_path)
    assert captions(pairs) == {
        "a.jpg": ("a dog",),
        "b.jpg": ("a cat", "two cats"),
        str(tmp_path / "c.jpg"): ("a cow",),
    }
    assert pairs.skipped.report() == (
        "1 empty caption: a.jpg (2 of 3 captions, the others are used)"
    )


def test_bad_lines_are_counted_and_the_rest_is_read(tmp_path):
    photo(tmp_path / "a.jpg")
    lines = [
        b'{"image": "a.jpg", "caption": "a dog"}',
        b'{"image": "a.jpg", "caption": "un caf\xe9"}',
        b'{"image": "a.jpg", "caption": "half an emoji \\ud83d"}',
        b'{"image": "b.jpg", "caption": "gone"}',
        b'{"image": "https://example.org/c.jpg", "caption": "far away"}',
        b"",
        b'{"image": "a.jpg", "caption": ',
        b'["a.jpg", "a dog"]',
        b'{"caption": "of nothing"}',
        b'{"image": "a.jpg", "label": "dog"}',
    ]
    (tmp_path / "list.jsonl").write_bytes(b"\n".join(lines))
    pairs = open_pairs(tmp_path / "list.jsonl")
    assert captions(pairs) == {"a.jpg": ("a dog",)}
    assert pairs.skipped.counts == {"broken row": 4, "missing image": 2, "wrong encoding": 1}
    assert "list.jsonl line 8 (a list where an object belongs)" in pairs.skipped.report()
    assert "download web addresses first" in pairs.skipped.report()


# Tables


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'filepath,title\na.jpg,"a dog, a cat"\na.jpg,two\nb.jpg,b\n'),
        ("a.csv", "\ufeffimage;caption;by\r\na.jpg;a dog, a cat;me\r\na.jpg;two;\r\nb.jpg;b;\r\n"),
        ("a.tsv", "caption\timage\na dog, a cat\ta.jpg\ntwo\ta.jpg\n\nb\tb.jpg\n"),
        ("captions.txt", 'image,caption\na.jpg,"a dog, a cat"\na.jpg, two\nb.jpg,b'),
        ("a.csv", 'id,"image_path","text"\n1,a.jpg,"a dog, a cat"\n2,a.jpg,two\n3,b.jpg,b\n'),
    ],
)
def test_tables_of_every_dialect_say_the_same(tmp_path, name, text):
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "Images" / "b.jpg")
    (tmp_path / name).write_text(text, newline="")
    pairs = open_pairs(tmp_path / name)
    assert captions(pairs) == {"a.jpg": ("a dog, a cat", "two"), "b.jpg": ("b",)}
    assert not pairs.skipped


def test_quotation_marks_between_tabs_swallow_nothing(tmp_path):
    photo(tmp_path / "a.jpg")
    rows = ['"a" for apple', '"unclosed', '"closed, with ""quotes"""', '12 " ruler']
    text = "image\tcaption\n" + "".join(f"a.jpg\t{row}\n" for row in rows)
    (tmp_path / "captions.tsv").write_text(text)
    assert open_pairs(tmp_path)[0].captions == (
        '"a" for apple',
        '"unclosed',
        'closed, with "quotes"',
        '12 " ruler',
    )


def test_bad_rows_of_a_table_are_counted(tmp_path):
    photo(tmp_path / "a.jpg")
    rows = ["a.jpg,a dog, a cat", "a.jpg", 'a.jpg,"good" bad', ",of nothing", "a.jpg,nan"]
    rows += [
        "a.jpg,good",
        'a.jpg,"over\ntwo lines"',
        "b.jpg,gone",
        'a.jpg,"never closed',
        "a.jpg,x",
    ]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption", *rows]))
    pairs = open_pairs(tmp_path)
    assert captions(pairs) == {"a.jpg": ("good", "over\ntwo lines")}
    assert pairs.skipped.counts == {"broken row": 5, "empty caption": 1, "missing image": 1}
    assert "line 2 (3 columns instead of 2)" in pairs.skipped.report()


def test_wrong_bytes_in_a_table_cost_their_row_only(tmp_path):
    photo(tmp_path / "a.jpg")
    (tmp_path / "a.csv").write_bytes(b'image,caption\na.jpg,"caf\xe9"\na.jpg,a dog\n')
    pairs = open_pairs(tmp_path / "a.csv")
    assert captions(pairs) == {"a.jpg": ("a dog",)}
    assert pairs.skipped.counts == {"wrong encoding": 1}


def test_a_table_without_names_of_columns_says_which_it_takes(tmp_path):
    (tmp_path / "a.tsv").write_text("a dog\thttps://example.org/a.jpg\n")
    with pytest.raises(ValueError, match=r"the first line .* is 'a dog.*one of captions, caption"):
        open_pairs(tmp_path / "a.tsv")


# COCO


def coco(tmp_path: Path, file: str, **content) -> Path:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(json.dumps(content))
    return tmp_path / file


@pytest.mark.parametrize(
    "place", ["val2017", "images", "images/val2017", "annotations/images", "."]
)
def test_photos_of_coco_are_found_wherever_people_put_them(tmp_path, place):
    photo(tmp_path / place / "7.jpg")
    coco(
        tmp_path,
        "annotations/captions_val2017.json",
        images=[{"id": 7, "file_name": "7.jpg"}, {"id": 8, "file_name": "8.jpg"}, {"id": 9}],
        annotations=[
            {"image_id": 7, "caption": "a dog\n"},
            {"image_id": 7, "caption": "a brown dog"},
            {"image_id": 10, "caption": "of nothing"},
            {"image_id": 7},
        ],
    )
    pairs = open_pairs(tmp_path)
    assert captions(pairs) == {"7.jpg": ("a dog", "a brown dog")}
    assert pairs.skipped.counts == {"broken row": 3, "missing caption": 1}


def test_the_subset_in_the_name_decides_between_photos_of_one_name(tmp_path):
    photo(tmp_path / "train2017" / "7.png", "red")
    photo(tmp_path / "val2017" / "7.png", "blue")
    for subset in ("train2017", "val2017"):
        coco(
            tmp_path,
            f"annotations/captions_{subset}.json",
            images=[{"id": 7, "file_name": "7.png"}],
            annotations=[{"image_id": 7, "caption": "a colour"}],
        )
    with pytest.raises(ValueError, match="give the one to read"):
        open_pairs(tmp_path)
    (sample,) = open_pairs(tmp_path / "annotations" / "captions_val2017.json")
    assert sample.open().getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize("text", ["[1, 2]", '{"images": []}', '{"images"'])
def test_a_json_that_is_not_coco_says_what_was_looked_for(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="looked for a COCO captions"):
        open_pairs(tmp_path / "a.json")


# WebDataset


def shard(path: Path, *members: tuple[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def jpeg(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 8), colour).save(file, "jpeg")
    return file.getvalue()


@pytest.mark.parametrize("way", ["folder", "file", "pattern"])
def test_a_real_shard_is_read_whole(way):
    folder = real("cc12m_shard")
    path = {"file": "cc12m-train-0000.tar", "pattern": "*.tar", "folder": "."}[way]
    pairs = open_pairs(folder / path)
    assert len(pairs) == 32
    assert not pairs.skipped
    assert all(min(sample.open().size) > 100 for sample in pairs)
    with tarfile.open(folder / "cc12m-train-0000.tar") as tar:
        for sample in pairs:
            shard_name, name = sample.key.split("/")
            photo, text = (tar.extractfile(f"{name}.{suffix}") for suffix in ("jpg", "txt"))
            assert photo is not None
            assert text is not None
            assert shard_name == "cc12m-train-0000"
            assert sample.read() == photo.read()
            assert sample.captions == (text.read().decode().strip(),)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_real_shard_cut_short_gives_what_is_there(tmp_path, share):
    whole = real("cc12m_shard") / "cc12m-train-0000.tar"
    data = whole.read_bytes()
    (tmp_path / "a.tar").write_bytes(data[: int(len(data) * share)])
    expected = {s.key.split("/")[1]: s.read() for s in open_pairs(whole)}
    pairs = open_pairs(tmp_path)
    assert 5 < len(pairs) < 32
    assert {s.key.split("/")[1]: s.read() for s in pairs}.items() <= expected.items()
    assert pairs.skipped.counts["broken archive"] == 1


def test_damage_in_the_middle_of_a_shard_is_not_taken_for_its_end(tmp_path):
    file = shard(
        tmp_path / "a.tar", ("1.jpg", jpeg()), ("1.txt", b"one"), ("2.txt", b"2"), ("2.jpg", jpeg())
    )
    with tarfile.open(file) as tar:
        place = tar.getmember("2.txt").offset
    data = bytearray(file.read_bytes())
    data[place : place + 512] = b"x" * 512
    file.write_bytes(data)
    pairs = open_pairs(file)
    assert captions(pairs) == {"a/1": ("one",)}
    assert pairs.skipped.report() == (
        f"1 broken archive: a.tar (no header at byte {place}; 1 names before it)"
    )


def test_what_a_name_in_a_shard_lacks_is_counted(tmp_path):
    shard(
        tmp_path / "00000.tar",
        ("./a/1.PNG", jpeg()),
        ("./a/1.json", b'{"caption": "from the json"}'),
        ("2.jpg", jpeg()),
        ("2.json", b'{"caption": null, "url": ""}'),
        ("3.txt", b"a failed download"),
        ("4.jpg", jpeg()),
        ("4.txt", "café".encode("latin-1")),
        ("5.jpg", jpeg()),
        ("5.txt", b" "),
        ("6.jpg", jpeg()),
        ("6.json", b'{"caption": '),
        ("._1.jpg", b"left by a file manager"),
        ("7.seg.png", jpeg()),
        ("7.jpg", jpeg("blue")),
        ("7.txt", b"a blue wall"),
        ("7.json", b'{"caption": "ignored"}'),
    )
    (tmp_path / "00001.tar").write_bytes(b"")
    shutil.make_archive(str(tmp_path / "00002"), "gztar", tmp_path)
    (tmp_path / "00002.tar.gz").rename(tmp_path / "00002.tar")
    pairs = open_pairs(tmp_path)
    assert captions(pairs) == {"00000/7": ("a blue wall",), "00000/a/1": ("from the json",)}
    assert pairs[0].open().getpixel((8, 4)) == Image.open(io.BytesIO(jpeg("blue"))).getpixel((8, 4))
    assert pairs.skipped.counts == {
        "broken archive": 2,
        "empty caption": 1,
        "missing caption": 2,
        "missing image": 1,
        "wrong encoding": 1,
    }


def test_shards_of_one_name_in_two_folders_keep_their_samples_apart(tmp_path):
    for folder in ("one", "two"):
        shard(tmp_path / folder / "0.tar", ("1.jpg", jpeg()), ("1.txt", folder.encode()))
    pairs = open_pairs(tmp_path / "*" / "0.tar")
    assert captions(pairs) == {"one/0/1": ("one",), "two/0/1": ("two",)}


# Hugging Face datasets


@pytest.fixture(scope="module")
def datasets():
    return pytest.importorskip("datasets", reason="needs whatwhere[data]")


def test_a_saved_dataset_is_read_by_row(tmp_path, datasets):
    rows = {
        "url": ["x", "y", "z", "w"],
        "picture": [{"bytes": jpeg(c), "path": None} for c in ("red", "blue", "lime")] + [None],
        "caption": [["a red wall", "red"], [""], ["green"], ["nothing"]],
    }
    types = datasets.Features(
        url=datasets.Value("string"),
        picture=datasets.Image(),
        caption=datasets.Sequence(datasets.Value("string")),
    )
    datasets.Dataset.from_dict(rows, features=types).save_to_disk(tmp_path / "one")
    pairs = open_pairs(tmp_path / "one")
    assert captions(pairs) == {
        "000000000": ("a red wall", "red"),
        "000000002": ("green",),
        "000000003": ("nothing",),
    }
    assert pairs.skipped.report() == "1 empty caption: 000000001"
    assert pairs[1].read() == jpeg("lime")
    assert pickle.loads(pickle.dumps(pairs[1])).open().size == (16, 8)
    with pytest.raises(ValueError, match="no picture in this row"):
        pairs[2].open()


def test_columns_of_bytes_or_paths_and_any_name_are_understood(tmp_path, datasets):
    photo(tmp_path / "paths" / "images" / "a.png", "blue")
    paths = datasets.Dataset.from_dict({"path": ["a.png"], "what people say": ["blue"]})
    paths.save_to_disk(tmp_path / "paths")
    (sample,) = open_pairs(tmp_path / "paths")
    assert sample.captions == ("blue",)
    assert sample.open().getpixel((1, 1)) == (0, 0, 255)
    encoded = datasets.Dataset.from_dict({"image": [jpeg()], "text": ["red"], "by": ["me"]})
    encoded.save_to_disk(tmp_path / "bytes")
    assert open_pairs(tmp_path / "bytes")[0].read() == jpeg()


def test_of_several_subsets_one_must_be_named(tmp_path, datasets):
    data = datasets.Dataset.from_dict({"image": [jpeg()], "text": ["red"]})
    datasets.DatasetDict(train=data, test=data).save_to_disk(tmp_path / "two")
    with pytest.raises(ValueError, match="subsets test, train; give one"):
        open_pairs(tmp_path / "two")
    assert len(open_pairs(tmp_path / "two" / "train")) == 1
    datasets.DatasetDict(train=data).save_to_disk(tmp_path / "one")
    assert len(open_pairs(tmp_path / "one")) == 1


def test_columns_that_nobody_can_guess_are_listed(tmp_path, datasets):
    data = datasets.Dataset.from_dict({"image": [jpeg()], "one": ["red"], "two": ["wall"]})
    data.save_to_disk(tmp_path / "a")
    with pytest.raises(ValueError, match="no caption among the columns image, one, two"):
        open_pairs(tmp_path / "a")
    data.remove_columns("image").save_to_disk(tmp_path / "b")
    with pytest.raises(ValueError, match="no image among the columns one, two"):
        open_pairs(tmp_path / "b")


def test_without_the_extra_the_error_says_what_to_install(tmp_path, monkeypatch):
    for name in ("state.json", "dataset_info.json"):
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'whatwhere\[data\]'"):
        open_pairs(tmp_path)
