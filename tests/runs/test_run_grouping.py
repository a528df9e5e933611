"""Photos to groups: sizes, enlarging, encoders alone and models, what cannot be."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

from runs.small import small
from whatwhere.benchmarks.photos import Photos
from whatwhere.benchmarks.segments import jaccard
from whatwhere.encoders.conv import Conv
from whatwhere.encoders.tower import ImageTower
from whatwhere.grouping.kmeans import Kmeans
from whatwhere.records import Sizes
from whatwhere.runs.evaluating import measure
from whatwhere.runs.grouping import (
    BottomUp,
    Grouper,
    beside,
    enlarged,
    find_how,
    of_model,
    open_grouper,
)
from whatwhere.runs.loading import build
from whatwhere.segmenter import Segmenter
from whatwhere.segmenter.reading import Background, Reading

CONV = "whatwhere.encoders.conv:Conv"


def colours(seen=None, patch=4, any_size=True):
    """Groups by mean colour, red, green and blue apart."""

    def look(images):
        if seen is not None:
            seen.append(tuple(images.shape[2:]))
        return torch.nn.functional.avg_pool2d(images, patch).permute(0, 2, 3, 1)

    settings = BottomUp(Kmeans(3), side=0)
    grey = (0.5, 0.5, 0.5)
    encoder = ImageTower(
        torch.nn.Identity(),
        mean=grey,
        std=grey,
        patch=patch,
        size=32,
        width=3,
        frozen=False,
        any_size=any_size,
    )
    return lambda **more: Grouper(
        look, replace(settings, **more), encoder=encoder, device=torch.device("cpu")
    )


def painting(height=24, width=40):
    """Red above, green below on the left, blue below on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, :, 0] = 255
    pixels[height // 2 :, : width // 2, 1] = 255
    pixels[height // 2 :, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


def test_a_photo_falls_into_its_parts_at_its_own_size():
    found = colours()()(painting())
    parts = np.asarray(painting()).argmax(axis=2)
    assert found.labels.shape == (24, 40)
    pairs = {(int(a), int(b)) for a, b in zip(found.labels.flat, parts.flat, strict=True)}
    assert len(pairs) == 3
    assert found.names == ("group 1", "group 2", "group 3")
    assert sorted(found.shares().values()) == [0.25, 0.25, 0.5]


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"side": 0}, (24, 40)),
        ({"side": 12}, (12, 20)),
        ({"side": 14}, (16, 24)),
        ({"side": 1}, (4, 4)),
        ({"side": 24, "long": 20}, (12, 20)),
        ({"side": 30, "shape": "square"}, (32, 32)),
        ({"side": 0, "shape": "square"}, (24, 24)),
    ],
)
def test_a_photo_is_seen_whole_at_sides_that_divide_into_patches(settings, size):
    seen = []
    found = colours(seen)(**settings)(painting())
    assert seen == [size] and found.labels.shape == (24, 40)


def test_a_pixel_takes_the_group_of_the_patch_that_its_middle_lies_in():
    groups = np.arange(6).reshape(2, 3)
    found = enlarged(groups, size=(5, 7))
    for i in range(5):
        for j in range(7):
            assert found[i, j] == groups[int((i + 0.5) / 5 * 2), int((j + 0.5) / 7 * 3)]
    assert np.array_equal(enlarged(groups, size=(2, 3)), groups)


def test_the_groups_are_drawn_beside_the_photo():
    photo = painting(96, 160)
    picture = beside(colours()()(photo))
    assert picture.width > 2 * photo.width and picture.height > photo.height
    assert np.array_equal(np.asarray(picture)[:96, :160], np.asarray(photo))


def test_an_encoder_of_one_size_is_shown_squares_of_it_unasked():
    seen = []
    group = colours(seen, any_size=False)(side=448)
    assert group(painting()).labels.shape == (24, 40)
    assert seen == [(32, 32)]
    assert (group.settings.side, group.settings.shape) == (32, "square")  # as results tell it


def test_an_encoder_alone_needs_no_words():
    torch.manual_seed(0)
    group = open_grouper(
        encoder=CONV, how="kmeans", overrides=["how.num_groups=3", "width=16", "side=32"]
    )
    found = group(painting())
    assert found.labels.shape == (24, 40) and 1 < len(np.unique(found.labels)) <= 3
    torch.manual_seed(0)
    tower = Conv(width=16).build(Sizes()).eval()
    own = Grouper(
        lambda images: tower(images).patches,
        BottomUp(Kmeans(3), side=32),
        encoder=tower,
        device=torch.device("cpu"),
    )
    assert np.array_equal(own(painting()).labels, found.labels)


def test_a_model_is_grouped_where_its_head_puts_patches():
    recipe = small("head=whatwhere.heads.linear:Linear")
    segment = Segmenter(build(recipe).model)
    seen = []

    @dataclass(frozen=True)
    class Watch:
        num_groups: int = 2

        def __call__(self, patches):
            seen.append(patches)
            return torch.zeros(len(patches), dtype=torch.long)

    of_model(segment, BottomUp(Watch(), side=16))(painting(16, 32))
    model = segment.model
    pixels = torch.from_numpy(np.asarray(painting(16, 32)).copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        expected = model.head(model.image_encoder(pixels)).patches
    torch.testing.assert_close(seen[0], expected.flatten(0, 2))


def test_a_benchmark_of_classes_is_scored_by_groups_when_asked(tmp_path):
    painting().save(tmp_path / "a.png")
    Image.fromarray(np.asarray(painting()).argmax(axis=2).astype(np.uint8)).save(tmp_path / "m.png")
    benchmark = Photos(
        "paint",
        (("a", tmp_path / "a.png", tmp_path / "m.png"),),
        classes=("red", "green", "blue"),
        names=(("red",), ("green",), ("blue",)),
        ids=(0, 1, 2),
        void=(255,),
    )
    assert jaccard(lambda picture: colours()()(picture).labels, benchmark).mean == 1
    segment = Segmenter(build(small()).model, Reading(side=24))
    found = measure(segment, benchmark, how=Kmeans(5))
    assert 0 < found.as_json()["jaccard"] <= 100
    assert found.how == {
        "how": "Kmeans",
        "num_groups": 5,
        "distance": "cosine",
        "side": 24,
        "long": 2048,
        "shape": "kept",
    }
    with pytest.raises(ValueError, match="leave --background and --sweep out"):
        measure(segment, benchmark, how=Kmeans(), background=Background())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": "runs/a", "encoder": CONV}, "give either a model, --model DIR, or an image"),
        ({"encoder": CONV, "how": "kmean"}, "did you mean kmeans"),
        ({"encoder": CONV, "overrides": ["sid=3"]}, "did you mean side"),
        ({"encoder": "whatwhere.encoders.clip_text:ClipText"}, "is no image encoder"),
        ({"encoder": "conv"}, "takes module:Class"),
        ({"model": "nowhere"}, "no model at nowhere"),
        ({"model": "nowhere", "overrides": [f"image={CONV}"]}, "has its own image encoder"),
        ({"encoder": CONV, "overrides": ["side=-3"]}, "side is -3"),
    ],
)
def test_what_cannot_be_is_said(given, said):
    with pytest.raises(ValueError, match=said):
        open_grouper(**given)


def test_a_grouping_from_outside_is_named_by_its_class():
    assert find_how("whatwhere.grouping.kmeans:Kmeans", ["how.num_groups=3"]) == Kmeans(3)
