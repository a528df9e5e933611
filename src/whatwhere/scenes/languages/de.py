"""Captions in German: three genders, three cases, adjectives that follow both."""

NOUNS = {  # one, many, gender
    "house": ("Haus", "Häuser", "n"),
    "tree": ("Baum", "Bäume", "m"),
    "car": ("Auto", "Autos", "n"),
    "boat": ("Boot", "Boote", "n"),
    "fish": ("Fisch", "Fische", "m"),
    "bird": ("Vogel", "Vögel", "m"),
    "sun": ("Sonne", "Sonnen", "f"),
    "moon": ("Mond", "Monde", "m"),
    "ball": ("Ball", "Bälle", "m"),
    "flower": ("Blume", "Blumen", "f"),
    "cat": ("Katze", "Katzen", "f"),
    "sheep": ("Schaf", "Schafe", "n"),
    "mushroom": ("Pilz", "Pilze", "m"),
    "cactus": ("Kaktus", "Kakteen", "m"),
    "balloon": ("Ballon", "Ballons", "m"),
    "snowman": ("Schneemann", "Schneemänner", "m"),
    "kite": ("Drachen", "Drachen", "m"),
    "umbrella": ("Schirm", "Schirme", "m"),
    "clock": ("Uhr", "Uhren", "f"),
    "penguin": ("Pinguin", "Pinguine", "m"),
    "butterfly": ("Schmetterling", "Schmetterlinge", "m"),
    "chair": ("Stuhl", "Stühle", "m"),
    "sky": ("Himmel", "Himmel", "m"),
    "grass": ("Gras", "Gräser", "n"),
    "water": ("Wasser", "Wasser", "n"),
    "sand": ("Sand", "Sande", "m"),
    "snow": ("Schnee", "Schnee", "m"),
    "road": ("Straße", "Straßen", "f"),
    "wall": ("Mauer", "Mauern", "f"),
    "floor": ("Boden", "Böden", "m"),
}
ADJECTIVES = {
    "small": "klein",
    "big": "groß",
    "striped": "gestreift",
    "spotted": "gepunktet",
    "red": "rot",
    "orange": "orangefarben",
    "yellow": "gelb",
    "green": "grün",
    "blue": "blau",
    "purple": "violett",
    "pink": "rosafarben",
    "brown": "braun",
    "black": "schwarz",
    "white": "weiß",
    "gray": "grau",
}
NUMBERS = ("zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
INTROS = ("", "", "", "ein Bild von", "eine Szene mit", "man sieht", "wir sehen")
AND, IS = "und", "ist"
PLACES = {
    "sky": ("an",),
    "grass": ("auf", "in"),
    "water": ("in",),
    "sand": ("auf", "in"),
    "snow": ("in",),
    "road": ("auf",),
    "wall": ("an",),
    "floor": ("auf",),
}
ASIDES = {
    "sky": ("unter",),
    "grass": ("neben", "bei"),
    "water": ("neben", "bei"),
    "sand": ("neben",),
    "snow": ("neben",),
    "road": ("neben", "bei"),
    "wall": ("vor",),
    "floor": ("neben",),
}
RELATIONS = {
    "left": ("links von", "links neben"),
    "right": ("rechts von", "rechts neben"),
    "above": ("über", "oberhalb von"),
    "below": ("unter", "unterhalb von"),
    "front": ("vor",),
    "behind": ("hinter",),
    "near": ("neben",),
}
_ACCUSATIVE = ("man sieht", "wir sehen")
_ARTICLES = {"nominative": "der die das", "accusative": "den die das", "dative": "dem der dem"}
_A = {"nominative": "ein eine ein", "accusative": "einen eine ein", "dative": "einem einer einem"}
_AFTER_A = {"nominative": "er e es", "accusative": "en e es", "dative": "en en en"}
_AFTER_THE = {"nominative": "e e e", "accusative": "en e e", "dative": "en en en"}
_MELTS = {"in dem": "im", "an dem": "am", "von dem": "vom", "bei dem": "beim"}


def some(name: str, *, count: int, attributes: tuple[str, ...], after: str) -> tuple[str, str]:
    """ "ein kleiner roter Ball", "von zwei Bällen": `after` decides the case."""
    one, many, gender = NOUNS[name]
    case = _case(after)
    if count > 1:
        noun = many + "n" if case == "dative" and many[-1] not in "ns" else many
        ending = "en" if case == "dative" else "e"
        return _lead(after), " ".join((NUMBERS[count - 2], *_inflected(attributes, ending), noun))
    ending = _of(_AFTER_A, case, gender)
    return _lead(after), " ".join((_of(_A, case, gender), *_inflected(attributes, ending), one))


def the(name: str, *, attributes: tuple[str, ...], after: str) -> tuple[str, str]:
    """ "der blaue Himmel", "im Wasser"."""
    case, (noun, _, gender) = _case(after), NOUNS[name]
    article = _of(_ARTICLES, case, gender)
    words = " ".join((*_inflected(attributes, _of(_AFTER_THE, case, gender)), noun))
    start, _, last = after.rpartition(" ")
    melted = _MELTS.get(f"{last} {article}")
    if melted is None:
        return _lead(after), f"{article} {words}"
    return _lead(f"{start} {melted}".strip()), words


def predicate(name: str, attributes: tuple[str, ...]) -> list[str]:
    return [ADJECTIVES[a] for a in attributes]


def _case(after: str) -> str:
    if not after:
        return "nominative"
    return "accusative" if after in _ACCUSATIVE else "dative"


def _of(table: dict[str, str], case: str, gender: str) -> str:
    return table[case].split()["mfn".index(gender)]


def _inflected(attributes: tuple[str, ...], ending: str) -> list[str]:
    return [ADJECTIVES[a] + ending for a in attributes]


def _lead(after: str) -> str:
    return f"{after} " if after else ""
