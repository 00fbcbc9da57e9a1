"""Checks of what the pack knows of the options of a sampling, and of conditionings."""

from __future__ import annotations

import inspect

import comfy.ldm.modules.attention as attention
import comfy.sampler_helpers as sampler_helpers
import models
import nodes
import rig
import token_rig
import torch
from comfy import samplers
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from fact_checks import CHECKS, fact
from sampling_seen import AREA, LAYER, NARROW, WIDE, evaluated, seen

from hrv_pack.host.facts import conditionings, options

# -- options ----------------------------------------------------------------------------------------------------


def in_options(name: str):
    return lambda comfy: seen().options[getattr(options, name)]


def in_extra_options(name: str):
    return lambda comfy: seen().extra[getattr(options, name)]


for key in ("COND_OR_UNCOND", "SIGMAS", "WRAPPERS", "PATCHES", "PATCHES_REPLACE"):
    CHECKS[f"options.{key}"] = in_options(key)
for key in ("N_HEADS", "ATTN_PRECISION"):
    CHECKS[f"options.{key}"] = in_extra_options(key)


@fact("options.TRANSFORMER_OPTIONS")
def transformer_options(comfy):
    assert options.TRANSFORMER_OPTIONS in rig.tiny("sd1").model_options
    assert options.TRANSFORMER_OPTIONS in inspect.signature(UNetModel.forward).parameters


@fact("options.DISABLE_CFG1_OPTIMIZATION")
def disable_cfg1_optimization(comfy):
    model = rig.tiny("sd1").clone()
    model.set_model_sampler_cfg_function(lambda args: args["cond"], disable_cfg1_optimization=True)
    assert model.model_options[options.DISABLE_CFG1_OPTIMIZATION] is True


@fact("options.GUIDANCE_CHANGED")
def guidance_changed(comfy):
    model = rig.tiny("sd1").clone()
    model.set_model_sampler_cfg_function(lambda args: args["cond"])
    model.set_model_sampler_pre_cfg_function(lambda args: args["conds_out"])
    model.set_model_sampler_post_cfg_function(lambda args: args["denoised"])
    assert {name for name in model.model_options if "cfg_function" in name} == set(
        options.GUIDANCE_CHANGED[:3]
    )
    assert options.GUIDANCE_CHANGED[3] in inspect.getsource(samplers.sampling_function)


@fact("options.UUIDS")
def uuids(comfy):
    known = {cond["uuid"] for cond in evaluated()}
    assert seen().options[options.UUIDS] and set(seen().options[options.UUIDS]) <= known


@fact("options.OUTPUT_BLOCK_PATCH")
def output_block_patch(comfy):
    assert options.OUTPUT_BLOCK_PATCH in seen().options["patches"] and len(seen().blocks) > 0


@fact("options.ATTN1")
def attn1(comfy):
    assert options.ATTN1 in seen().options["patches_replace"] and "attn1" in seen().layers


@fact("options.ATTN2")
def attn2(comfy):
    assert LAYER in seen().options["patches_replace"][options.ATTN2] and LAYER in seen().layers


@fact("options.BLOCK")
def block(comfy):
    places = [tuple(given[options.BLOCK]) for given in seen().blocks[:12]]
    assert places == [("output", number) for number in range(12)]


@fact("options.OPTIMIZED_ATTENTION_OVERRIDE")
def optimized_attention_override(comfy):
    q, asked = torch.randn(1, 4, 8), []
    override = lambda function, *args, **kwargs: (asked.append(args), args[2])[1]  # noqa: E731
    attention.optimized_attention(
        q, q, q, 2, transformer_options={options.OPTIMIZED_ATTENTION_OVERRIDE: override}
    )
    assert asked


@fact("options.ACTIVATIONS_SHAPE")
def activations_shape(comfy):
    assert tuple(seen().extra[options.ACTIVATIONS_SHAPE][-2:]) in ((16, 24), AREA[:2])


@fact("options.occupant_of")
def occupant_of(comfy):
    """A replacement of a whole block is called for its layers, and one of a layer for that."""
    assert {LAYER, ("middle", 0)} <= seen().layers
    assert (
        options.occupant_of({("middle", 0): 1}, ("middle", 0, 0))
        == options.occupant_of({LAYER: 1}, LAYER)
        == 1
    )


# -- conditionings ----------------------------------------------------------------------------------------------


@fact("conditionings.UUID")
def uuid(comfy):
    held = [cond[conditionings.UUID] for conds in seen().conds.values() for cond in conds]
    assert len(set(held)) == 3


@fact("conditionings.CROSS_ATTN")
def cross_attn(comfy):
    assert [cond[conditionings.CROSS_ATTN].shape[1] for cond in seen().conds["positive"]] == [NARROW, NARROW]


@fact("conditionings.MODEL_CONDS")
def model_conds(comfy):
    assert all(conditionings.MODEL_CONDS in cond for cond in evaluated())


@fact("conditionings.COLUMN_IDS")
@torch.inference_mode()
def column_ids(comfy):
    """The network's columns are as many as it fills them up to, whatever the text encoder gave."""
    ((embedding, values),) = token_rig.prompt("Anima")
    assert values[conditionings.COLUMN_IDS].shape == (embedding.shape[1],)
    given = {
        "cross_attn": embedding,
        "noise": token_rig.empty("Anima")["samples"],
        "device": embedding.device,
    }
    made = token_rig.tiny("Anima").model.extra_conds(**given, **values)
    assert made[conditionings.C_CROSSATTN].cond.shape[1] == token_rig.SHAPES["Anima"].fills


@fact("conditionings.C_CROSSATTN")
def c_crossattn(comfy):
    (negative,) = (cond for cond in seen().lists[1] if "area" not in cond)
    conds = [cond["model_conds"][conditionings.C_CROSSATTN] for cond in (seen().lists[0][0], negative)]
    padded = conds[0].concat(conds[1:])
    assert padded.shape[1] == WIDE and torch.equal(padded[0, :NARROW], padded[0, NARROW:])


@fact("conditionings.length_of")
def length_of(comfy):
    assert {conditionings.length_of(cond) for cond in evaluated()} == {NARROW, WIDE}


@fact("conditionings.embedded_length_of")
def embedded_length_of(comfy):
    assert {conditionings.embedded_length_of(cond) for cond in evaluated()} == {NARROW, WIDE}


@fact("conditionings.AREA")
def area(comfy):
    assert [tuple(cond[conditionings.AREA]) for cond in seen().lists[0] if "area" in cond] == [AREA]
    assert conditionings.AREA in seen().conds["positive"][1]


@torch.inference_mode()
def limited() -> dict:
    (cond,) = nodes.ConditioningSetTimestepRange().set_range(models.conditioning(), 0.25, 0.5)
    return cond[0][1]


@fact("conditionings.START_PERCENT")
def start_percent(comfy):
    assert limited()[conditionings.START_PERCENT] == 0.25


@fact("conditionings.END_PERCENT")
def end_percent(comfy):
    assert limited()[conditionings.END_PERCENT] == 0.5


@fact("conditionings.CLIP_START_PERCENT")
@torch.inference_mode()
def clip_start_percent(comfy):
    import comfy.hooks
    from comfy_extras import nodes_hooks

    hooks = comfy.hooks.create_hook_lora({}, 0.0, 1.0)
    keyframes = comfy.hooks.HookKeyframeGroup()
    for start in (0.0, 0.5):
        keyframes.add(comfy.hooks.HookKeyframe(strength=start, start_percent=start))
    hooks.set_keyframes_on_hooks(hook_kf=keyframes)
    (clip,) = nodes_hooks.SetClipHooks().apply_hooks(rig.clip("sd1"), True, False, hooks)
    found = clip.encode_from_tokens_scheduled(clip.tokenize("a cat"))
    assert [values[conditionings.CLIP_START_PERCENT] for _, values in found] == [0.0, 0.5]


@fact("conditionings.is_limited")
def is_limited(comfy):
    assert conditionings.is_limited(limited()) and not conditionings.is_limited(seen().conds["positive"][0])


@fact("conditionings.is_zeroed")
def is_zeroed(comfy):
    (zeros,) = nodes.ConditioningZeroOut().zero_out(models.conditioning())
    held = sampler_helpers.convert_cond(zeros)[0]
    assert conditionings.is_zeroed(held) and not conditionings.is_zeroed(seen().conds["positive"][0])
