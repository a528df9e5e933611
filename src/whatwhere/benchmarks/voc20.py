"""PASCAL VOC 2012 without its background: which thing it is, when it is known to be one."""

from dataclasses import replace

from whatwhere.benchmarks import voc
from whatwhere.benchmarks.photos import Photos


def load(root: str, split: str = "val") -> Photos:
    """As `voc`, with pixels of the background left out and 20 classes (ids one less)."""
    benchmark = voc.load(root, split)
    return replace(
        benchmark,
        name="voc20",
        classes=benchmark.classes[1:],
        names=benchmark.names[1:],
        ids=benchmark.ids[1:],
        void=(0, *benchmark.void),
        background=None,
    )
