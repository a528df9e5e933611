"""What a step frees stays at hand for the next one."""

import ctypes
import sys

MMAP_MAX, TRIM_THRESHOLD = -4, -1  # malloc.h of the GNU C library


def keep_freed() -> None:
    """From now on this process keeps memory that it frees; nothing where malloc has no such way.

    The GNU C library gives large tensors back to the system at once, which hands the same memory
    out again page by page, each cleared first. On a CPU that is a fifth to a half of the
    time of a training step (`benchmarks/freed_memory.py`).
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)
