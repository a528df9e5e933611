"""An article about a photo: what was found, what was not there, what stayed grey, whose it is."""

import numpy as np
import pytest
from PIL import Image

from whatwhere.report.photos import Asked, article
from whatwhere.segmenter.segmentation import Segmentation


def found(names=("background", "cat", "dog", "car", "spoon")):
    """Background on half, cat on 0.4, dog on 0.1 of 20 by 10 pixels; nothing of the others."""
    labels = np.zeros((10, 20), dtype=np.int64)
    labels[:, 10:18], labels[:, 18:] = 1, 2
    sure = np.full(labels.shape, 0.25, dtype=np.float32)
    return Segmentation(labels, sure, names, Image.new("RGB", (20, 10), "white"))


def test_what_is_wrong_missed_and_grey_is_told(tmp_path):
    asked = Asked("a", "A cat", found(), 0.5, frozenset({"dog", "car"}), "me, CC0", "https://a.b/c")
    assert asked.names == ("cat", "dog", "car", "spoon") and asked.seen == ("cat", "dog")
    page = article(asked, folder=tmp_path / "photos")
    assert page.count("not there</b>") == 1
    assert page.index("dog <span>10%</span>") < page.index("not there</b>")
    assert "cat <span>40%</span></li>" in page and "none of these <span>50%</span>" in page
    assert "Missed: spoon · Not there, and not found: car" in page
    assert "Confidence, 25% on average" in page and "0.50 s" in page
    assert '<a href="https://a.b/c">me, CC0</a>' in page
    files = {file.name for file in (tmp_path / "photos").iterdir()}
    assert files == {"a.jpg", "a-found.jpg", "a-confidence.jpg"}


def test_of_a_photo_that_nobody_described_nothing_is_called_wrong(tmp_path):
    page = article(Asked("a", "a.jpg", found(), 0.5), folder=tmp_path)
    assert (
        "not there" not in page and "Missed" not in page and "Photo: " not in page.split("/p")[-1]
    )
    assert "Asked for and not found: car, spoon" in page


@pytest.mark.parametrize("text", ["<b>cat</b>", 'a "cat" & dog'])
def test_names_and_titles_are_text(tmp_path, text):
    named = found(("background", text, "dog", "car", "spoon"))
    page = article(Asked("a", text, named, 0.5, frozenset(), text), folder=tmp_path)
    assert text not in page


def test_a_large_photo_is_shown_smaller(tmp_path):
    labels = np.zeros((100, 2000), dtype=np.int64)
    sure = np.ones(labels.shape, dtype=np.float32)
    wide = Segmentation(labels, sure, ("cat",), Image.new("RGB", (2000, 100)))
    assert 'width="1280" height="64"' in article(Asked("a", "wide", wide, 0.5), folder=tmp_path)
