"""Captions in French: two genders, adjectives on both sides, articles that melt into "de"."""

NOUNS = {  # one, many, gender
    "house": ("maison", "maisons", "f"),
    "tree": ("arbre", "arbres", "m"),
    "car": ("voiture", "voitures", "f"),
    "boat": ("bateau", "bateaux", "m"),
    "fish": ("poisson", "poissons", "m"),
    "bird": ("oiseau", "oiseaux", "m"),
    "sun": ("soleil", "soleils", "m"),
    "moon": ("lune", "lunes", "f"),
    "ball": ("ballon", "ballons", "m"),
    "flower": ("fleur", "fleurs", "f"),
    "cat": ("chat", "chats", "m"),
    "sheep": ("mouton", "moutons", "m"),
    "mushroom": ("champignon", "champignons", "m"),
    "cactus": ("cactus", "cactus", "m"),
    "balloon": ("montgolfière", "montgolfières", "f"),
    "snowman": ("bonhomme de neige", "bonshommes de neige", "m"),
    "kite": ("cerf-volant", "cerfs-volants", "m"),
    "umbrella": ("parasol", "parasols", "m"),
    "clock": ("horloge", "horloges", "f"),
    "penguin": ("manchot", "manchots", "m"),
    "butterfly": ("papillon", "papillons", "m"),
    "chair": ("chaise", "chaises", "f"),
    "sky": ("ciel", "ciels", "m"),
    "grass": ("herbe", "herbes", "f"),
    "water": ("eau", "eaux", "f"),
    "sand": ("sable", "sables", "m"),
    "snow": ("neige", "neiges", "f"),
    "road": ("route", "routes", "f"),
    "wall": ("mur", "murs", "m"),
    "floor": ("plancher", "planchers", "m"),
}
BEFORE = {"small": "petit petite petits petites", "big": "grand grande grands grandes"}
AFTER = {  # m, f, several m, several f; one form only where the word never changes
    "red": "rouge rouge rouges rouges",
    "orange": "orange",
    "yellow": "jaune jaune jaunes jaunes",
    "green": "vert verte verts vertes",
    "blue": "bleu bleue bleus bleues",
    "purple": "violet violette violets violettes",
    "pink": "rose rose roses roses",
    "brown": "marron",
    "black": "noir noire noirs noires",
    "white": "blanc blanche blancs blanches",
    "gray": "gris grise gris grises",
}
PATTERNS = {"striped": "à rayures", "spotted": "à pois"}
NUMBERS = ("deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf")
INTROS = ("", "", "", "une image de", "une scène avec", "on voit", "voici")
AND, IS = "et", "est"
PLACES = {
    "sky": ("dans",),
    "grass": ("sur", "dans"),
    "water": ("dans",),
    "sand": ("sur",),
    "snow": ("dans",),
    "road": ("sur",),
    "wall": ("sur",),
    "floor": ("sur",),
}
ASIDES = {
    "sky": ("sous",),
    "grass": ("près de",),
    "water": ("près de", "à côté de"),
    "sand": ("près de",),
    "snow": ("près de",),
    "road": ("près de", "à côté de"),
    "wall": ("devant",),
    "floor": ("près de",),
}
RELATIONS = {
    "left": ("à gauche de",),
    "right": ("à droite de",),
    "above": ("au-dessus de",),
    "below": ("au-dessous de",),
    "front": ("devant",),
    "behind": ("derrière",),
    "near": ("à côté de", "près de"),
}


def some(name: str, *, count: int, attributes: tuple[str, ...], after: str) -> tuple[str, str]:
    """ "un petit ballon rouge", "d'un ballon", "deux ballons"."""
    if count > 1:
        words = (NUMBERS[count - 2], _described(name, attributes, many=True))
        return _lead(after), " ".join(words)
    article = "un" if NOUNS[name][2] == "m" else "une"
    lead = after.removesuffix("de") + "d'" if _ends_in_de(after) else _lead(after)
    return lead, f"{article} {_described(name, attributes, many=False)}"


def the(name: str, *, attributes: tuple[str, ...], after: str) -> tuple[str, str]:
    """ "le ciel bleu", "l'herbe", "à gauche du ballon"."""
    words = _described(name, attributes, many=False)
    if words[0] in "aeiouh":  # every h here is mute
        return _lead(after), f"l'{words}"
    if NOUNS[name][2] == "f":
        return _lead(after), f"la {words}"
    if _ends_in_de(after):
        return after.removesuffix("de") + "du ", words
    return _lead(after), f"le {words}"


def predicate(name: str, attributes: tuple[str, ...]) -> list[str]:
    return [_agreed(a, NOUNS[name][2], many=False) for a in attributes]


def _described(name: str, attributes: tuple[str, ...], *, many: bool) -> str:
    gender = NOUNS[name][2]
    before = [_agreed(a, gender, many=many) for a in attributes if a in BEFORE]
    colors = [_agreed(a, gender, many=many) for a in attributes if a in AFTER]
    patterns = [PATTERNS[a] for a in attributes if a in PATTERNS]
    return " ".join((*before, NOUNS[name][many], *colors, *patterns))


def _agreed(attribute: str, gender: str, *, many: bool) -> str:
    if attribute in PATTERNS:
        return PATTERNS[attribute]
    forms = (BEFORE | AFTER)[attribute].split()
    return forms[("mf".index(gender) + 2 * many) % len(forms)]


def _ends_in_de(after: str) -> bool:
    return after.split()[-1:] == ["de"]


def _lead(after: str) -> str:
    return f"{after} " if after else ""
