"""What several followers say in the same words."""

from __future__ import annotations

NOT_FOLLOWED = "the sampler took no step, or another node runs the model in a way that cannot be followed."
UNKNOWN_WORDS = (
    "Nothing was {done} in a prompt whose words are not known. If its text node's CLIP comes neither from Record Attention nor "
    "from {node}, connect it through the clip input and output of one of them. If it does, another node made or "
    "changed the prompt after it was encoded."
)


def why_idle(prompt: str, *, was_called: bool, was_in_time: bool, is_limited: bool) -> str:
    """Why nothing was changed between start_percent and end_percent. prompt: "the positive prompt"; was_called: whether anything
    could be followed; was_in_time: whether in that part; is_limited: whether the prompt is for a part of the schedule only."""
    if not was_called:
        return NOT_FOLLOWED
    if not was_in_time:
        return "no step of the sampler lies between start_percent and end_percent."
    if is_limited:
        return (
            f"{prompt} is limited to a part of the schedule (ConditioningSetTimestepRange) that no step between "
            "start_percent and end_percent falls into."
        )
    return f"{prompt} was evaluated in no step between start_percent and end_percent."
