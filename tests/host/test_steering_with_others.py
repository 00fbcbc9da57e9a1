"""Steering beside the recorder and beside what other packs do to a model, and when something goes wrong."""

import copy
import types

import comfy.ldm.modules.attention
import comfy.patcher_extension
import comfy.samplers
import pytest
import rig
import steering_rig as steered
import torch
from comfy_extras import nodes_pag, nodes_torch_compile
from stand_ins import added_tokens, image_attention, replaced
from test_ways_attention import node

from hrv_pack.host.follow import steered_sampling
from hrv_pack.host.follow.base import following_prompts, layer_entries
from hrv_pack.host.follow.steerer import steer

attention = comfy.ldm.modules.attention
WRAPPERS = comfy.patcher_extension.WrappersMP


@pytest.fixture
def steering(studio):
    return steered.scaling(studio.recording.layout)


def complaints(caplog) -> list[str]:
    return [record.message for record in caplog.records if "[HRV]" in record.message]


# -- the recorder ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["recorder", "steering"])
def test_with_the_recorder_in_either_order(studio, steering, first):
    """The latent is that of steering alone; what is recorded is the attention before steering, as the model computed it
    from what was steered in earlier layers and steps."""
    alone, _ = steer(studio.model, None, steering)
    if first == "recorder":
        both, _ = steer(studio.recorded, None, steering)
    else:
        both, _, studio.recording = rig.attach(alone, None, rig.RecordOptions())
    with rig.watch(studio.model) as calls:
        latent = steered.draw(both, studio)
    assert torch.equal(latent, steered.draw(alone, studio))
    run = rig.last_run(studio.recording)
    assert run.warnings == [] and studio.recording.match(latent)[0].exact
    rig.assert_maps(run.entries[0], calls, run.layout, studio.positive[0][0], tolerance=2e-3)


def test_steering_between_two_recorders(studio, steering):
    model, _ = steer(studio.recorded, None, steering)
    both, _, second = rig.attach(model, None, rig.RecordOptions())
    alone, _ = steer(studio.model, None, steering)
    latent = steered.draw(both, studio)
    assert torch.equal(latent, steered.draw(alone, studio))
    for number, maps in rig.entry(studio.recording).maps.items():
        assert torch.equal(maps, rig.entry(second).maps[number])


def test_the_steered_attention_can_be_recorded(studio):
    """P · r for the node that asks for it, P for the other; the latent is the same."""
    layout = studio.recording.layout
    shown = steered.scaling(layout, "cat", record_steered=True)
    hidden = steered.scaling(layout, "cat, mat", factor=3.0)
    both, _ = steer(steer(studio.recorded, None, shown)[0], None, hidden)
    latent = steered.draw(both, studio)
    found = {number: maps.float() for number, maps in rig.entry(studio.recording).maps.items()}
    unshown = steered.scaling(layout, "cat")
    plainly, _ = steer(steer(studio.recorded, None, unshown)[0], None, hidden)
    assert torch.equal(steered.draw(plainly, studio), latent)
    prompt = studio.positive[0][1]["hrv_prompt"]
    (cat,) = prompt.find("cat").columns
    for number, maps in rig.entry(studio.recording).maps.items():
        wanted = maps.float().clone()  # (batch, bin, head, column, height, width)
        wanted[:, :, :, cat] *= shown.factors[layout.span(number)][None, None, :, None, None]
        assert torch.allclose(found[number], wanted, atol=2e-3)
    assert min(maps.min() for maps in found.values()) < 0


@pytest.mark.parametrize("negative", ["ugly", "ugly " * 100], ids=["same length", "padded by repetition"])
def test_the_steered_attention_of_a_part_of_the_schedule(negative):
    """Σ over the evaluations of r · P where the node acted and P where it did not: in a batch that is not square, beside a
    negative prompt of any length."""
    studio = rig.studio(negative=negative)
    layout, embedding = studio.recording.layout, studio.positive[0][0]
    steering = steered.scaling(layout, "cat, red", end_percent=0.5, record_steered=True)
    model, _ = steer(studio.recorded, None, steering)
    with rig.watch(studio.model) as calls:
        latent = rig.sample(
            model, studio.positive, studio.negative, rig.empty(2, 11, 18), steps=3, sampler="heun"
        )
    assert len(calls) == 5 and studio.recording.match(latent)[1].exact
    found = rig.entry(studio.recording)
    (red,), (cat,) = (studio.positive[0][1]["hrv_prompt"].find(word).columns for word in ("red", "cat"))
    half = float(studio.model.get_model_object("model_sampling").percent_to_sigma(0.5))
    acted = [
        sigma >= half for sigma in sigmas_of(studio.model, "normal", 3)
    ]  # heun: two evaluations, but one at the end
    acted = [acted[0], acted[1], acted[1], acted[2], acted[2]]
    assert True in acted and False in acted
    sums: dict[int, torch.Tensor] = {}
    for call, steered_now in zip(calls, acted, strict=True):
        for number, p in rig.expected([call], layout, embedding, found.columns).items():
            if steered_now:
                for column in (red, cat):
                    row = found.columns.index(column)
                    p[:, :, row] *= steering.factors[layout.span(number)].double()[None, :, None]
            sums[number] = sums.get(number, 0) + p
    for number, wanted in sums.items():
        assert (found.maps[number].float().sum(1).flatten(-2).double() - wanted).abs().max() <= 2e-3


def sigmas_of(model, scheduler: str, steps: int) -> list[float]:
    sampling = model.get_model_object("model_sampling")
    return comfy.samplers.calculate_sigmas(sampling, scheduler, steps)[:-1].tolist()


# -- other packs ----------------------------------------------------------------------------------------------------


def exact(studio, model, steering, change=None) -> torch.Tensor:
    with rig.watch(studio.model) as calls:
        latent = steered.draw(model, studio)
    columns = steered.columns_of(steering, studio.positive[0][1]["hrv_prompt"])
    rows = steered.assert_steered(calls, studio.recording.layout, [(studio.positive[0][0], columns)], change)
    assert rows >= 2
    return latent


def with_image(studio, place):
    """What `image_attention` adds to the text's attention, in the layers of this place."""

    def change(call, number, text):
        block = studio.recording.layout.blocks[number]
        if block.key[: len(place)] != place:
            return text
        q, k, v = (t[number] for t in (call.q, call.k, call.v))
        extra = {"n_heads": block.heads}
        added = image_attention(q, k, v, extra) - attention.optimized_attention(q, k, v, block.heads)
        return text + added.double()

    return change


@pytest.mark.parametrize("place", [("middle", 0), ("input", 4, 0)], ids=str)
@pytest.mark.parametrize("order", ["before", "after"])
def test_attn2_replacements_still_act(studio, steering, place, order):
    """Like IPAdapter: the text's part is steered, the picture's part is left alone."""
    if order == "before":
        model, _ = steer(replaced(studio.model, *place), None, steering)
    else:
        model = replaced(steer(studio.model, None, steering)[0], *place)
    exact(studio, model, steering, with_image(studio, place))


def test_a_wrapper_that_replaces_attention_in_each_call(studio, steering):
    def wrapper(executor, x, timesteps, context, y, control, transformer_options, **kwargs):
        options = {**transformer_options, "patches_replace": {"attn2": {("middle", 0): image_attention}}}
        return executor(x, timesteps, context, y, control, options, **kwargs)

    model, _ = steer(studio.model, None, steering)
    model.add_wrapper_with_key(WRAPPERS.DIFFUSION_MODEL, "other pack", wrapper)
    exact(studio, model, steering, with_image(studio, ("middle", 0)))


def test_attention_patches_of_the_same_length(studio, steering):
    model, _ = steer(studio.model, None, steering)
    model.set_model_attn2_patch(lambda n, context, value, extra: (n * 1.1, context * 0.9, value * 0.5))
    model.set_model_attn2_output_patch(lambda n, extra: n * 1.2)
    exact(studio, model, steering)


def test_perturbed_attention_guidance(studio, steering):
    """Its second pass of the positive prompt is steered as the first, so that their difference is what it should be."""
    model, _ = steer(studio.model, None, steering)
    (model,) = nodes_pag.PerturbedAttentionGuidance.execute(model, 3.0).result
    with rig.watch(studio.model) as calls:
        rig.sample(model, studio.positive, studio.negative, rig.empty(1, 16, 16))
    assert len(calls) == 4
    columns = steered.columns_of(steering, studio.positive[0][1]["hrv_prompt"])
    parts = [(studio.positive[0][0], columns)]
    assert steered.assert_steered(calls, studio.recording.layout, parts) == 4


def test_tiles(studio, steering):
    """Like tiled diffusion: every piece is steered."""

    def wrapper(apply_model, args):
        parts = args["input"].chunk(2, dim=-1)
        return torch.cat([apply_model(part, args["timestep"], **args["c"]) for part in parts], dim=-1)

    model, _ = steer(studio.model, None, steering)
    model.set_model_unet_function_wrapper(wrapper)
    exact(studio, model, steering)


def test_deep_copied_options(studio, steering):
    model, _ = steer(studio.model, None, steering)
    model.model_options = copy.deepcopy(model.model_options)
    model.wrappers = copy.deepcopy(model.wrappers)
    exact(studio, model, steering)


def test_deep_copied_conditionings(studio, steering):
    positive, studio.positive = studio.positive, copy.deepcopy(studio.positive)
    assert studio.positive[0][1]["hrv_texts"] is positive[0][1]["hrv_texts"]
    model, _ = steer(studio.model, None, steering)
    exact(studio, model, steering)


def left_alone(studio, steering, change, caplog, fragment: str) -> None:
    """Under `change`, which steering cannot follow: the latent of `change` alone, and one warning."""
    plain = steered.draw(change(studio.model), studio)
    model, _ = steer(studio.model, None, steering)
    assert torch.equal(steered.draw(change(model), studio), plain)
    (warning,) = complaints(caplog)
    assert fragment in warning


def test_a_patch_that_adds_tokens(studio, steering, caplog):
    left_alone(studio, steering, added_tokens, caplog, "× 82 where 2 × … × 77 were expected")


def test_rows_that_do_not_divide(studio, steering, caplog):
    def change(model):
        def wrapper(apply_model, args):
            c = {k: torch.cat([v, v[:1]]) if torch.is_tensor(v) else v for k, v in args["c"].items()}
            x, t = (torch.cat([args[k], args[k][:1]]) for k in ("input", "timestep"))
            return apply_model(x, t, **c)[:-1]

        clone = model.clone()
        clone.set_model_unet_function_wrapper(wrapper)
        return clone

    left_alone(studio, steering, change, caplog, "multiplies rows")


def test_torch_compile(studio, steering, caplog):
    """It is steered as it was written, and says that the compiled code was not used."""
    model, _ = steer(studio.model, None, steering)
    compiled = node(nodes_torch_compile.TorchCompileModel, backend="eager")(model)
    assert torch.equal(steered.draw(compiled, studio), steered.draw(model, studio))
    (warning,) = complaints(caplog)
    assert "ran without the compiled code (steered)" in warning


def test_foreign_forward(studio, steering, caplog, monkeypatch):
    """Like NAG: those layers stay as the other pack has them."""

    def forward(self, x, context=None, value=None, mask=None, transformer_options=None):
        return 0.9 * attention.CrossAttention.forward(self, x, context, value, mask)

    for name, module in studio.model.model.diffusion_model.named_modules():
        if name.endswith("attn2"):
            monkeypatch.setattr(module, "forward", types.MethodType(forward, module), raising=False)
    left_alone(
        studio,
        steering,
        lambda model: model.clone(),
        caplog,
        "has replaced the cross-attention of this model",
    )


# -- failures -------------------------------------------------------------------------------------------------------


def failing(*args, **kwargs):
    raise RuntimeError("broken")


@pytest.mark.parametrize("name", ["find_prompt", "missing_words", "token_factors", "scale_values"])
def test_whatever_goes_wrong_the_picture_is_made(studio, steering, monkeypatch, caplog, name):
    expected = steered.draw(studio.model, studio)
    model, _ = steer(studio.model, None, steering)
    with monkeypatch.context() as patch:
        places = {"find_prompt": following_prompts, "scale_values": layer_entries}
        patch.setattr(places.get(name, steered_sampling), name, failing)
        assert torch.equal(steered.draw(model, studio), expected)
    (warning,) = complaints(caplog)
    assert warning.startswith("[HRV] Steering stopped while") and "RuntimeError: broken" in warning
    caplog.clear()
    assert not torch.equal(steered.draw(model, studio), expected)  # the next sampling is steered again
    assert complaints(caplog) == []


def test_an_error_of_the_sampling_stays_an_error(studio, steering):
    model, _ = steer(studio.model, None, steering)

    def patch(n, context, value, extra):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    starving = model.clone()
    starving.set_model_attn2_patch(patch)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        steered.draw(starving, studio)
    exact(studio, model, steering)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_weights(dtype):
    import models

    model = models.random_model(rig.CONFIG["sdxl"], dtype)
    studio = rig.studio(model=model)
    steering = steered.strengthening(studio.recording.layout)
    other, _ = steer(model, None, steering)
    assert steered.draw(other, studio).isfinite().all()
    assert not torch.equal(steered.draw(other, studio), steered.draw(model, studio))
