"""The prompts and the seed that example workflow 16 and the help page of Edit Prompt show.

    .host/venv/bin/python tools/make_edit_picture.py --search     finds seeds after the demo checkpoint has changed

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

STEPS, CFG, SIDE = 20, 4.5, 256


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


COLOUR = EditExample(
    "a large dotted red cat on sand",
    "a large dotted blue cat on sand",
    "cat",
    "colour",
    "blue",
    3,
    0.4,
    0.2,
)
KIND = EditExample(
    "a large plain red star on grass", "a large plain red cat on grass", "star", "kind", "cat", 0, 0.2, 0.0
)
