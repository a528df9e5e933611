"""The report's page: it parses, says what it was given, and asks nothing of the network."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whatwhere.benchmarks.score import Scores
from whatwhere.report import command, facts, page, section, tiles, written_by
from whatwhere.report.classes import class_table, commonest, worst_mistake
from whatwhere.report.curves import curve, ticks
from whatwhere.report.gallery import Row, confidence_key, gallery, ramp
from whatwhere.segmenter.segmentation import Segmentation, palette

NAMES = ("cat", '<grass> & "moss"', "sky")
VOID = {"meta", "img"}


class Parsed(HTMLParser):
    """The elements of a document; fails where one is closed that is not open."""

    def __init__(self, document: str):
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def scores() -> Scores:
    """60 pixels; 9 of grass are called cat, all of sky is right, nothing is ever called grass."""
    counts = np.array([[4, 0, 2], [9, 0, 5], [0, 0, 40]])
    return Scores(NAMES, counts, np.array([3, 2, 5]), 7)


def row(key: str = "one", *, truth: bool = True, caption: str | None = "a <cat> by day") -> Row:
    labels = np.zeros((6, 8), dtype=np.int64)
    labels[:2] = 2
    there = np.where(labels == 0, 1, labels)
    photo = Image.fromarray(np.full((6, 8, 3), 200, dtype=np.uint8))
    found = Segmentation(labels, np.full((6, 8), 0.625, dtype=np.float32), NAMES, photo)
    return Row(key, "No. 1 & only", found, there if truth else None, caption)


def whole_page(folder: Path) -> str:
    colors = palette(NAMES)
    return page(
        "What <is> where",
        lead="a & b",
        sections=[
            tiles([("mIoU", "12.5", "untrained < 1")]),
            section(
                "Curves",
                "one & two",
                "",
                inside=curve("loss < 9", [(0, 3.0), (10, 1.0)], dots=True),
            ),
            section("Seen", inside=gallery([row()], folder=folder / "pictures", colors=colors)),
            confidence_key(),
            class_table(scores(), colors=colors),
            command("whatwhere demo --set 'a<b'"),
            facts({"seed": "<0>"}),
        ],
        generator="a test",
    )


def test_a_page_parses_and_shows_every_text_as_it_was_given(tmp_path):
    parsed = Parsed(whole_page(tmp_path))
    for text in (
        "What <is> where", "a & b", "untrained < 1", "one & two", "loss < 9", "No. 1 & only",
        "a <cat> by day", '<grass> & "moss"', "whatwhere demo --set 'a<b'", "<0>",
    ):  # fmt: skip
        assert text in parsed.text
    assert not {tag for tag, _ in parsed.found} & {"is", "cat", "grass", "script", "link", "iframe"}
    assert "<p></p>" not in whole_page(tmp_path)


def test_a_page_asks_nothing_of_the_network(tmp_path):
    document = whole_page(tmp_path)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", document)


def test_pictures_lie_beside_the_page_and_say_what_they_show(tmp_path):
    pictures = Parsed(whole_page(tmp_path)).all("img")
    assert len(pictures) == 4
    for picture in pictures:
        with Image.open(tmp_path / str(picture["src"])) as file:
            assert file.size == (480, 360)
            assert (str(file.width), str(file.height)) == (picture["width"], picture["height"])
        assert picture["alt"]
    assert pictures[1]["alt"] == 'Truth: <grass> & "moss", sky'
    assert pictures[2]["alt"] == "Prediction: cat, sky"


def test_label_maps_keep_their_colours_when_enlarged(tmp_path):
    gallery([row()], folder=tmp_path, colors=palette(NAMES))
    with Image.open(tmp_path / "one-found.png") as file:
        pixels = np.asarray(file)
    assert (pixels[:120] == palette(NAMES)[2]).all() and (pixels[120:] == palette(NAMES)[0]).all()


def test_legends_say_what_was_missed_and_what_is_not_there(tmp_path):
    words = Parsed(gallery([row()], folder=tmp_path, colors=palette(NAMES))).text
    assert '<grass> & "moss" not found' in words and "cat not there" in words
    assert "sky not" not in words


def test_photographs_have_neither_truth_nor_caption(tmp_path):
    photo = row("my photo #1", truth=False, caption=None)
    shown = Parsed(gallery([photo], folder=tmp_path / "photos", colors=palette(NAMES)))
    assert [picture["src"] for picture in shown.all("img")] == [
        f"photos/my%20photo%20%231-{what}.png" for what in ("photo", "found", "confidence")
    ]
    assert "not there" not in shown.text and not shown.all("blockquote")


def test_an_empty_gallery_is_nothing_and_makes_no_folder(tmp_path):
    assert gallery([], folder=tmp_path / "photos", colors=palette(NAMES)) == ""
    assert not (tmp_path / "photos").exists()


def test_confidence_runs_from_dark_to_light():
    light = ramp(np.linspace(0, 1, 30, dtype=np.float32).reshape(5, 6)).reshape(-1, 3)
    luminance = light @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()


def test_a_curve_goes_through_its_points():
    svg = curve("loss", [(0, 4.0), (100, 1.0), (50, 2.0)], dots=True)
    circles = [(float(str(c["cx"])), float(str(c["cy"]))) for c in Parsed(svg).all("circle")]
    (x0, y0), (x1, y1), (x2, y2) = circles
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)  # steps 0, 50, 100
    assert (y2 - y0) / (y1 - y0) == pytest.approx(3 / 2, abs=0.01)  # values 4, 2, 1


def test_a_curve_needs_two_points_and_a_repeated_step_counts_last():
    assert curve("loss", [(10, 4.0), (10, 3.0)], dots=False) == ""
    assert curve("loss", [(0, 4.0), (10, float("nan"))], dots=False) == ""
    assert "3 after 10 steps" in curve("loss", [(0, 4.0), (10, 9.0), (10, 3.0)], dots=False)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (0, 1), (0, 0.003), (0, 61.5), (-2.5, 7), (0, 5000), (0, 999999)]
)
def test_ticks_are_few_even_and_hold_the_values(low, high):
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 9 and marks[0] <= low and high <= marks[-1]
    assert np.ptp(np.diff(marks)) < 1e-9 * max(1, marks[-1])


def test_names_are_listed_from_best_to_worst_and_those_without_iou_last():
    counts = np.array([[1, 3, 0], [0, 8, 0], [0, 0, 0]])
    table = class_table(Scores(NAMES, counts, np.array([1, 1, 0]), 1), colors=palette(NAMES))
    words = Parsed(table).text
    assert words.index("moss") < words.index("cat") < words.index("sky")
    assert "72.7" in words and "25.0" in words and "\N{EN DASH}" in words


def test_the_worst_mistake_is_the_pair_that_loses_most_pixels():
    assert worst_mistake(scores()) == (
        'Its most common mistake is to call “<grass> & "moss"” “cat”: 64% of the pixels of '
        '“<grass> & "moss"”.'
    )
    right = Scores(NAMES, np.diag([4, 14, 40]), np.array([3, 2, 5]), 7)
    assert worst_mistake(right) == ""


def test_always_saying_the_commonest_name_scores_what_counting_says():
    truth = scores().counts.sum(axis=1)
    always = np.zeros((3, 3), dtype=np.int64)
    always[:, 2] = truth
    constant = Scores(NAMES, always, np.array([3, 2, 5]), 7)
    assert commonest(scores()) == pytest.approx(("sky", constant.miou, constant.accuracy))


def test_a_page_knows_who_wrote_it(tmp_path):
    document = whole_page(tmp_path)
    assert written_by(document, "a test") and not written_by(document, "a tes")
