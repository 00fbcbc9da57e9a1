"""The demo world: scenes of one or two objects, and their captions. draw.py draws them, with exact masks.

Everything is seeded: the same Scene always gives the same picture. Use it as

    scene = sample_scene(rng)                 # rng: numpy Generator
    text = caption(scene, rng)                # "a large striped red star on grass"
    image, masks = render(scene)              # draw.py: uint8 (height, width, RGB), bool (object, height, width)

Words with two senses (`TWO_SENSE`) name a thing and a colour: "a blue rose" is a flower, "a rose fish" is
pink, and "rose, on sand" may be either.
"""

from dataclasses import dataclass, replace

import numpy as np

RGB = tuple[int, int, int]

KINDS = ("fish", "bird", "cat", "car", "boat", "house", "tree", "mug", "star", "rose", "orange", "mint")
COLOURS: dict[str, RGB] = {
    "red": (214, 32, 38),
    "orange": (255, 138, 0),
    "yellow": (250, 222, 40),
    "green": (16, 128, 44),
    "mint": (132, 240, 190),
    "blue": (36, 84, 232),
    "purple": (128, 40, 168),
    "rose": (255, 122, 172),
    "white": (250, 250, 250),
    "black": (22, 22, 24),
}
PATTERNS = ("plain", "striped", "dotted")
SIZES: dict[str, float] = {"small": 0.31, "medium": 0.45, "large": 0.64}
BACKGROUNDS: dict[str, RGB] = {
    "grass": (136, 176, 84),
    "sand": (226, 200, 146),
    "night": (30, 32, 84),
    "snow": (226, 234, 244),
    "stone": (128, 128, 136),
}
PLACES = {"grass": "on grass", "sand": "on sand", "night": "at night", "snow": "in snow", "stone": "on stone"}
TWO_SENSE = ("rose", "orange", "mint")
# An object must stand out: colours that come too near a background's own are not drawn on it.
CLASHES = {
    ("green", "grass"),
    ("yellow", "sand"),
    ("black", "night"),
    ("purple", "night"),
    ("white", "snow"),
    ("blue", "night"),
}
WORDS = tuple(
    dict.fromkeys(
        [*KINDS, *COLOURS, *PATTERNS, *SIZES, *BACKGROUNDS]
        + "a an the one in on at and next to left right of with thing picture drawing big tiny , .".split()
    )
)


@dataclass(frozen=True)
class Thing:
    """One object. `x`, `y`: centre as a share of width and height; `extent`: share of the shorter side."""

    kind: str
    colour: str
    pattern: str
    size: str
    x: float
    y: float
    extent: float
    angle: float
    mirrored: bool


@dataclass(frozen=True)
class Scene:
    """One or two things (left one first) on a background; `seed` draws the background's texture."""

    things: tuple[Thing, ...]
    background: str
    seed: int


def sample_scene(rng: np.random.Generator, two_objects: float = 0.35) -> Scene:
    """Draw a scene; `two_objects` is the probability of a second object."""
    background = _choice(rng, BACKGROUNDS)
    if rng.random() < two_objects:
        left = _sample_thing(rng, background, (0.24, 0.26), ("small", "medium"))
        right = _sample_thing(rng, background, (0.74, 0.76), ("small", "medium"))
        while right.kind == left.kind and right.colour == left.colour:
            right = replace(right, colour=_colour_on(rng, background))
        things: tuple[Thing, ...] = (left, right)
    else:
        things = (_sample_thing(rng, background, (0.4, 0.6), tuple(SIZES)),)
    return Scene(things, background, int(rng.integers(2**31)))


def _sample_thing(rng, background: str, x_range: tuple[float, float], sizes: tuple[str, ...]) -> Thing:
    size = _choice(rng, sizes)
    return Thing(
        kind=_choice(rng, KINDS),
        colour=_colour_on(rng, background),
        pattern=PATTERNS[rng.choice(3, p=[0.5, 0.25, 0.25])],
        size=size,
        x=float(rng.uniform(*x_range)),
        y=float(rng.uniform(0.44, 0.56)),
        extent=SIZES[size] * float(rng.uniform(0.95, 1.05)),
        angle=float(rng.uniform(-8, 8)),
        mirrored=bool(rng.random() < 0.5),
    )


def _colour_on(rng, background: str) -> str:
    return _choice(rng, [c for c in COLOURS if (c, background) not in CLASHES])


def _choice(rng, options) -> str:
    options = tuple(options)
    return options[rng.integers(len(options))]


def caption(scene: Scene, rng: np.random.Generator, empty: float = 0.1) -> str:
    """A text for the scene in one of several manners; attributes may be left out, none is ever wrong.

    `empty` is the share of empty captions (they train the model for classifier-free guidance).
    """
    if rng.random() < empty:
        return ""
    tags = rng.random() < 0.3
    place = PLACES[scene.background] if rng.random() < 0.85 else ""
    things = [_tag_thing(t, rng) if tags else _phrase(t, rng) for t in scene.things]
    if tags:
        if len(things) == 1:
            parts = [p for p in [*things[0], place] if p]
            rng.shuffle(parts)
        else:  # the tags of each thing stay together, left thing first
            parts = [" ".join(reversed(things[0])), " ".join(reversed(things[1])), place]
        return ", ".join(p for p in parts if p)
    text = things[0] if len(things) == 1 else _two_phrases(*things, rng)
    if place and rng.random() < 0.15:
        return f"{place}, {text}"
    return f"{text} {place}".strip()


def full_caption(scene: Scene) -> str:
    """The plain full sentence: every attribute named, things from left to right."""
    things = [_article(f"{t.size} {t.pattern} {t.colour} {t.kind}") for t in scene.things]
    return f"{' and '.join(things)} {PLACES[scene.background]}"


def _adjectives(thing: Thing, rng) -> list[str]:
    """Size, pattern and colour, each left out now and then; "plain" is said rarely."""
    words = []
    if rng.random() < 0.5:
        words.append(thing.size)
    if rng.random() < (0.25 if thing.pattern == "plain" else 0.85):
        words.append(thing.pattern)
    if rng.random() < 0.85:
        words.append(thing.colour)
    if len(words) > 1 and rng.random() < 0.2:
        rng.shuffle(words)
    return words


def _phrase(thing: Thing, rng) -> str:
    noun = thing.kind if rng.random() < 0.94 else "thing"
    return _article(" ".join([*_adjectives(thing, rng), noun]))


def _tag_thing(thing: Thing, rng) -> list[str]:
    """Tags, noun first. Sometimes the noun goes: then "orange" alone can only be the colour."""
    if rng.random() < 0.25:  # one two-sense word alone, as a thing or as a colour
        alone = [w for w in (thing.kind, thing.colour) if w in TWO_SENSE]
        if alone:
            return [_choice(rng, alone)]
    words = [*reversed(_adjectives(thing, rng))]
    named = rng.random() < 0.9 or not words
    return [thing.kind, *words] if named else words


def _two_phrases(left: str, right: str, rng) -> str:
    manner = rng.random()
    if manner < 0.6:
        return f"{left} and {right}"
    if manner < 0.75:
        return f"{left} next to {right}"
    if manner < 0.88:
        return f"{left} on the left and {right} on the right"
    return f"{right} on the right and {left} on the left"


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
