"""Captions in English."""

NOUNS = {
    "house": ("house", "houses"),
    "tree": ("tree", "trees"),
    "car": ("car", "cars"),
    "boat": ("boat", "boats"),
    "fish": ("fish", "fish"),
    "bird": ("bird", "birds"),
    "sun": ("sun", "suns"),
    "moon": ("moon", "moons"),
    "ball": ("ball", "balls"),
    "flower": ("flower", "flowers"),
    "cat": ("cat", "cats"),
    "sheep": ("sheep", "sheep"),
    "mushroom": ("mushroom", "mushrooms"),
    "cactus": ("cactus", "cacti"),
    "balloon": ("balloon", "balloons"),
    "snowman": ("snowman", "snowmen"),
    "kite": ("kite", "kites"),
    "umbrella": ("umbrella", "umbrellas"),
    "clock": ("clock", "clocks"),
    "penguin": ("penguin", "penguins"),
    "butterfly": ("butterfly", "butterflies"),
    "chair": ("chair", "chairs"),
    "sky": ("sky", "skies"),
    "grass": ("grass", "grasses"),
    "water": ("water", "waters"),
    "sand": ("sand", "sands"),
    "snow": ("snow", "snows"),
    "road": ("road", "roads"),
    "wall": ("wall", "walls"),
    "floor": ("floor", "floors"),
}
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")
INTROS = ("", "", "", "a picture of", "a scene with", "we see", "one can see")
AND, IS = "and", "is"
PLACES = {
    "sky": ("in",),
    "grass": ("on", "in"),
    "water": ("in",),
    "sand": ("on",),
    "snow": ("in", "on"),
    "road": ("on",),
    "wall": ("on",),
    "floor": ("on",),
}
ASIDES = {
    "sky": ("under",),
    "grass": ("near", "by"),
    "water": ("near", "by"),
    "sand": ("near",),
    "snow": ("near",),
    "road": ("near", "by"),
    "wall": ("in front of",),
    "floor": ("near",),
}
RELATIONS = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above",),
    "below": ("below",),
    "front": ("in front of",),
    "behind": ("behind",),
    "near": ("next to", "beside"),
}


def some(name: str, *, count: int, attributes: tuple[str, ...], after: str) -> tuple[str, str]:
    """ "a small red ball", "two balls"."""
    words = " ".join((*attributes, NOUNS[name][count > 1]))
    article = NUMBERS[count - 2] if count > 1 else "an" if words[0] in "aeiou" else "a"
    return _lead(after), f"{article} {words}"


def the(name: str, *, attributes: tuple[str, ...], after: str) -> tuple[str, str]:
    """ "the blue sky"."""
    return _lead(after), " ".join(("the", *attributes, NOUNS[name][0]))


def predicate(name: str, attributes: tuple[str, ...]) -> list[str]:
    return list(attributes)


def _lead(after: str) -> str:
    return f"{after} " if after else ""
