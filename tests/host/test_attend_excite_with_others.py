"""Attend and Excite beside other nodes and packs, and when something goes wrong: the picture is made all the same."""

import copy

import comfy.model_management
import comfy.ops
import comfy.patcher_extension
import models
import pytest
import rig
import torch
from comfy_extras import nodes_pag
from excite_rig import FIRST, complaints, draw, excited, shift_of, shifts
from stand_ins import replaced, wrapped

from hrv_pack.host.follow import excited_sampling
from hrv_pack.host.follow.base import following_prompts
from hrv_pack.host.follow.exciter import Exciter
from hrv_pack.host.follow.gradients import NormalTensors, moved

WRAPPERS = comfy.patcher_extension.WrappersMP


# -- beside others --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["recorder", "excite"])
def test_with_the_recorder(studio, first):
    """The latent is that of exciting alone; what is recorded are the evaluations of the sampler."""
    alone = draw(excited(studio), studio, steps=3)
    if first == "recorder":
        both = excited(studio.recorded)
    else:
        both, _, studio.recording = rig.attach(excited(studio), None, rig.RecordOptions())
    with rig.watch(studio.model) as calls:
        latent = draw(both, studio, steps=3)
    assert torch.equal(latent, alone)
    run = rig.last_run(studio.recording)
    assert run.warnings == [] and studio.recording.match(latent)[0].exact
    assert run.entries[0].count() == 3
    sampled = [call for call in calls if call.shape[0] == 2]  # with the negative prompt
    rig.assert_maps(run.entries[0], sampled, run.layout, studio.positive[0][0], tolerance=2e-3)


def test_steered_attention_is_what_counts(studio):
    """Steering acts in the additional run, too."""
    import steering_rig

    from hrv_pack.host.follow.steerer import steer

    steering = steering_rig.scaling(studio.recording.layout, "cat")
    plain = shift_of(excited(studio), studio)
    for model in (steer(excited(studio), None, steering)[0], excited(steer(studio.model, None, steering)[0])):
        shift = shift_of(model, studio)
        assert not torch.allclose(shift, plain, rtol=0.01)
        assert not torch.equal(draw(model, studio), draw(steer(studio.model, None, steering)[0], studio))


def test_a_lora(studio):
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    weight = dict(studio.model.model.named_parameters())[key]
    patched = studio.model.clone()
    patched.add_patches(
        {key: ("diff", (torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)),))}
    )
    shift = shift_of(excited(patched), studio)
    assert not torch.allclose(shift, shift_of(excited(studio), studio), rtol=0.01)
    assert not torch.equal(draw(excited(patched), studio), draw(patched, studio))


def test_perturbed_attention_guidance(studio, caplog):
    (model,) = nodes_pag.PerturbedAttentionGuidance().execute(excited(studio), 3.0).result
    latent = draw(model, studio)
    assert torch.isfinite(latent).all() and complaints(caplog) == []


@pytest.mark.parametrize("place", [("input", 4), ("output", 0, 1)])
def test_other_packs_attention_takes_part(studio, place, caplog):
    """As IPAdapter: what it adds in an earlier layer changes the way, and it still acts in the picture."""
    other = replaced(studio.model, *place)
    shift = shift_of(excited(other), studio)
    assert not torch.allclose(shift, shift_of(excited(studio), studio), rtol=0.01)
    assert complaints(caplog) == [] and not torch.equal(draw(excited(other), studio), draw(other, studio))


def test_control_signals_take_part(studio, caplog):
    """As a ControlNet: tensors from inference mode, added within the network, in lists that it empties."""
    signal = torch.randn(1, 128, 2, 4, generator=torch.Generator().manual_seed(6))

    def controlled(executor, x, timesteps, context, y, control, options, **kwargs):
        with torch.inference_mode():
            control = {"middle": [signal.expand(x.shape[0], -1, -1, -1).clone()]}
        return executor(x, timesteps, context, y, control, options, **kwargs)

    other = studio.model.clone()
    other.add_wrapper_with_key(WRAPPERS.DIFFUSION_MODEL, "control", controlled)
    shift = shift_of(excited(other), studio)
    assert not torch.allclose(shift, shift_of(excited(studio), studio), rtol=0.01)
    assert complaints(caplog) == [] and not torch.equal(draw(excited(other), studio), draw(other, studio))


def test_attention_without_a_gradient(studio):
    """As SageAttention: what it gives leads nowhere."""

    def dead_end(function, *args, **kwargs):
        return function(*args, **kwargs).detach()

    model = studio.model.clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = dead_end
    shift = shift_of(excited(model), studio)
    assert torch.allclose(
        shift, shift_of(excited(studio), studio), rtol=1e-3, atol=1e-5 * float(shift.abs().max())
    )


def test_deep_copied_options(studio):
    model = excited(studio)
    model.model_options = copy.deepcopy(model.model_options)
    assert torch.equal(draw(model, studio), draw(excited(studio), studio))


def test_another_packs_forward_on_a_block_stays(studio):
    unet = studio.model.model.diffusion_model
    block = unet.middle_block[0]
    calls, real = [], block.forward

    def forward(*args, **kwargs):
        calls.append(1)
        return real(*args, **kwargs)

    block.forward = forward
    try:
        draw(excited(studio, **FIRST), studio)
        assert (
            block.forward is forward and len(calls) == 3
        )  # there, again on the way back, and in the sampler's evaluation
    finally:
        del block.forward


def test_weights_that_were_loaded_in_inference_mode(kind):
    """As the loader nodes leave them: the same shift as with ordinary weights, without a copy of them."""
    with torch.inference_mode():
        model = models.random_model(rig.CONFIG[kind])
    assert all(p.is_inference() for p in model.model.diffusion_model.parameters())
    studio = rig.studio(kind)
    assert torch.equal(shift_of(excited(model), studio), shift_of(excited(studio), studio))


def test_half_precision_weights(caplog):
    """The shift of the same weights in single precision, nearly."""
    half = models.random_model(models.TINY_SDXL, torch.float16)
    half.model.load_state_dict(rig.tiny("sdxl").model.state_dict())
    studio = rig.studio("sdxl", model=half)
    shift, wanted = shift_of(excited(studio), studio), shift_of(excited(rig.tiny("sdxl")), studio)
    assert complaints(caplog) == [] and shift.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(shift.flatten(), wanted.flatten(), dim=0) > 0.9


def test_weights_whose_memory_is_used_again():
    """A host that streams weights overwrites them before the way back: the gradient is that of the weights it used."""
    with torch.inference_mode():
        memory = torch.eye(4)
    x = torch.randn(2, 4, requires_grad=True)
    with NormalTensors(copy_weights=True):
        once = torch.nn.functional.linear(x, memory)
    with torch.inference_mode():
        memory.fill_(7.0)
    (gradient,) = torch.autograd.grad(once.sum(), x)
    assert torch.equal(gradient, torch.ones(2, 4))


# -- when something goes wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error", "fragment"),
    [
        ("neglect", torch.cuda.OutOfMemoryError("no memory"), "memory ran out). The rest of the image is generated without it: its gr"),
        ("competing_maps", RuntimeError("broken"), "RuntimeError: broken"),
        ("weighted_map", MemoryError(), "memory ran out"),
        ("find_prompt", RuntimeError("broken"), "stopped while reading the prompts"),
    ],
)  # fmt: skip
def test_whatever_goes_wrong_the_picture_is_made(studio, monkeypatch, caplog, name, error, fragment):
    def failing(*args, **kwargs):
        raise error

    monkeypatch.setattr(following_prompts if name == "find_prompt" else excited_sampling, name, failing)
    assert torch.equal(draw(excited(studio), studio), draw(studio.model, studio))
    (complaint,) = complaints(caplog)
    assert fragment in complaint
    assert not [m for m in studio.model.model.diffusion_model.modules() if "forward" in vars(m)]


def test_memory_that_ends_later_leaves_the_steps_before(studio, monkeypatch, caplog):
    real, calls = excited_sampling.neglect, []

    def starving(maps):
        calls.append(1)
        if len(calls) == 2:
            raise torch.cuda.OutOfMemoryError("no memory")
        return real(maps)

    with shifts() as found:
        monkeypatch.setattr(excited_sampling, "neglect", starving)
        draw(excited(studio), studio, steps=8)
    assert len(found) == 1 and len(complaints(caplog)) == 1


def test_a_latent_that_cannot_be_written_into(studio, caplog):
    """Another pack hands over pictures that share their memory: the move then reaches the picture through the estimate, as for
    every copy."""

    def drawn(hand_over) -> torch.Tensor:
        def wrapper(executor, x, *args, **kwargs):
            return executor(hand_over(x), *args, **kwargs)

        model = excited(wrapped(studio.model, WRAPPERS.PREDICT_NOISE, wrapper))
        return draw(model, studio, latent=rig.empty(2, 8, 16))

    plain = drawn(lambda x: x[:1].repeat(len(x), 1, 1, 1))
    with shifts() as found:
        assert torch.equal(drawn(lambda x: x[:1].expand_as(x)), plain)
    assert len(found) == 1 and complaints(caplog) == []


def test_a_latent_is_moved_where_it_lies_if_that_can_be():
    shift = torch.ones(2, 4, 8, 8)
    x = torch.zeros(2, 4, 8, 8)
    assert moved(x, shift) is x and torch.equal(x, shift)
    with torch.inference_mode():
        made_in_inference = torch.zeros(2, 4, 8, 8)
    for other in (
        torch.zeros(1, 4, 8, 8).expand(2, -1, -1, -1),
        torch.zeros(2, 4, 8, 8, requires_grad=True),  # of which a sampler takes gradients
        made_in_inference,
    ):
        assert torch.equal(moved(other, shift), shift) and not other.any()


def test_a_gradient_that_is_no_number(studio, monkeypatch, caplog):
    monkeypatch.setattr(excited_sampling, "neglect", lambda maps: maps.flatten(1).sum(-1) * float("nan"))
    assert torch.equal(draw(excited(studio), studio), draw(studio.model, studio))
    assert "its gradient had invalid values (NaN)" in " ".join(complaints(caplog))


def test_cancel(studio, monkeypatch):
    """In the middle of the additional run; the next sampling is as ever."""
    model, stopped = excited(studio), comfy.model_management.InterruptProcessingException

    def cancelled(maps):
        comfy.model_management.interrupt_current_processing(True)
        return real(maps)

    real = excited_sampling.neglect
    monkeypatch.setattr(excited_sampling, "neglect", cancelled)
    with pytest.raises(stopped):
        draw(model, studio, steps=6)
    monkeypatch.undo()
    exciter = Exciter.of(model)
    assert exciter.sampling is None
    assert torch.equal(draw(model, studio), draw(excited(studio), studio))


def test_an_error_of_the_sampling_stays_an_error(studio):
    def patch(n, context, value, extra):
        raise RuntimeError("another pack's mistake")

    model = excited(studio)
    model.set_model_attn2_patch(patch)
    with pytest.raises(RuntimeError, match="another pack's mistake"):
        draw(model, studio)
