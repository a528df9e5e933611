"""PASCAL Context without its background: which of the 59 it is, where it is one of them."""

from whatwhere.benchmarks import context
from whatwhere.benchmarks.photos import Photos, without_background


def load(root: str, split: str = "val") -> Photos:
    """As `context`, with pixels of the background left out and 59 classes (ids one less)."""
    return without_background(context.load(root, split), name="context59")
