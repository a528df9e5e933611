"""Accuracy by class and ground against counts by hand; the official layout of Waterbirds."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from whatwhere.benchmarks.grounds import ByGround, OnGrounds, by_ground
from whatwhere.benchmarks.waterbirds import load
from whatwhere.pictures import OnGround


def counted(photos, right, usual=(0, 2), grounds=("land", "road", "water"), expected=None):
    photos = np.array(photos)
    total = int(photos.sum()) if expected is None else expected
    return ByGround(("hen", "swan"), grounds, usual, photos, np.array(right), total)


FOUND = counted([[10, 4, 6], [0, 5, 20]], [[9, 1, 3], [0, 5, 12]])


def test_the_gap_is_the_accuracy_at_home_minus_that_elsewhere():
    assert FOUND.gap == pytest.approx([0.9 - 4 / 10, 12 / 20 - 5 / 5])
    assert FOUND.average_gap == pytest.approx(21 / 30 - 9 / 15)


def test_average_and_worst_are_of_photos_and_of_groups_that_have_some():
    assert FOUND.average == pytest.approx(30 / 45)
    assert FOUND.worst == 1 / 4
    assert math.isnan(FOUND.accuracy[1, 0])


def test_a_model_that_looks_at_things_alone_has_no_gap_and_one_that_looks_at_grounds_all_of_it():
    photos = [[8, 8], [3, 3]]
    things = counted(photos, [[6, 6], [1, 1]], usual=(0, 1), grounds=("land", "water"))
    assert things.gap.tolist() == [0, 0] and things.average_gap == 0
    grounds = counted(photos, [[8, 0], [0, 3]], usual=(0, 1), grounds=("land", "water"))
    assert grounds.gap.tolist() == [1, 1] and (grounds.worst, grounds.average) == (0, 0.5)


def test_nothing_counted_has_no_value_and_no_warning():
    nothing = counted([[0, 0, 0]] * 2, [[0, 0, 0]] * 2)
    assert all(map(math.isnan, (nothing.average, nothing.worst, nothing.average_gap)))
    assert nothing.as_json()["worst_group"] is None


def test_json_is_in_percent_and_null_where_there_is_no_value():
    said = json.loads(json.dumps(FOUND.as_json(), allow_nan=False))
    assert said["by_ground"]["swan"] == {"land": None, "road": 100, "water": 60}
    assert said["photos"]["hen"] == {"land": 10, "road": 4, "water": 6}
    assert said["gaps"]["swan"] == pytest.approx(-40) and said["gap"] == pytest.approx(10)
    assert (said["worst_group"], said["photos_total"], said["partial"]) == (25, 45, False)


def test_the_table_is_aligned_and_marks_where_things_are_at_home():
    lines = FOUND.table().splitlines()
    assert lines[:3] == [
        "top-1 %  photos     land     road    water       gap",
        "hen          20    90.00*   25.00    50.00     50.00",
        "swan         25        -   100.00    60.00*   -40.00",
    ]
    assert lines[3].startswith("top-1 66.67, worst class on a ground 25.00, gap 10.00")
    assert counted([[1, 0, 0]] * 2, [[1, 0, 0]] * 2, expected=9).table().startswith("PARTIAL SET")


class Two:
    name, names, classes = "two", (("hen",), ("swan",), ("sky",)), ("hen", "swan")
    grounds, usual, official = ("land", "road", "water"), (0, 2), 45

    def __len__(self):
        return 3

    def items(self, indices=None):
        raise AssertionError("counting opens nothing")


def test_photos_are_counted_where_they_are():
    picture = Image.new("RGB", (2, 3))
    found = [
        (OnGround(str(i), picture, label, ground), known)
        for i, (label, ground, known) in enumerate([(1, 0, True), (0, 2, False), (1, 0, False)])
    ]
    scores = by_ground(Two(), found)
    assert isinstance(Two(), OnGrounds)
    assert scores.photos.tolist() == [[0, 0, 1], [2, 0, 0]]
    assert scores.right.tolist() == [[0, 0, 0], [1, 0, 0]]
    assert scores.photos_expected == 45


# In the official file's columns, of which some are not needed.
METADATA = """\
img_id,img_filename,y,split,place,place_filename
1,001.Hen/a.jpg,0,2,0,/forest/1.jpg
2,001.Hen/b.jpg,0,2,1,/lake/2.jpg
3,002.Swan/c.jpg,1,2,1,/lake/3.jpg
4,002.Swan/d.jpg,1,0,0,/forest/4.jpg
5,002.Swan/e.jpg,1,1,0,/forest/5.jpg
"""


def waterbirds(home):
    (home / "metadata.csv").write_text(METADATA)
    for i, name in enumerate(("001.Hen/a", "001.Hen/b", "002.Swan/c", "002.Swan/d", "002.Swan/e")):
        (home / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (5 + i, 7), (40 * i, 0, 0)).save(home / f"{name}.jpg")
    return str(home)


def test_waterbirds_are_read_from_their_official_file(tmp_path):
    benchmark = load(waterbirds(tmp_path))
    assert isinstance(benchmark, OnGrounds)
    found = [(item.key, item.label, item.ground, item.image.width) for item in benchmark.items()]
    assert found == [("a.jpg", 0, 0, 5), ("b.jpg", 0, 1, 6), ("c.jpg", 1, 1, 7)]
    assert (benchmark.official, len(benchmark.names), len(benchmark.classes)) == (5794, 3, 2)
    assert [item.key for item in load(str(tmp_path), "train").items()] == ["d.jpg"]
    assert [item.key for item in load(str(tmp_path), "val").items()] == ["e.jpg"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda home: (home / "metadata.csv").unlink(), "there is no .*metadata.csv"),
        (lambda home: (home / "001.Hen/b.jpg").unlink(), "b.jpg is missing .1 of 3"),
        (
            lambda home: (home / "metadata.csv").write_text(METADATA.replace("place,", "ground,")),
            "has no column place",
        ),
        (
            lambda home: (home / "metadata.csv").write_text(METADATA.replace("c.jpg,1", "c.jpg,2")),
            "y of 002.Swan/c.jpg is '2', not 0 or 1",
        ),
        (
            lambda home: (home / "metadata.csv").write_text(
                METADATA.replace(",0,/forest/1.jpg", "")
            ),
            "place of 001.Hen/a.jpg is '', not 0 or 1",
        ),
        (
            lambda home: (home / "metadata.csv").write_text(METADATA.splitlines()[0]),
            "lists no photo of the split test",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(tmp_path, change, said):
    root = waterbirds(tmp_path)
    change(tmp_path)
    with pytest.raises(ValueError, match=said):
        load(root)
    with pytest.raises(ValueError, match="no split 'all'; take one of train, val, test"):
        load(waterbirds(tmp_path), "all")
