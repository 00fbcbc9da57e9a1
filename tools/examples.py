"""The prompts and seeds that the example workflows and help pages of the steering nodes show.

    .host/venv/bin/python tools/make_help_pictures.py --search     finds seeds for them after the demo checkpoint has changed

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

STEPS, CFG, SIDE = 20, 4.5, 256
BY_VOTES = "demo_checkpoint.safetensors"


@dataclass(frozen=True)
class Example:
    """A picture that comes out wrong, and the node's settings that mend it.

    words: what is steered, towards `concept` and, if given, away from `unwanted`. asked: what the judge is to see with the node
    and not without, (thing, question, answer), left thing first; kept: what it is to see both times. things: how many there are.
    """

    prompt: str
    words: str
    concept: str
    unwanted: str
    strength: float
    seed: int
    asked: tuple[int, str, str]
    kept: tuple[tuple[int, str, str], ...]
    things: int = 1


@dataclass(frozen=True)
class ExciteExample:
    """Two things, of which the picture lacks one without the node, and has both with it. things: their kinds, in any order."""

    prompt: str
    words: str
    things: tuple[str, str]
    strength: float
    seed: int


@dataclass(frozen=True)
class EditExample:
    """Two prompts that differ in one word. noun: of the first; question, wanted: what the judge is to see in the second.

    cross, own: cross_percent and self_percent.
    """

    before: str
    after: str
    noun: str
    question: str
    wanted: str
    seed: int
    cross: float
    own: float


WRONG_SENSE = Example(  # the plant is meant, not something in the colour
    "a large mint, in snow", "mint", "Objects", "Colours", 1.0, 4, (0, "kind", "mint"), ((0, "background", "snow"),),
)  # fmt: skip
LOST_WORD = Example(
    "a house and a tree on grass", "tree", "Objects", "", 0.25, 5,
    (1, "kind", "tree"), ((0, "kind", "house"), (0, "background", "grass")), things=2,
)  # fmt: skip
MISSING = ExciteExample("tree, house, at night", "tree, house", ("tree", "house"), 3.0, 4)
COLOUR = EditExample(
    "a large dotted red cat on sand", "a large dotted blue cat on sand", "cat", "colour", "blue", 3, 0.4, 0.2
)
KIND = EditExample(
    "a large plain red star on grass", "a large plain red cat on grass", "star", "kind", "cat", 0, 0.2, 0.0
)
