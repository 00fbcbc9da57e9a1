"""What other packs do around the UNet: wrappers, functions and guidance of their own, hooks, caches, windows, second passes.
With each, the picture is theirs, and the maps are right or one warning says why there are none."""

import dataclasses

import comfy.hooks
import comfy.model_patcher
import comfy.samplers
import edit_rig
import excite_rig
import models
import nodes
import pytest
import rig
import stand_in_models
import stand_in_samplings
import stand_ins
import torch
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras import nodes_model_advanced, nodes_slg
from test_ways_attention import node

from hrv_pack.host.facts.layers import is_compiled, layout_of
from hrv_pack.host.follow.base import following_layers

WRAPPERS = stand_ins.WRAPPERS
way = pytest.mark.way


def by_wrapper(kind: str, wrapper):
    return lambda model: stand_ins.wrapped(model, kind, wrapper)


RIGHT = {
    "APPLY_MODEL wrapper": by_wrapper(WRAPPERS.APPLY_MODEL, stand_in_samplings.shifted),
    "DIFFUSION_MODEL wrapper": by_wrapper(WRAPPERS.DIFFUSION_MODEL, stand_in_samplings.shifted),
    "CALC_COND_BATCH wrapper": by_wrapper(WRAPPERS.CALC_COND_BATCH, stand_in_samplings.scaled),
    "PREDICT_NOISE wrapper": by_wrapper(WRAPPERS.PREDICT_NOISE, stand_in_samplings.scaled),
    "SAMPLER_SAMPLE wrapper": by_wrapper(WRAPPERS.SAMPLER_SAMPLE, stand_in_samplings.scaled),
    "calc_cond_batch function": stand_in_samplings.own_cond_batch,
    "sampler_cfg_function (RescaleCFG)": node(nodes_model_advanced.RescaleCFG, multiplier=0.7),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=way(name)) for name in RIGHT], ids=list(RIGHT))
def test_maps_are_right(studio, name):
    stand_ins.right(studio, RIGHT[name])


@way("OUTER_SAMPLE wrapper that changes the latent", maps="right, found by its looks")
def test_an_outer_sample_wrapper_that_changes_the_latent(studio):
    """Outside ours, it hands on another latent than the one recorded: it is known by its looks, and the reader is told."""
    change = by_wrapper(WRAPPERS.OUTER_SAMPLE, stand_in_samplings.scaled)
    for recording, calls in stand_ins.both_orders(studio, change):
        run = rig.last_run(recording)
        assert run.warnings == []
        rig.assert_maps(run.entries[0], calls, run.layout, studio.positive[0][0], tolerance=2e-3)
        (match,) = recording.match(stand_ins.draw(studio, change(studio.model)))
        assert match.run is run


@way("Skip-layer guidance")
def test_skip_layer_guidance(studio):
    """The second pass of the positive prompt in each evaluation does not count."""
    stand_ins.right(studio, stand_in_samplings.skipped_layers, counted=slice(0, None, 2))


@way("Skip-layer guidance of DiT models, on a UNet")
def test_skip_layer_guidance_for_dit(studio):
    """It finds no such layers here, but runs the model again."""
    change = node(
        nodes_slg.SkipLayerGuidanceDiT, scale=3.0, start_percent=0.0, end_percent=1.0, double_layers="0", single_layers="0",
        rescaling_scale=0.0,
    )  # fmt: skip
    stand_ins.right(studio, change, changes=False, counted=slice(0, None, 2))


@way("Caches that skip calls of the UNet (DeepCache, TeaCache)")
def test_a_cache_in_front_of_the_unet(studio):
    """Maps are divided by the calls that were made."""
    for recording, asked in stand_ins.both_orders(studio, stand_in_samplings.cached_steps, steps=4):
        calls = [call for call in asked if call.q]
        run = rig.last_run(recording)
        (found,) = run.entries
        assert len(asked) == 4 and len(calls) == 2 and run.warnings == []
        assert found.count() == 2
        rig.assert_maps(found, calls, run.layout, studio.positive[0][0], tolerance=2e-3)


@way("EasyCache")
def test_easycache(studio):
    easycache = pytest.importorskip("comfy_extras.nodes_easycache", reason="this ComfyUI has no EasyCache")
    change = node(
        easycache.EasyCacheNode, reuse_threshold=2.0, start_percent=0.0, end_percent=1.0, verbose=False
    )
    for recording, asked in stand_ins.both_orders(studio, change, steps=6):
        calls = [call for call in asked if call.q]
        run = rig.last_run(recording)
        assert 0 < len(calls) < 6 and run.warnings == []
        assert run.entries[0].count() == len(calls)
        rig.assert_maps(run.entries[0], calls, run.layout, studio.positive[0][0], tolerance=6e-3)


@way("Hooks with a scheduled LoRA")
def test_hooks_with_a_scheduled_lora(studio):
    """The LoRA acts on one prompt, in the second half: the two prompts run in calls of their own, with other weights."""
    hooks = comfy.hooks.create_hook_lora(stand_in_models.random_lora(studio.model), 0.8, 0.0)
    keyframes = comfy.hooks.HookKeyframeGroup()
    for strength, start in ((0.0, 0.0), (1.0, 0.5)):
        keyframes.add(comfy.hooks.HookKeyframe(strength=strength, start_percent=start))
    hooks.set_keyframes_on_hooks(hook_kf=keyframes)
    (positive,) = comfy.hooks.set_conds_props(
        conds=[studio.positive], strength=1.0, set_cond_area="default", hooks=hooks
    )
    hooked = dataclasses.replace(studio, positive=positive)
    without = stand_ins.draw(studio, studio.model, steps=4)
    assert not torch.equal(stand_ins.draw(hooked, studio.model, steps=4), without)
    stand_ins.right(hooked, lambda model: model.clone(), evaluations=4, changes=False, steps=4)
    assert torch.equal(stand_ins.draw(studio, studio.model, steps=4), without)


@way("Context windows", maps="one warning")
def test_context_windows(studio):
    """The model sees only some images of the batch at a time."""
    module = pytest.importorskip(
        "comfy_extras.nodes_context_windows", reason="this ComfyUI has no context windows"
    )
    inputs = {
        "context_length": 2, "context_overlap": 1, "context_schedule": "standard_static", "context_stride": 1,
        "closed_loop": False, "fuse_method": "pyramid", "dim": 0, "freenoise": False,
    }  # fmt: skip
    change = node(module.ContextWindowsManualNode, **inputs)
    # on some processors images come out the same however many are evaluated at a time
    stand_ins.one_warning(
        studio, change, "only some images of the batch at a time", changes=False, latent=rig.empty(4, 8, 8)
    )


@way("Hires fix: a second sampling of the enlarged latent")
def test_hires_fix(studio):
    """Each latent finds its own run, at its own size."""
    first = stand_ins.draw(studio, studio.recorded)
    (large,) = nodes.LatentUpscaleBy().upscale({"samples": first}, "bislerp", 1.5)
    second = stand_ins.draw(studio, studio.recorded, latent=large, denoise=0.5, seed=6)
    plain = stand_ins.draw(studio, studio.model, latent=large, denoise=0.5, seed=6)
    assert torch.equal(second, plain)
    for latent, run in zip((first, second), studio.recording.runs, strict=True):
        (match,) = studio.recording.match(latent)
        assert match.exact and match.run is run
    assert [run.grid for run in studio.recording.runs] == [(8, 12), (12, 18)]


@way(
    "Tiled second pass: one sampling for each tile",
    maps="each latent's own; of the joined one, the first pass's",
)
def test_a_tiled_second_pass(studio):
    """Like Ultimate SD Upscale: no tile stands for the whole."""
    first = stand_ins.draw(studio, studio.recorded)
    tiles = [
        stand_ins.draw(studio, studio.recorded, latent={"samples": tile.contiguous()}, denoise=0.5)
        for tile in first.chunk(2, dim=-1)
    ]
    (match,) = studio.recording.match(torch.cat(tiles, dim=-1))
    assert not match.exact and match.run is studio.recording.runs[0]
    for tile, run in zip(tiles, studio.recording.runs[1:], strict=True):
        (own,) = studio.recording.match(tile)
        assert own.exact and own.run is run


@way("LatentFromBatch and RepeatLatentBatch between sampler and reader")
def test_parts_of_a_batch(studio):
    latent = {"samples": stand_ins.draw(studio, studio.recorded, latent=rig.empty(3, 8, 8))}
    (one,) = nodes.LatentFromBatch().frombatch(latent, 1, 1)
    (twice,) = nodes.RepeatLatentBatch().repeat(one, 2)
    matches = studio.recording.match(twice["samples"])
    assert [(match.element, match.exact) for match in matches] == [(1, True), (1, True)]


PART = "diffusion_model.time_embed"  # takes a moment to compile


@pytest.fixture
def compiled_calls(monkeypatch):
    """(node TorchCompileModel with a backend that notes its calls, these calls). Compiled code of earlier tests is forgotten."""
    calls = []

    def backend(graph, inputs):
        return lambda *given: calls.append(graph) or graph.forward(*given)

    torch.compiler.reset()
    yield (lambda model, *parts: _with_code(model, backend, parts)), calls
    torch.compiler.reset()


def _with_code(model, backend, parts=()):
    """parts: of the model to compile, which takes less time than all of its network."""
    made = model.clone()
    set_torch_compile_wrapper(made, backend=backend, keys=list(parts))
    return made


@way("torch.compile (TorchCompileModel)", maps="right, run without the compiled code")
def test_torch_compile(compiled_calls):
    """The node has compiled code of one layer run for others of the same shape, with our entry in it; so it is left out, and the image is
    that of the model without the node, to the bit."""
    compiled, calls = compiled_calls
    studio = rig.studio("sd1")
    plain = stand_ins.draw(studio, studio.model, latent=rig.empty(1, 8, 8))
    before, _, recording = rig.attach(compiled(studio.model), None, rig.RecordOptions())
    for model, found in ((compiled(studio.recorded), studio.recording), (before, recording)):
        with rig.watch(studio.model) as watched:
            assert torch.equal(stand_ins.draw(studio, model, latent=rig.empty(1, 8, 8)), plain)
        assert not calls
        run = rig.last_run(found)
        (warning,) = run.warnings
        assert "ran without the compiled code" in warning and "recorded" in warning
        rig.assert_maps(run.entries[0], watched, run.layout, studio.positive[0][0], tolerance=2e-3)
    stand_ins.draw(studio, compiled(studio.model, PART), latent=rig.empty(1, 8, 8))
    assert calls  # afterwards, and without a recorder, it is compiled as before


def test_torch_compile_with_an_old_torch(monkeypatch):
    monkeypatch.setattr(following_layers, "CAN_RUN_UNCOMPILED", False)
    stand_ins.one_warning(
        rig.studio("sd1"),
        lambda model: _with_code(model, "eager", [PART]),
        "bypass the node that compiles",
        changes=False,
        latent=rig.empty(1, 8, 8),
    )


def test_an_error_leaves_compiling_as_it_was(compiled_calls):
    compiled, calls = compiled_calls
    studio = rig.studio("sd1")

    def broken(executor, *given, **named):
        raise KeyboardInterrupt

    model = stand_ins.wrapped(compiled(studio.recorded, PART), WRAPPERS.SAMPLER_SAMPLE, broken)
    with pytest.raises(KeyboardInterrupt):
        stand_ins.draw(studio, model, latent=rig.empty(1, 8, 8))
    stand_ins.draw(studio, compiled(studio.model, PART), latent=rig.empty(1, 8, 8))
    assert calls


@pytest.mark.parametrize("doing", ["remembered", "edited", "excited"])
def test_torch_compile_with_the_other_nodes(doing, caplog, compiled_calls):
    compiled, calls = compiled_calls
    scene = edit_rig.scene("sd1", latent=rig.empty(1, 8, 8))
    remembering, _, _ = edit_rig.remember(scene.model, None, 2**20)
    scene.draw(scene.remembering, scene.first)
    makers = {
        "remembered": lambda: remembering,
        "edited": scene.edited,
        "excited": lambda: excite_rig.excited(scene.model),
    }
    plain = scene.draw(makers[doing]())
    caplog.clear()
    assert torch.equal(scene.draw(compiled(makers[doing]())), plain) and not calls
    (warning,) = excite_rig.complaints(caplog)
    assert (
        "is compiled (TorchCompileModel and the like)" in warning
        and f"the compiled code ({doing})" in warning
    )


@way("Weights that wait elsewhere and are streamed into the UNet (what --lowvram and --novram do)")
def test_streamed_weights(monkeypatch):
    """Those options need a GPU; here the host's own loader is told that the device has next to no memory."""
    real = comfy.model_patcher.ModelPatcher.load

    def little(self, device_to=None, **given):
        return real(self, device_to, **given | {"lowvram_model_memory": 2**16, "full_load": False})

    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "load", little)
    model = models.random_model(rig.CONFIG["sdxl"])
    stand_ins.right(rig.studio(model=model), lambda model: model.clone(), changes=False)
    assert any(getattr(part, "comfy_cast_weights", False) for part in model.model.diffusion_model.modules())


def compiled(parent, name: str) -> None:
    setattr(parent, name, torch.compile(getattr(parent, name), backend="eager"))


COMPILED = {
    "the UNet": lambda model: compiled(model, "diffusion_model"),
    "a stage": lambda model: compiled(model.diffusion_model, "middle_block"),
    "a layer": lambda model: compiled(model.diffusion_model.input_blocks[1], "1"),
    "a block": lambda model: compiled(model.diffusion_model.middle_block[1].transformer_blocks, "0"),
    "a block, in place": lambda model: model.diffusion_model.middle_block[1].compile(backend="eager"),
}


@pytest.mark.parametrize("part", COMPILED)
def test_what_other_packs_have_compiled_is_noticed(part):
    model = models.random_model(rig.CONFIG["sd1"])
    layout = layout_of(model.model.diffusion_model)
    assert not is_compiled(model)
    COMPILED[part](model.model)
    assert is_compiled(model) and layout_of(model.model.diffusion_model) == layout
