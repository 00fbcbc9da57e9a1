"""Why nothing of a prompt was recorded: one true sentence that tells the causes apart, and what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..wording import role_text, said, sentences

ZEROED = "The {role} prompt is zeroed (ConditioningZeroOut), so it has no words. Connect a text node instead."
NOTHING_CONNECTED = {
    "positive": (
        "No positive prompt reached the sampler: its conditioning is empty. Connect a text node to "
        "it and sample again."
    ),
    "negative": (
        "This sampling had no negative prompt: its guider takes none (Basic Guider and the like), "
        "or what is connected is empty. With CFG Guider or KSampler and a CFG above 1, it can be "
        "recorded."
    ),
}
NO_EVALUATION = said("The sampler did not run the model (0 steps?), so nothing was recorded.")
NO_STEP = (
    "None of this sampling's steps fall between start_percent ({start}) and end_percent ({end}) of "
    "Record Attention, so nothing was recorded. Widen that range and sample again."
)
SWITCHED_OFF = said(
    "The negative prompt was not recorded, because `negative` is off. Switch `negative` on in "
    "Record Attention and sample again."
)
SWITCHED_OFF_AT_ONE = said(
    "The negative prompt was not recorded, because `negative` is off and because CFG is 1: ComfyUI then "
    "leaves it out. Switch `negative` on in Record Attention, raise CFG above 1, and sample again."
)
NOT_FOLLOWED = said(
    "Nothing was recorded, because another node runs the model in a way that cannot be followed."
)
CFG_IS_ONE = said(
    "The negative prompt was not evaluated, because CFG is 1: ComfyUI then leaves it out. Raise CFG above "
    "1 (1.1 will do) and sample again."
)
OTHER_STEPS = (
    "The {role} prompt only applies to a part of the schedule (ConditioningSetTimestepRange), and no "
    "recorded step falls into it. Widen its range, or start_percent and end_percent of Record Attention, "
    "and sample again."
)
NEVER_EVALUATED = {
    "positive": (
        "The sampler never evaluated the positive prompt in any recorded step, because its guider "
        "or another node leaves it out."
    ),
    "negative": (
        "The sampler never evaluated the negative prompt in any recorded step, because its guider "
        "or another node leaves it out, as ComfyUI does at CFG 1."
    ),
}


@dataclass(frozen=True)
class Sampling:
    """What a sampling did. start, end: the part of the schedule that was to be recorded. cfg: None where the guidance is of
    another kind. evaluations: of the model, by the sampler; inside: of these, in that part; calls: of the network."""

    start: float
    end: float
    cfg: float | None
    evaluations: int
    inside: int
    calls: int


@dataclass(frozen=True)
class Told:
    """What it did with the prompts of one role. prompts: how many there were; limited: of these, to a part of the schedule.
    wanted: whether they were to be recorded; evaluated: whether any was in the part that was to be recorded."""

    role: str
    prompts: int
    limited: int
    wanted: bool
    evaluated: bool


def why_absent(sampling: Sampling, told: Told, losses: Sequence[str] = ()) -> str:
    """The reason, for an artist. losses: the warnings that say what was left out of what may have been this prompt's."""
    role, without_guidance = told.role, sampling.cfg is not None and math.isclose(sampling.cfg, 1.0)
    if not told.prompts:
        return said(NOTHING_CONNECTED[role])
    if not told.wanted:
        return SWITCHED_OFF_AT_ONE if without_guidance else SWITCHED_OFF
    if not sampling.evaluations:
        return NO_EVALUATION
    if not sampling.inside:
        return said(NO_STEP, start=f"{sampling.start:g}", end=f"{sampling.end:g}")
    if told.evaluated:
        return sentences(*losses) or NOT_FOLLOWED
    if role == "negative" and without_guidance:
        return CFG_IS_ONE
    if losses:
        return sentences(*losses)
    if not sampling.calls:
        return NOT_FOLLOWED
    if told.limited == told.prompts:
        return said(OTHER_STEPS, role=role_text(role))
    return said(NEVER_EVALUATED[role])
