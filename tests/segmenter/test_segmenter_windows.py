"""Windows cover every pixel, stay inside, and put scores back where they came from."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whatwhere.segmenter.windows import Window, windows

lengths = st.integers(1, 70)


@settings(max_examples=30, deadline=None)
@given(lengths, lengths, st.integers(9, 30), st.data())
def test_every_pixel_is_seen_and_no_window_leaves_the_picture(height, width, window, data):
    stride = data.draw(st.integers(5, window))
    hits = torch.zeros(height, width)
    for w in windows((height, width), window=window, stride=stride):
        assert (w.height, w.width) == (min(window, height), min(window, width))
        assert 0 <= w.top <= height - w.height and 0 <= w.left <= width - w.width
        w.add(torch.zeros(1, 1, 1), torch.zeros(1, height, width), hits)
    assert hits.min() >= 1


@given(lengths, lengths)
def test_without_a_window_the_picture_is_seen_whole(height, width):
    assert windows((height, width), window=0, stride=5) == [Window(0, 0, height, width)]


def test_the_last_window_of_a_row_is_moved_back_inside():
    tops = [w.top for w in windows((101, 56), window=56, stride=28)]
    assert tops == [0, 28, 45]


@pytest.mark.parametrize("stride", [0, 57])
def test_strides_that_leave_gaps_are_refused(stride):
    with pytest.raises(ValueError, match=r"use 1\.\.56"):
        windows((80, 90), window=56, stride=stride)


def test_a_window_whose_sides_fit_is_cut_without_a_change():
    picture = torch.randn(3, 20, 31)
    cut = Window(5, 9, 8, 16).cut(picture, multiple=4)
    assert torch.equal(cut, picture[:, 5:13, 9:25])


@pytest.mark.parametrize(
    ("size", "resized"), [((9, 18), (8, 16)), ((1, 30), (4, 32)), ((11, 2), (12, 4))]
)
def test_other_windows_are_resized_to_the_nearest_sides_that_fit(size, resized):
    picture = torch.rand(3, 20, 31)
    cut = Window(1, 0, *size).cut(picture, multiple=4)
    inside = picture[:, 1 : 1 + size[0], : size[1]]
    assert cut.shape[1:] == resized
    assert cut.min() >= 0 and cut.max() <= 1
    assert cut.mean().item() == pytest.approx(inside.mean().item(), abs=0.05)


def test_scores_land_under_their_window_and_add_up():
    canvas, hits = torch.zeros(2, 7, 9), torch.zeros(7, 9)
    scores = torch.tensor([1.0, -2.0])[:, None, None].expand(2, 2, 3)
    for window in (Window(1, 2, 4, 6), Window(3, 0, 4, 6)):
        window.add(scores, canvas, hits)
    expected = torch.zeros(7, 9)
    expected[1:5, 2:8] += 1
    expected[3:7, 0:6] += 1
    assert torch.equal(hits, expected)
    torch.testing.assert_close(canvas, torch.stack([expected, -2 * expected]))
