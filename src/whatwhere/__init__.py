"""Learn what is where from pictures and their captions, and find it in new pictures."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from whatwhere.runs.loading import load as load

__all__ = ["__version__", "load"]


def __getattr__(name: str):
    """`load` brings torch with it, so it is imported when it is first asked for."""
    if name == "load":
        from whatwhere.runs.loading import load

        return load
    raise AttributeError(f"module 'whatwhere' has no attribute {name!r}")
