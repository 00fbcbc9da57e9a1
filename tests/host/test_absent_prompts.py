"""Nothing was recorded of a prompt: the reader is told why, truly, one cause apart from the other (case C3)."""

import nodes
import pytest
import rig
import steering_rig as steered
import torch
from comfy_extras import nodes_custom_sampler

from hrv_pack.host.follow.steerer import steer
from hrv_pack.hrv.look.heatmap import heatmaps
from hrv_pack.hrv.recording.recording import NoRecording


def refusal(studio, role: str, model=None, positive=None, negative=None, latent=None, **options) -> str:
    """What the reader of this role is told after a sampling, whose latent is the one without the recorder."""
    prompts = (positive or studio.positive, negative or studio.negative)
    if latent is None:
        latent = rig.sample(studio.recorded, *prompts, **options)
        assert torch.equal(latent, rig.sample(studio.model, *prompts, **options))
    with pytest.raises(NoRecording) as refused:
        heatmaps(studio.recording, latent, "", role=role)
    return str(refused.value)


@pytest.mark.parametrize(
    ("recorded", "cfg", "says"),
    [
        (
            False,
            7.0,
            "because `negative` is off. Switch `negative` on in Record Attention and sample again.",
        ),
        (False, 1.0, "because `negative` is off and because CFG is 1"),
        (True, 1.0, "The negative prompt was not evaluated, because CFG is 1: ComfyUI then leaves it out."),
    ],
)
def test_a_negative_prompt(recorded, cfg, says):
    assert says in refusal(rig.studio(record_negative=recorded), "negative", cfg=cfg)


def test_a_negative_prompt_that_a_pack_has_evaluated_at_cfg_1():
    """Then it is there."""
    studio = rig.studio(record_negative=True)
    always = studio.recorded.clone()
    always.model_options["disable_cfg1_optimization"] = True
    latent = rig.sample(always, studio.positive, studio.negative, cfg=1.0)
    assert heatmaps(studio.recording, latent, "ugly", role="negative").words == ["ugly"]


@pytest.mark.parametrize("role", ["positive", "negative"])
def test_a_window_that_no_step_falls_into(role):
    studio = rig.studio(record_negative=True, start_percent=0.01, end_percent=0.011)
    said = refusal(studio, role)
    assert said.startswith(
        "None of this sampling's steps fall between start_percent (0.01) and end_percent (0.011)"
    )


def test_a_zeroed_negative():
    """It is recorded, but it has no words."""
    studio = rig.studio(record_negative=True)
    (zeroed,) = nodes.ConditioningZeroOut().zero_out(studio.negative)
    said = refusal(studio, "negative", negative=zeroed)
    assert said.startswith("The negative prompt is zeroed (ConditioningZeroOut), so it has no words.")
    assert rig.entry(studio.recording, "negative").zeroed


def test_a_guider_without_a_negative():
    studio = rig.studio(record_negative=True)
    latents = []
    for model in (studio.recorded, studio.model):
        guider = nodes_custom_sampler.Guider_Basic(model)
        guider.set_conds(studio.positive)
        latents.append(rig.sample_custom(guider))
    assert torch.equal(*latents)
    assert "had no negative prompt: its guider takes none" in refusal(studio, "negative", latent=latents[0])


def test_a_guider_of_another_kind():
    """Its own rule decides when the negative is left out; CFG is not blamed."""
    studio = rig.studio(record_negative=True)
    latents = []
    for model in (studio.recorded, studio.model):
        guider = nodes_custom_sampler.Guider_DualCFG(model)
        guider.set_conds(studio.positive, studio.positive, studio.negative)
        guider.set_cfg(4.0, 1.0)
        latents.append(rig.sample_custom(guider))
    assert torch.equal(*latents)
    said = refusal(studio, "negative", latent=latents[0])
    assert (
        said.startswith("The sampler never evaluated the negative prompt")
        and "guider or another node" in said
    )


def test_a_positive_prompt_for_another_part_of_the_schedule():
    studio = rig.studio(end_percent=0.3)
    (late,) = nodes.ConditioningSetTimestepRange().set_range(studio.positive, 0.5, 1.0)
    said = refusal(studio, "positive", positive=late, steps=4)
    assert said.startswith(
        "The positive prompt only applies to a part of the schedule (ConditioningSetTimestepRange)"
    )


def test_a_prompt_of_zero_strength_is_evaluated_and_recorded():
    """ComfyUI runs the model on it and counts the result as nothing: what it looked at is there to see."""
    studio = rig.studio()
    (faint,) = nodes.ConditioningSetArea().append(studio.positive, 96, 128, 0, 0, 0.0)
    both = faint + rig.encode(studio.clip, "two dogs")
    latent = rig.sample(studio.recorded, both, studio.negative)
    assert torch.equal(latent, rig.sample(studio.model, both, studio.negative))
    assert heatmaps(studio.recording, latent, "cat, dogs").words == ["cat", "dogs"]


def told(caplog) -> list[str]:
    return [record.message.removeprefix("[HRV] ") for record in caplog.records if "[HRV]" in record.message]


def test_steering_that_no_step_falls_into_beside_one_that_acts(caplog):
    """Each is told for itself."""
    studio = rig.studio()
    layout = studio.recording.layout
    acting, _ = steer(studio.model, None, steered.scaling(layout))
    idle = steered.strengthening(layout, start_percent=0.01, end_percent=0.011)
    both, _ = steer(acting, None, idle)
    assert torch.equal(steered.draw(both, studio), steered.draw(acting, studio))
    assert told(caplog) == [
        (
            "Strengthen Concept changed nothing in this image. None of the sampler's steps fall between "
            "start_percent and end_percent."
        )
    ]


def test_steering_of_a_prompt_for_another_part_of_the_schedule(caplog):
    studio = rig.studio()
    model, _ = steer(studio.model, None, steered.scaling(studio.recording.layout, end_percent=0.3))
    (late,) = nodes.ConditioningSetTimestepRange().set_range(studio.positive, 0.5, 1.0)
    latents = [rig.sample(m, late, studio.negative, steps=4) for m in (model, studio.model)]
    assert torch.equal(*latents)
    (said,) = told(caplog)
    assert said.startswith(
        "Scale Heads changed nothing in this image. The positive prompt only applies to a part"
    )


def test_steering_of_a_model_that_another_node_runs_itself(caplog):
    """Without the host's own call for conditionings there is nothing to follow."""
    studio = rig.studio()
    model, _ = steer(studio.model, None, steered.scaling(studio.recording.layout))
    model.model_options["sampler_calc_cond_batch_function"] = lambda args: (
        [0.5 * args["input"]] * len(args["conds"])
    )
    steered.draw(model, studio)
    assert told(caplog) == [
        (
            "Scale Heads changed nothing in this image. The sampler took no steps, or another node runs the "
            "model in a way that cannot be followed."
        )
    ]
