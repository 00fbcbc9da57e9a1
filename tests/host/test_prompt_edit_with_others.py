"""Edit Prompt beside recording, steering and what other packs do to a model, and when the two samplings do not belong
together."""

import edit_rig as editing
import nodes
import pytest
import rig
import stand_in_models
import steering_rig as steered
import torch
from comfy_extras import nodes_pag
from edit_rig import SAME, complaints, layout, repeats_and_calls
from stand_ins import replaced

from hrv_pack.host.follow import edited_layers, edited_sampling
from hrv_pack.host.follow.base import layer_entries
from hrv_pack.host.follow.steerer import steer
from hrv_pack.hrv.recording.recording import NoRecording
from hrv_pack.hrv.steer.factors import Where, scale, strengthen

# -- with others ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["recorder", "edit"])
def test_with_the_recorder_in_either_order(first, caplog):
    """The latent is that of editing alone, and the repeated runs are not recorded."""
    scene = editing.scene()
    alone = scene.draw(scene.edited())
    if first == "recorder":
        recorded, _, recording = rig.attach(scene.model, None, rig.RecordOptions())
        model = scene.edited(recorded)
    else:
        model, _, recording = rig.attach(scene.edited(), None, rig.RecordOptions())
    assert torch.equal(scene.draw(model), alone)
    run = rig.last_run(recording)
    assert run.warnings == [] and [[entry.count()] for entry in run.entries] == [[2]]
    assert complaints(caplog) == []


@pytest.mark.parametrize("first", ["steering", "edit"])
def test_with_steering_in_either_order(first):
    """Factors of a steering node multiply what the words get, from whichever picture."""
    scene = editing.scene()
    steering = scale(steered.some_heads(layout(scene)), 3.0, Where("cat"))
    model = (
        steer(scene.edited(), None, steering)[0]
        if first == "edit"
        else scene.edited(steer(scene.model, None, steering)[0])
    )
    with editing.watch(scene.model) as passes:
        scene.draw(model)
    for repeated, present in repeats_and_calls(passes, 1):
        editing.assert_cross(layout(scene), repeated, present, slice(1, 2), SAME, {3: steering.factors})


@pytest.mark.parametrize("order", ["before", "after"])
def test_attn2_replacements_still_act(order):
    """Like IPAdapter, on both samplers: with the same prompt, the first picture as that pack makes it."""
    scene = editing.scene(model=replaced(rig.tiny("sdxl"), "middle", 0), second="a red cat on a mat")
    plain = editing.scene(second="a red cat on a mat")
    assert not torch.equal(scene.latent, plain.latent)
    model = scene.edited() if order == "before" else replaced(scene.edited(rig.tiny("sdxl")), "middle", 0)
    assert editing.close(scene.draw(model), scene.latent)


def test_control_nets():
    """On both samplers: the repeated run is given the present call's signals of its rows."""
    scene = editing.scene(latent=rig.empty(2, 8, 12))
    picture = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(0))
    plain, control = scene.latent, stand_in_models.control_net(rig.CONFIG["sdxl"])
    scene.first, scene.negative = nodes.ControlNetApplyAdvanced().apply_controlnet(
        scene.first, scene.negative, control, picture, 0.8, 0.0, 1.0
    )[:2]
    scene.latent = scene.draw(scene.remembering, scene.first)
    assert not editing.close(scene.latent, plain)
    assert editing.close(scene.draw(scene.edited(), scene.first), scene.latent)


def test_perturbed_attention_guidance():
    (model,) = nodes_pag.PerturbedAttentionGuidance.execute(rig.tiny("sdxl"), 3.0).result
    scene = editing.scene(model=model, second="a red cat on a mat", latent=rig.empty(1, 16, 16))
    assert editing.close(scene.draw(scene.edited()), scene.latent)


def test_the_edited_picture_is_not_remembered():
    scene = editing.scene()
    model = scene.edited(scene.remembering)
    assert torch.equal(scene.draw(model), scene.draw(scene.edited()))
    assert len(scene.memory.runs) == 1
    again, _, _ = editing.remember(model, None, 2**26)
    assert torch.equal(scene.draw(again), scene.draw(model))


def test_half_precision_weights():
    import models

    scene = editing.scene(model=models.random_model(rig.CONFIG["sdxl"], torch.bfloat16), steps=1)
    latent = scene.draw(scene.edited())
    assert latent.isfinite().all() and not torch.equal(latent, scene.draw(scene.model))


# -- what cannot be edited ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"seed": 6}, "start from different noise"),
        ({"steps": 3, "scheduler": "simple"}, "takes steps that the first did not take"),
        (
            {"latent": rig.empty(2, 8, 8)},
            "ran on 1 × 8×12 latent pixels, the second runs on 2 × 8×8",
        ),
    ],
    ids=["seed", "steps", "batch"],
)
def test_samplers_that_differ(changes, fragment, caplog):
    scene = editing.scene(steps=2)

    def draw(model):
        settings = {"scheduler": "normal", **changes}
        latent = settings.pop("latent", scene.settings["latent"])
        scheduler, seed, steps = settings["scheduler"], settings.get("seed", 5), settings.get("steps", 2)
        with torch.inference_mode():
            (out,) = nodes.common_ksampler(
                model, seed, steps, 7.0, "euler", scheduler, scene.second, scene.negative, latent
            )
        return out["samples"]

    edited = draw(scene.edited())
    (warning,) = complaints(caplog)
    assert fragment in warning
    if "steps" not in changes:  # the first step may be the same
        assert torch.equal(edited, draw(scene.model))


def test_another_model_is_told(caplog):
    scene = editing.scene()
    steering = scale(steered.some_heads(layout(scene)), -2.0, Where("red, cat"))
    first, _ = steer(scene.remembering, None, steering)
    scene.latent = scene.draw(first, scene.first)
    scene.draw(scene.edited())
    (warning,) = complaints(caplog)
    assert "no longer draws the first image the way the first sampler did" in warning


def test_words_that_are_not_known(caplog):
    """Self-attention is still taken over."""
    scene = editing.scene(latent=rig.empty(1, 8, 8))
    scene.second = rig.encode(rig.clip("sdxl"), "a green cat on a mat")
    with editing.watch(scene.model) as passes:
        scene.draw(scene.edited())
    (warning,) = complaints(caplog)
    assert "The second image's words are not known" in warning
    for repeated, present in repeats_and_calls(passes, 1):
        editing.assert_self(layout(scene), repeated, present, slice(1, 2), set(range(len(present.attn1))))
        own = {column: None for column in SAME}
        editing.assert_cross(layout(scene), repeated, present, slice(1, 2), own)


def test_words_to_rescale_that_are_not_there(caplog):
    scene = editing.scene()
    steering = strengthen(steered.vectors_for(layout(scene)), "Color", 1.0, 0.0, Where("blue, hat"))
    scene.draw(scene.edited(steering=steering))
    (warning,) = complaints(caplog)
    assert "“hat” is not in the prompt." in warning


def test_another_latent(caplog):
    """One that was changed stands for the image that it was, with a warning; of others an error says what to connect."""
    scene = editing.scene()
    expected = scene.draw(scene.edited())
    scene.latent = scene.latent + 1
    assert torch.equal(scene.draw(scene.edited()), expected)
    assert "behind Remember Run. It matches an image that did" in complaints(caplog)[0]
    scene.latent = torch.zeros(1, 4, 9, 9)
    with pytest.raises(NoRecording, match="Connect the latent that comes out of the first sampler"):
        scene.edited()
    _, _, scene.memory = editing.remember(scene.model, None, 2**20)
    with pytest.raises(NoRecording, match="Connect Remember Run's model output to the first sampler"):
        scene.edited()


def test_a_run_larger_than_the_limit(caplog):
    """The first steps are remembered and edited."""
    scene = editing.scene(latent=rig.empty(1, 8, 8), steps=4)
    remembering, _, scene.memory = editing.remember(scene.model, None, 25000)  # two of the four steps fit
    scene.latent = scene.draw(remembering, scene.first)
    (warning,) = complaints(caplog)
    assert "Raise memory_limit_mb in Remember Run" in warning
    with editing.watch(scene.model) as passes:
        scene.draw(scene.edited())
    assert len(passes) == 2 + 4 and len(complaints(caplog)) == 1


@pytest.mark.parametrize(
    ("module", "place"),
    [
        (edited_sampling, "align"),
        (edited_sampling, "replay"),
        (edited_layers, "with_entries"),
        (edited_layers, "split_values"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_goes_wrong_the_picture_is_made(module, place, monkeypatch, caplog):
    scene = editing.scene(latent=rig.empty(1, 8, 8))

    def failing(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(module, place, failing)
    latent = scene.draw(scene.edited(self_percent=0.0))
    (warning,) = complaints(caplog)
    assert "Editing stopped while" in warning and "memory ran out" in warning
    assert torch.equal(latent, scene.draw(scene.model))


def test_memory_that_the_first_pictures_attention_fills(monkeypatch, caplog):
    """The UNet runs once more without it."""
    scene = editing.scene()
    attend = layer_entries.LayerCall.attend

    def starving(self):
        if self.k.shape[1] == editing.LENGTH and self.q.shape[0] == 2:  # the second picture's rows
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return attend(self)

    monkeypatch.setattr(layer_entries.LayerCall, "attend", starving)
    latent = scene.draw(scene.edited())
    (warning,) = complaints(caplog)
    assert "Editing stopped while the model was running (memory ran out)" in warning
    assert torch.equal(latent, scene.draw(scene.model))


def test_an_error_while_remembering(monkeypatch, caplog):
    from hrv_pack.host.follow import rememberer as run_memory

    scene = editing.scene(latent=rig.empty(1, 8, 8))

    def failing(*args, **kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr(run_memory, "Frame", failing)
    remembering, _, memory = editing.remember(scene.model, None, 2**20)
    assert torch.equal(scene.draw(remembering, scene.first), scene.latent)
    (warning,) = complaints(caplog)
    assert "Remembering stopped while" in warning and "RuntimeError: broken" in warning
    with pytest.raises(NoRecording):
        memory.match(scene.latent)
