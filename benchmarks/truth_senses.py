"""Pictures of a word with two senses, and the sense that the judge network sees in them.

Three sorts of pictures:
    named   the prompt leaves no choice: `a blue rose on sand`, `a rose fish on sand`; drawn from noise
    shown   the prompt leaves it open, `rose, on sand`, and sampling starts from a drawing of a blue rose or of a rose fish
    open    the same prompts, drawn from noise: mostly both at once, a rose-coloured rose, so few of them can be told
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hrv_pack.tools.train_demo.draw import render
from hrv_pack.tools.train_demo.world import (
    BACKGROUNDS,
    CLASHES,
    COLOURS,
    KINDS,
    PLACES,
    TWO_SENSE,
    sample_scene,
)

SENSES = {"thing": "Objects", "colour": "Colours"}
PARTS = {"whole run": (0.0, 1.0), "middle half": (0.25, 0.75)}  # of the schedule, each recorded
SORTS = ("named", "shown", "open")
STEPS, DENOISE = 8, 0.6


@dataclass(frozen=True)
class Told:
    """One picture whose sense the judge can tell: the sort, the prompt's word, the sense that was drawn, its runs by
    part of the schedule."""

    sort: str
    word: str
    sense: str
    matches: dict[str, object]


@dataclass(frozen=True)
class Wanted:
    """A picture to draw. scene: the drawing to start from, or None."""

    word: str
    sense: str
    prompt: str
    scene: object | None


def wanted(rng: np.random.Generator, sort: str, number: int) -> Wanted:
    """The `number`-th picture of a sort: words and senses in turn, everything else by chance."""

    def choice(options):
        options = list(options)
        return options[rng.integers(len(options))]

    word, sense = TWO_SENSE[number // 2 % len(TWO_SENSE)], tuple(SENSES)[number % 2]
    background = choice(BACKGROUNDS)
    colour = choice(c for c in COLOURS if c not in TWO_SENSE and (c, background) not in CLASHES)
    kind = choice(k for k in KINDS if k not in TWO_SENSE)
    kind, colour = (word, colour) if sense == "thing" else (kind, word)
    place = PLACES[background]
    if sort == "named":
        article = "an" if colour[0] in "aeiou" else "a"
        return Wanted(word, sense, f"{article} {colour} {kind} {place}", None)
    prompt = choice([f"{word}, {place}", f"{place}, {word}"])
    if sort == "open":
        return Wanted(word, sense, prompt, None)
    scene = sample_scene(rng, two_objects=0.0)
    thing = dataclasses.replace(scene.things[0], kind=kind, colour=colour)
    return Wanted(word, sense, prompt, dataclasses.replace(scene, things=(thing,), background=background))


def draw(studio, sort: str, count: int, seed: int, progress: Callable[[int], None]) -> list[Told]:
    """Draws `count` pictures and keeps those in which the judge names the word as the thing or as the colour, not both."""
    rng, told = np.random.default_rng((seed, SORTS.index(sort))), []
    for number in range(count):
        asked = wanted(rng, sort, number)
        latent, denoise = studio.empty(), 1.0
        if asked.scene is not None:
            latent, denoise = studio.of_picture(render(asked.scene)[0]), DENOISE
        pictures, recorded = studio.draw_and_record(
            asked.prompt, latent, seed + number, STEPS, denoise, tuple(PARTS.values())
        )
        ((said,),) = studio.seen(pictures)
        is_thing, is_colour = said["kind"] == asked.word, said["colour"] == asked.word
        if is_thing != is_colour:
            matches = {part: match for part, (match,) in zip(PARTS, recorded, strict=True)}
            told.append(Told(sort, asked.word, "thing" if is_thing else "colour", matches))
        progress(number + 1)
    return told
