"""PASCAL VOC 2012 without its background: which thing it is, when it is known to be one."""

from whatwhere.benchmarks import voc
from whatwhere.benchmarks.photos import Photos, without_background


def load(root: str, split: str = "val") -> Photos:
    """As `voc`, with pixels of the background left out and 20 classes (ids one less)."""
    return without_background(voc.load(root, split), name="voc20")
