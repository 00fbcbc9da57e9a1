"""Faults: cancelled at any point, any function of ours failing. The picture stays, and nothing half is left. (Named causes and
places are in test_failures.py; cancels inside the sampler in test_runs.py; memory and disk in test_running_out.py.)"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import comfy.model_management
import pytest
import rig
import torch

from devtools.server import ROOT

InterruptProcessing = comfy.model_management.InterruptProcessingException

# -- any function of ours fails ---------------------------------------------------------------------------------------

# the guard itself, and what stands outside it and only calls the sampler
GUARD = {
    "begun", "guarded", "abandon", "warn", "free", "cause_of", "attend", "entry", "_outer_sample", "_predict_noise", "_calc_cond_batch",
    "_diffusion_model", "_apply_model", "evaluated", "in_unet", "in_model", "follow", "override", "go_on", "host_attention", "attention_in_layer", "owner_of", "look_back", "<lambda>", "helper", "watched",
}  # fmt: skip
OURS = (str(ROOT / "hrv") + os.sep, str(ROOT / "host") + os.sep)


def name_of(code) -> str:
    return f"{Path(code.co_filename).stem}.{code.co_name}"


def functions_called(action) -> dict[str, object]:
    """Name → code of every function of the pack that an action calls, in the order of their first calls."""
    seen = {}

    def look(frame, event, argument):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(OURS) and code.co_name not in GUARD:
            seen.setdefault(name_of(code), code)

    sys.setprofile(look)
    try:
        action()
    finally:
        sys.setprofile(None)
    return seen


def failing_in(code, action):
    """Run an action in which the first call of a function raises."""
    done = []

    def trace(frame, event, argument):
        if frame.f_code is code and not done:
            done.append(1)
            raise RuntimeError("broken")

    sys.settrace(trace)
    try:
        return action()
    finally:
        sys.settrace(None)


def leak_of(code, action, allowed: list[torch.Tensor]) -> str:
    """What the sampler notices when this function fails; empty for nothing."""
    try:
        latent = failing_in(code, action)
    except RuntimeError as error:
        return f"the error: {error}"
    return "" if any(torch.equal(latent, one) for one in allowed) else "another latent"


def recorded_sampling():
    """(action, expected latent, recording) of a sampling with everything on: both prompts, parts of the schedule."""
    studio = rig.studio("sd1", time_bins=2, record_negative=True)
    small = {"latent": rig.empty(1, 8, 8), "steps": 1}
    expected = rig.sample(studio.model, studio.positive, studio.negative, **small)
    return (
        lambda: rig.sample(studio.recorded, studio.positive, studio.negative, **small),
        expected,
        studio.recording,
    )


def test_whatever_function_of_the_recorder_fails():
    """Each once, at its first call in a sampling: the latent is the same, and the next sampling is recorded."""
    action, expected, recording = recorded_sampling()
    functions = functions_called(action)
    assert len(functions) > 15
    leaks = {name: leak_of(code, action, [expected]) for name, code in functions.items()}
    assert {name: leak for name, leak in leaks.items() if leak} == {}
    assert torch.equal(action(), expected)
    run = rig.last_run(recording)
    assert run.warnings == [] and recording.match(expected)[0].exact


def test_whatever_function_of_the_steering_fails():
    """The picture is made, steered or not; the next sampling is steered again."""
    import steering_rig as steered

    from hrv_pack.host.follow.steerer import steer

    studio = rig.studio("sd1")
    model, _ = steer(studio.model, None, steered.scaling(studio.recording.layout))
    small = {"latent": rig.empty(1, 8, 8), "steps": 1}

    def action():
        return rig.sample(model, studio.positive, studio.negative, **small)

    expected = action()
    plain = rig.sample(studio.model, studio.positive, studio.negative, **small)
    assert not torch.equal(expected, plain)
    functions = functions_called(action)
    assert len(functions) > 8
    leaks = {name: leak_of(code, action, [expected, plain]) for name, code in functions.items()}
    assert {name: leak for name, leak in leaks.items() if leak} == {}
    assert torch.equal(action(), expected)


# -- cancelled at any point -------------------------------------------------------------------------------------------


def interrupting(model, point: str):
    """A clone with which the user cancels: before the sampler, in a layer, or after the last step."""
    import stand_ins

    def cancel():
        comfy.model_management.interrupt_current_processing(True)
        comfy.model_management.throw_exception_if_processing_interrupted()

    clone = model.clone()
    if point == "before":
        clone = stand_ins.wrapped(clone, stand_ins.WRAPPERS.OUTER_SAMPLE, lambda executor, *a, **k: cancel())
    elif point == "in a layer":
        clone.set_model_attn2_replace(lambda q, k, v, extra: cancel(), "middle", 0)
    else:

        def after(executor, *args, **kwargs):
            executor(*args, **kwargs)
            cancel()

        clone = stand_ins.wrapped(clone, stand_ins.WRAPPERS.SAMPLER_SAMPLE, after)
    return clone


@pytest.mark.parametrize("point", ["before", "in a layer", "after the last step"])
def test_a_cancel_leaves_nothing(point):
    studio = rig.studio("sd1")
    small = {"latent": rig.empty(1, 8, 8), "steps": 2}
    expected = rig.sample(studio.model, studio.positive, studio.negative, **small)
    with pytest.raises(InterruptProcessing):
        rig.sample(interrupting(studio.recorded, point), studio.positive, studio.negative, **small)
    assert studio.recording.runs == []
    assert torch.equal(rig.sample(studio.recorded, studio.positive, studio.negative, **small), expected)
    (match,) = studio.recording.match(expected)
    assert match.exact and match.run.warnings == [] and match.run.entries[0].count() == 2


def test_a_cancel_while_heatmaps_are_made(comfy, monkeypatch):
    """The node stops as ComfyUI's own do, and what was recorded can be read afterwards."""
    from hrv_pack.nodes.look import heatmap

    studio = rig.studio("sd1", positive="a red cat and a blue dog")
    small = {"latent": rig.empty(1, 8, 8), "steps": 1}
    latent = {"samples": rig.sample(studio.recorded, studio.positive, studio.negative, **small)}
    original = heatmap.node_progress

    def cancelled():
        report = original()
        comfy_management = comfy_module()
        comfy_management.interrupt_current_processing(True)
        return report

    with monkeypatch.context() as patch:
        patch.setattr(heatmap, "node_progress", cancelled)
        with pytest.raises(InterruptProcessing):
            comfy.run_node("HRVHeatmap", attention=studio.recording, latent=latent)
    overlay, *_ = comfy.run_node("HRVHeatmap", attention=studio.recording, latent=latent)
    assert len(overlay) == 4


def comfy_module():
    return sys.modules["comfy.model_management"]
