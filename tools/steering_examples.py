"""The prompts and seeds that example workflows 13 and 14 and the help pages of the steering nodes show.

    .host/venv/bin/python tools/make_help_pictures.py --search     finds seeds for them after the demo checkpoint has changed

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

STEPS, CFG, SIDE = 20, 4.5, 256
BY_AGREEMENT, BY_VOTES = "demo_checkpoint_agreement.safetensors", "demo_checkpoint.safetensors"


@dataclass(frozen=True)
class Example:
    """A picture that comes out wrong, and the node's settings that mend it.

    words: what is steered, towards `concept` and, if given, away from `unwanted`. asked: what the judge is to see afterwards and
    not before, (question, answer); kept: what it is to see both times. vectors: a file of hrv_data/vectors.
    """

    prompt: str
    words: str
    concept: str
    unwanted: str
    strength: float
    seed: int
    asked: tuple[str, str]
    kept: tuple[tuple[str, str], ...]
    vectors: str = BY_VOTES


WRONG_SENSE = Example(
    "mint, on stone", "mint", "Objects", "Colours", 2.0, 1, ("kind", "mint"), (("background", "stone"),)
)
LOST_WORD = Example(
    "a medium dotted blue mug on stone", "dotted", "Patterns", "", 1.0, 1, ("pattern", "dotted"),
    (("kind", "mug"), ("colour", "blue"), ("background", "stone")),
)  # fmt: skip
