"""The photographs of the demo: where they lie, whose they are, and what is asked of them.

They come with packages that are installed anyway, whose files are read without importing them. The
names were written down by looking at the photos, before any model saw them.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One photograph.

    shows    names of what can be seen in it
    others   names that are asked for as well, of what is not there
    """

    key: str
    title: str
    shows: tuple[str, ...]
    others: tuple[str, ...]
    package: str
    file: str  # within the folder of the installed packages
    author: str
    licence: str
    source: str


SAMPLES = (
    Sample(
        "cat",
        "A cat",
        shows=("cat",),
        others=("dog", "grass", "car"),
        package="scikit-image",
        file="skimage/data/chelsea.png",
        author="Stefan van der Walt",
        licence="CC0",
        source="https://scikit-image.org/docs/stable/api/skimage.data.html",
    ),
    Sample(
        "pagoda",
        "A pagoda above a lake",
        shows=("building|pagoda|temple", "sky", "tree|trees", "water|lake"),
        others=("dog", "snow", "car"),
        package="scikit-learn",
        file="sklearn/datasets/images/china.jpg",
        author="danielbuechele",
        licence="CC BY 2.0 (creativecommons.org/licenses/by/2.0)",
        source="https://www.flickr.com/photos/danielbuechele/6061409035",
    ),
    Sample(
        "astronaut",
        "An astronaut",
        shows=("woman|person", "flag", "helmet"),
        others=("dog", "water", "tree|trees"),
        package="scikit-image",
        file="skimage/data/astronaut.png",
        author="NASA",
        licence="public domain",
        source="https://flic.kr/p/r9qvLn",
    ),
    Sample(
        "flower",
        "A dahlia",
        shows=("flower", "leaf|leaves"),
        others=("bird", "person", "snow"),
        package="scikit-learn",
        file="sklearn/datasets/images/flower.jpg",
        author="vultilion",
        licence="CC BY 2.0 (creativecommons.org/licenses/by/2.0)",
        source="https://www.flickr.com/photos/vultilion/6056698931",
    ),
    Sample(
        "coffee",
        "A cup of coffee",
        shows=("cup", "saucer|plate", "table", "spoon"),
        others=("cat", "flower", "sky"),
        package="scikit-image",
        file="skimage/data/coffee.png",
        author="Rachel Michetti",
        licence="CC0",
        source="https://scikit-image.org/docs/stable/api/skimage.data.html",
    ),
    Sample(
        "rocket",
        "A rocket before its launch",
        shows=("rocket", "sky", "tower"),
        others=("boat", "tree|trees", "person"),
        package="scikit-image",
        file="skimage/data/rocket.jpg",
        author="SpaceX",
        licence="public domain",
        source="https://www.flickr.com/photos/spacexphotos/16511594820",
    ),
)


def find(sample: Sample) -> Path:
    """Its file, inside the package that it comes with."""
    module, _, inside = sample.file.partition("/")
    spec = importlib.util.find_spec(module)
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    for folder in folders:
        if (path := Path(folder) / inside).is_file():
            return path
    raise ValueError(
        f"the demo's photo {sample.key!r} is missing: no {sample.file} is installed; pip install "
        f"--force-reinstall {sample.package}, or show photos of your own: --photos FILE --names "
        '"dog, grass"'
    )
