"""Principal components against singular vectors and a slow loop; every reading of the paper."""

from itertools import product
from math import sqrt

import pytest
import torch

from whatwhere.grouping.principal import Principal, centre, components


def read(num_groups, vectors, centred, cosine):
    return Principal(num_groups, vectors, centred, cosine)


READINGS = list(
    product(("raw", "unit"), ("both", "components", "patches", "neither"), ("signed", "absolute"))
)


def some(rows=23, width=9):
    torch.manual_seed(0)
    return torch.randn(rows, width) * torch.arange(1, width + 1) + 2


def test_few_wide_patches_fall_into_groups_as_many_narrow_ones_do():
    padded = torch.cat([some(), torch.zeros(23, 40)], dim=1)
    assert torch.equal(Principal(5)(padded), Principal(5)(some()))


def slowly(patches, settings):
    """By singular vectors in double precision and one cosine at a time."""
    rows = [row / row.norm() if settings.vectors == "unit" else row for row in patches.double()]
    mean = sum(rows) / len(rows)
    around = [row - mean for row in rows]
    axes = torch.linalg.svd(
        torch.stack(around if settings.centred in ("both", "components") else rows)
    ).Vh
    found = []
    for row in around if settings.centred in ("both", "patches") else rows:
        cosines = []
        for axis in axes[: settings.num_groups]:
            sign = 1 if max(axis.tolist(), key=abs) > 0 else -1
            cosine = sign * float(row @ axis) / float(row.norm())
            cosines.append(abs(cosine) if settings.cosine == "absolute" else cosine)
        found.append(cosines.index(max(cosines)))
    return found


@pytest.mark.parametrize("reading", READINGS, ids=" ".join)
def test_agrees_with_a_slow_loop(reading):
    settings = read(5, *reading)
    assert settings(some()).tolist() == slowly(some(), settings)


def test_every_reading_is_another_grouping():
    found = {tuple(read(5, *reading)(some()).tolist()) for reading in READINGS}
    assert len(found) == len(READINGS)


def test_two_axes_by_hand():
    """Two directions of spread, the first wider: each side of an axis, signed and not."""
    patches = torch.tensor([[4.0, 0.0, 0.0], [-4.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    axes, squares = components(patches, count=2)
    torch.testing.assert_close(axes, torch.eye(3)[:2])
    torch.testing.assert_close(squares, torch.tensor([32.0, 2.0]))
    assert Principal(2, cosine="absolute")(patches).tolist() == [0, 0, 1, 1]
    assert Principal(2)(patches).tolist() == [0, 1, 1, 0]


def test_the_largest_coordinate_of_a_component_is_positive():
    axes, _ = components(some(), count=9)
    assert (axes.gather(1, axes.abs().argmax(dim=1)[:, None]) > 0).all()
    torch.testing.assert_close(axes @ axes.T, torch.eye(9), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("rows", "width"), [(23, 9), (9, 23)])
def test_components_are_singular_vectors_whether_patches_are_many_or_wide(rows, width):
    patches = some(rows, width)
    axes, squares = components(patches, count=5)
    _, values, expected = torch.linalg.svd(patches.double())
    torch.testing.assert_close(squares.double(), values[:5].square(), rtol=1e-4, atol=0)
    assert (axes.double() * expected[:5]).sum(dim=1).abs().min() > 1 - 1e-5


def test_mirrored_patches_have_the_same_components():
    torch.testing.assert_close(components(some(), count=4), components(-some(), count=4))


def test_an_axis_along_which_there_is_nothing_is_zero():
    for more in (0, 2):  # two patches, then four, of three numbers
        patches = torch.tensor([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], *[[0.0, 0.0, 0.0]] * more])
        axes, squares = components(patches, count=3)
        torch.testing.assert_close(axes[0], torch.tensor([1, 1, 0]) / sqrt(2))
        torch.testing.assert_close(squares[:2], torch.tensor([10.0, 0]))
        assert not axes[1:].any() and len(axes) == 2 + more // 2


def test_equal_patches_are_exactly_zero_once_centred():
    assert not centre(torch.full((1001, 3), 0.1)).any()
