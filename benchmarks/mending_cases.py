"""Prompts of the demo world that come out wrong now and then, and what was wished for instead.

Three parts: `senses` (a word with two senses, one of them meant), `lost` (an attribute that the picture has lost), `missing`
(two things, one of them not there). Prompts for choosing a strength and prompts for reporting differ.
"""

from __future__ import annotations

from dataclasses import dataclass

from hrv_pack.tools.train_demo.world import PLACES, TWO_SENSE, full_caption, sample_scene

PARTS = ("senses", "lost", "missing")
CONCEPT = {"kind": "Objects", "colour": "Colours", "pattern": "Patterns", "size": "Sizes"}
Answers = tuple[dict[str, str], ...]
"""What the judge says of each thing of a picture, left one first: question → answer."""


@dataclass(frozen=True)
class Wish:
    """A prompt, and what is to be seen.

    words: to be steered, towards `concept` and, for a word with two senses, away from `unwanted`. asked: (thing, question,
    answer), all of which the wish needs; but: the same, none of which may be. kept: what else the prompt names, which steering
    should leave alone. sort: for the table.
    """

    text: str
    words: tuple[str, ...]
    sort: str
    concept: str
    unwanted: str | None
    asked: tuple[tuple[int, str, str], ...]
    but: tuple[tuple[int, str, str], ...]
    kept: tuple[tuple[int, str, str], ...]
    things: int = 1

    def granted(self, seen: Answers) -> bool:
        there = all(seen[thing][question] == answer for thing, question, answer in self.asked)
        return there and not any(seen[thing][question] == answer for thing, question, answer in self.but)

    def spoiled(self, seen: Answers) -> float:
        """Share of what should have been left alone that the judge sees otherwise."""
        wrong = [seen[thing][question] != answer for thing, question, answer in self.kept]
        return sum(wrong) / len(wrong)

    def absent(self, seen: Answers) -> tuple[str, ...]:
        """The words whose thing is not there, of a wish for several things."""
        pairs = zip(self.words, self.asked, strict=True)
        return tuple(word for word, (thing, question, answer) in pairs if seen[thing][question] != answer)


def wishes(part: str, count: int, choosing: bool, rng) -> list[Wish]:
    """`count` prompts of one part; rng: numpy Generator. choosing: those on which strengths are chosen."""
    make = {"senses": _sense, "lost": _lost, "missing": _missing}[part]
    return [make(number, choosing, rng) for number in range(count)]


def _sense(number: int, choosing: bool, rng) -> Wish:
    """ "rose, on sand" may be a flower or something pink. Wishes alternate; places differ between the two sets."""
    word = TWO_SENSE[number // 2 % len(TWO_SENSE)]
    background = _choice(rng, ("grass", "night") if choosing else ("sand", "snow", "stone"))
    text = f"{word}, {PLACES[background]}" if rng.random() < 0.5 else f"{PLACES[background]}, {word}"
    thing, colour = (0, "kind", word), (0, "colour", word)
    kept = ((0, "background", background),)
    if number % 2:
        return Wish(text, (word,), "the colour", "Colours", "Objects", (colour,), (thing,), kept)
    return Wish(text, (word,), "the thing", "Objects", "Colours", (thing,), (), kept)


def _lost(number: int, choosing: bool, rng) -> Wish:
    """ "a small dotted red star on sand", and the dots, or the size, are what matters."""
    question = ("pattern", "size")[number % 2]
    while True:
        scene = a_scene(rng, 0.0)
        (thing,) = scene.things
        if question == "size" or thing.pattern != "plain":
            break
    facts = {name: (0, name, getattr(thing, name)) for name in ("kind", "colour", "pattern", "size")}
    asked = facts.pop(question)
    kept = (*facts.values(), (0, "background", scene.background))
    return Wish(
        full_caption(scene), (asked[2],), f"the {question}", CONCEPT[question], None, (asked,), (), kept
    )


def _missing(number: int, choosing: bool, rng) -> Wish:
    """ "a small dotted red star and a medium plain blue fish on sand": both are wanted."""
    while True:
        scene = a_scene(rng, 1.0)
        left, right = scene.things
        if left.kind != right.kind:
            break
    asked = tuple((place, "kind", thing.kind) for place, thing in enumerate(scene.things))
    kept = tuple(
        (place, question, getattr(thing, question))
        for place, thing in enumerate(scene.things)
        for question in ("colour", "pattern", "size")
    )
    kept += tuple((place, "background", scene.background) for place in (0, 1))
    words = (left.kind, right.kind)
    return Wish(full_caption(scene), words, "both things", "Objects", None, asked, (), kept, things=2)


def a_scene(rng, two_objects: float):
    """A scene without words that have two senses."""
    while True:
        scene = sample_scene(rng, two_objects)
        if not any(word in TWO_SENSE for thing in scene.things for word in (thing.kind, thing.colour)):
            return scene


def _choice(rng, options):
    return options[rng.integers(len(options))]
