"""What several followers say in the same words."""

from __future__ import annotations

from ....hrv.wording import said

NOT_FOLLOWED = said(
    "The sampler took no steps, or another node runs the model in a way that cannot be followed."
)
UNKNOWN_WORDS = (
    "Nothing was {done} in a prompt whose words are not known. If its text node's CLIP does not come from "
    "Record Attention or {node}, route it through the clip input and output of one of them. If it does, "
    "another node made or changed the prompt after it was encoded."
)


def why_idle(prompt: str, *, was_called: bool, was_in_time: bool, is_limited: bool) -> str:
    """Why nothing was changed between start_percent and end_percent. prompt: "The positive prompt"; was_called: whether anything
    could be followed; was_in_time: whether in that part; is_limited: whether the prompt is for a part of the schedule only."""
    if not was_called:
        return NOT_FOLLOWED
    if not was_in_time:
        return said("None of the sampler's steps fall between start_percent and end_percent.")
    if is_limited:
        return said(
            "{prompt} only applies to a part of the schedule (ConditioningSetTimestepRange), and no step between start_percent and "
            "end_percent falls into it.",
            prompt=prompt,
        )
    return said(
        "{prompt} was not evaluated in any step between start_percent and end_percent.", prompt=prompt
    )
