"""Why nothing of a prompt was recorded: the true cause, one of several, and what to do (case C3)."""

import re

import pytest
from synthetic import LAYOUT, entry

from hrv_pack.hrv.recording.absence import Sampling, Told, why_absent
from hrv_pack.hrv.recording.recording import NoRecording, Run

USUAL = {"start": 0.0, "end": 1.0, "cfg": 7.0, "evaluations": 20, "inside": 20, "calls": 20}
NEGATIVE = {"role": "negative", "prompts": 1, "limited": 0, "wanted": True, "evaluated": False}
POSITIVE = {**NEGATIVE, "role": "positive"}


def why(told: dict, losses=(), **facts) -> str:
    return why_absent(Sampling(**{**USUAL, **facts}), Told(**told), losses)


@pytest.mark.parametrize(
    ("told", "facts", "says"),
    [
        ({**NEGATIVE, "wanted": False}, {}, "`negative` is off. Switch `negative` on in Record Attention and sample"),
        ({**NEGATIVE, "wanted": False}, {"cfg": 1.0}, "`negative` is off and because CFG is 1"),
        (NEGATIVE, {"cfg": 1.0}, "was not evaluated, because CFG is 1: ComfyUI then leaves it out. Raise CFG above 1"),
        (NEGATIVE, {"cfg": None}, "never evaluated the negative prompt.*guider or another node leaves it out"),
        (NEGATIVE, {}, "never evaluated the negative prompt"),
        ({**NEGATIVE, "prompts": 0}, {}, "had no negative prompt: its guider takes none"),
        ({**NEGATIVE, "prompts": 0, "wanted": False}, {"cfg": 1.0}, "had no negative prompt"),
        (POSITIVE, {"inside": 0, "start": 0.9, "end": 0.95}, r"start_percent \(0.9\) and end_percent \(0.95\)"),
        (NEGATIVE, {"inside": 0, "cfg": 1.0}, "None of this sampling's steps fall between start_percent"),
        (POSITIVE, {"evaluations": 0, "inside": 0}, "did not run the model"),
        (POSITIVE, {"calls": 0}, "another node runs the model in a way that cannot be followed"),
        ({**POSITIVE, "limited": 1}, {}, "positive prompt only applies to a part of the schedule"),
        ({**NEGATIVE, "limited": 1}, {}, "negative prompt only applies to a part of the schedule"),
        ({**POSITIVE, "prompts": 2, "limited": 1}, {}, "never evaluated the positive prompt"),
        ({**POSITIVE, "prompts": 0}, {}, "No positive prompt reached the sampler"),
    ],
)  # fmt: skip
def test_each_cause_has_its_sentence(told, facts, says):
    assert re.search(says, why(told, **facts))


def test_what_was_left_out_is_said_alone():
    """Case D6: the warning that names the node that changes rows, and nothing about inputs that are connected."""
    evaluated = {**POSITIVE, "evaluated": True}
    assert why(evaluated, ["Another node changes rows."]) == "Another node changes rows."
    assert why(evaluated, ["One.", "Two."]) == "One. Two."
    assert (
        why(POSITIVE, ["Rows do not divide."]) == "Rows do not divide."
    )  # nobody could tell whose they were
    assert "CFG is 1" in why(NEGATIVE, ["Rows do not divide."], cfg=1.0)


def test_a_run_says_why_a_role_is_absent():
    run = Run(
        LAYOUT, [entry(None)], warnings=["Some layers were left out."], absent={"negative": "CFG is 1."}
    )
    with pytest.raises(NoRecording, match=r"^CFG is 1\.$"):
        run.of_role("negative")
    assert run.of_role("positive") == run.entries


def test_a_run_of_which_all_was_left_out_gives_the_reason_alone():
    """Case D6."""
    left_out = Run(LAYOUT, [entry(None, grids=())], warnings=["Another node changes rows."])
    with pytest.raises(NoRecording, match=r"^Another node changes rows\.$"):
        left_out.of_role("positive")
    left_out.absent["positive"] = "Another node changes rows inside the model."
    for read in (lambda: left_out.of_role("positive"), lambda: left_out.grid):
        with pytest.raises(NoRecording, match=r"^Another node changes rows inside the model\.$"):
            read()
