"""Turns a name into the captions that a text encoder was trained to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

from whatwhere.concepts.names import word_set
from whatwhere.concepts.nouns import is_plural

HOW = ("name", "photo", "article", "sentence", "seven", "imagenet")

# Stuff that takes no "a". Only common words: a wrong article costs little.
MASS = word_set(
    """
    air asphalt bread broccoli carpet cement cheese chocolate clothing coffee concrete dirt fabric
    fog food fruit furniture glass gold grass gravel hair ice jewelry lettuce luggage meat metal
    milk mud paper pasta pavement plastic rain rice rubble sand seaweed silver smoke snow soil steel
    stone straw sugar tea traffic vegetation water wheat wine wood wool
    """
)
VOWELS = tuple("aeiou")
AN_BEFORE = ("hour", "heir", "honest", "honor", "honour", "x-ray", "suv", "mp3")
A_BEFORE = ("uni", "one", "once", "use", "usu", "util", "uten", "euro", "ewe", "ufo", "uku", "ura")


@dataclass(frozen=True)
class Prompts:
    """Called with a name: its captions, whose embeddings are averaged.

    "name": the bare name; "photo": one caption with the article that the name takes;
    "article": one in lower case with "a", or "an" before a, e, i, o and u, whatever the name ("a
    photo of a grass"), as the evaluator released with CLIPpy (arXiv 2210.09996) writes it;
    "sentence": "a photo of a ___." whatever the name, as GroupViT (arXiv 2202.11094) reads masks;
    "seven" and "imagenet": the 7 and 80 templates published with CLIP (arXiv 2103.00020), word for
    word from open_clip, articles included, so that published numbers can be repeated.

    >>> [Prompts("photo")(name)[0] for name in ("dog", "umbrella", "grass", "stairs")]
    ['a photo of a dog', 'a photo of an umbrella', 'a photo of grass', 'a photo of stairs']
    """

    how: str = "photo"

    def __post_init__(self):
        if self.how not in HOW:
            raise ValueError(f"no prompts are called {self.how!r}; take one of {', '.join(HOW)}")

    def __call__(self, name: str) -> list[str]:
        if self.how == "name":
            return [name]
        if self.how == "photo":
            return [f"a photo of {with_article(name)}"]
        if self.how == "article":
            lower = name.lower()
            return [f"a photo of {'an' if lower.startswith(VOWELS) else 'a'} {lower}"]
        if self.how == "sentence":
            return [f"a photo of a {name}."]
        return [template(name) for template in clip_templates(self.how)]

    @property
    def frames(self) -> list[str]:
        """The captions without the name: what stands around names, "a" as well as "an".

        >>> Prompts("sentence").frames[0], Prompts("photo").frames
        ('a photo of a .', ['a photo of a', 'a photo of an'])
        """
        names = ("wolf", "owl")
        return [text.replace(name, "").strip() for name in names for text in self(name)]


def with_article(name: str) -> str:
    """`a dog`, `an umbrella`, but `grass`, `people`, `stairs`."""
    lower = name.lower()
    if lower.split()[-1] in MASS or is_plural(lower):
        return name
    if lower.startswith(AN_BEFORE):
        return f"an {name}"
    vowel = lower.startswith(VOWELS) and not lower.startswith(A_BEFORE)
    return f"an {name}" if vowel else f"a {name}"


@cache
def clip_templates(how: str) -> tuple[Callable[[str], str], ...]:
    """CLIP's own templates, from the one file of open_clip that holds them.

    The file is run by itself: importing open_clip would import torch and timm for a list of texts.
    """
    package = find_spec("open_clip")
    if package is None or not package.submodule_search_locations:
        raise ImportError(f"the {how!r} prompts need open_clip: pip install open_clip_torch")
    path = Path(package.submodule_search_locations[0]) / "zero_shot_metadata.py"
    spec = spec_from_file_location("open_clip_templates", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    named = {"seven": "SIMPLE_IMAGENET_TEMPLATES", "imagenet": "OPENAI_IMAGENET_TEMPLATES"}
    return tuple(getattr(module, named[how]))
