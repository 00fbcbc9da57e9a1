"""One tiny sampling, set up by the host's own calls, and what came by in it: for the checks of facts."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, field

import comfy.ldm.modules.attention as attention
import comfy.patcher_extension as patcher_extension
import comfy.samplers as samplers
import models
import nodes
import rig
import torch

KINDS = patcher_extension.WrappersMP
AREA = (8, 8, 4, 2)  # height, width, y, x in latent pixels
WIDE, NARROW = 154, 77  # tokens
LAYER = ("input", 1, 0)


@dataclass
class Seen:
    """What came by in one sampling: of each kind of wrapper the (executor, arguments) of its first call, and the rest as said."""

    calls: dict[str, tuple] = field(default_factory=dict)
    conds: dict = field(default_factory=dict)  # the guider's, when the sampling began
    lists: list = field(default_factory=list)  # that were evaluated
    options: dict = field(default_factory=dict)  # transformer_options of the UNet
    extra: dict = field(default_factory=dict)  # what the replacement of LAYER was given
    layers: set = field(default_factory=set)  # keys by which replacements were called
    blocks: list = field(default_factory=list)  # transformer_options at each output block
    shown: list = field(default_factory=list)  # what the sampler's callback was given
    order: list = field(default_factory=list)  # keys of the UNet's wrappers, as they ran


@functools.cache
@torch.inference_mode()
def seen() -> Seen:
    """One step with two positive prompts, one of them for an area, and a negative prompt that is longer."""
    found, model = Seen(), rig.tiny("sd1").clone()

    def watch(kind):
        def wrapper(executor, *args, **kwargs):
            if kind not in found.calls:
                found.calls[kind] = (executor, args)
                note(kind, executor, args)
            return executor(*args, **kwargs)

        model.add_wrapper_with_key(kind, "watch", wrapper)

    def note(kind, executor, args):
        if kind == KINDS.OUTER_SAMPLE:
            found.conds = {name: list(conds) for name, conds in executor.class_obj.conds.items()}
        if kind == KINDS.CALC_COND_BATCH:
            found.lists = [list(conds) for conds in args[1]]
        if kind == KINDS.DIFFUSION_MODEL:
            found.options = copy.copy(args[5])

    def replacing(key):
        def replacement(q, k, v, extra_options):
            found.layers.add(key)
            if key == LAYER:
                found.extra = dict(extra_options)
            return attention.optimized_attention(q, k, v, extra_options["n_heads"])

        return replacement

    for kind in (KINDS.OUTER_SAMPLE, KINDS.PREDICT_NOISE, KINDS.CALC_COND_BATCH, KINDS.DIFFUSION_MODEL):
        watch(kind)
    for key in ("one", "two"):
        model.add_wrapper_with_key(
            KINDS.DIFFUSION_MODEL,
            key,
            lambda executor, *a, key=key: (found.order.append(key), executor(*a))[1],
        )
    model.set_model_attn2_replace(replacing(LAYER), *LAYER[:2], transformer_index=LAYER[2])
    model.set_model_attn2_replace(replacing(("middle", 0)), "middle", 0)
    model.set_model_attn1_replace(replacing("attn1"), *LAYER[:2])
    model.set_model_output_block_patch(lambda h, skip, to: (found.blocks.append(dict(to)), (h, skip))[1])
    height, width, y, x = (side * 8 for side in AREA)
    (area,) = nodes.ConditioningSetArea().append(models.conditioning(NARROW), width, height, x, y, 1.0)
    positive = [*models.conditioning(NARROW, seed=1), *area]
    negative = models.conditioning(WIDE, seed=2)
    guided = samplers.CFGGuider(model)
    guided.set_conds(positive, negative)
    guided.set_cfg(7.0)
    latent = rig.empty()["samples"]
    sigmas = samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 1)
    guided.sample(
        torch.randn(latent.shape), latent, samplers.sampler_object("euler"), sigmas,
        callback=lambda *given: found.shown.append(given),
    )  # fmt: skip
    return found


@torch.inference_mode()
def while_sampling(kind: str, read):
    """What `read` gives in a wrapper of this kind, called with the guider and what the wrapper is given."""
    model, found = rig.tiny("sd1").clone(), []

    def wrapper(executor, *args, **kwargs):
        found.append(read(executor.class_obj, *args))
        return executor(*args, **kwargs)

    model.add_wrapper_with_key(kind, "read", wrapper)
    rig.sample(model, models.conditioning(), models.conditioning(), rig.empty(1, 8, 8), steps=1)
    return found[0]


def evaluated() -> list[dict]:
    """The conditionings that were evaluated, of all lists."""
    return [cond for conds in seen().lists for cond in conds]


def call(kind: str) -> tuple:
    return seen().calls[kind]
