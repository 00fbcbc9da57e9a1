"""Stand-ins (stand_ins.py) for packs that change what a sampling calls, or skip some of it."""

from __future__ import annotations

import comfy.model_patcher
import comfy.samplers
import torch
from stand_ins import WRAPPERS, wrapped


def scaled(executor, *args, **kwargs):
    """A wrapper that changes what comes out."""
    out = executor(*args, **kwargs)
    return [0.97 * part for part in out] if isinstance(out, (list, tuple)) else 0.97 * out


def shifted(executor, x, *args, **kwargs):
    """A wrapper that changes what goes in."""
    return executor(1.01 * x, *args, **kwargs)


def own_cond_batch(model):
    """Like packs that put a function of their own in the place of calc_cond_batch: conditionings one after the other."""
    clone = model.clone()

    def function(args):
        out = []
        for conds in args["conds"]:
            (one,) = comfy.samplers.calc_cond_batch(
                args["model"], [conds], args["input"], args["sigma"], args["model_options"]
            )
            out.append(1.01 * one)
        return out

    clone.model_options["sampler_calc_cond_batch_function"] = function
    return clone


def skipped_layers(model):
    """Like skip-layer guidance: the positive prompt once more in each evaluation, without the attention of a block."""
    clone = model.clone()

    def post_cfg(args):
        options = comfy.model_patcher.set_model_options_patch_replace(
            args["model_options"].copy(), lambda q, k, v, extra: torch.zeros_like(q), "attn2", "middle", 0
        )
        (weak,) = comfy.samplers.calc_cond_batch(
            args["model"], [args["cond"]], args["input"], args["sigma"], options
        )
        return args["denoised"] + 0.5 * (args["cond_denoised"] - weak)

    clone.set_model_sampler_post_cfg_function(post_cfg, disable_cfg1_optimization=True)
    return clone


def cached_steps(model, every: int = 2):
    """Like DeepCache and TeaCache: the UNet runs in every second evaluation only."""
    kept = []

    def wrapper(executor, x, *args, **kwargs):
        kept.append(executor(x, *args, **kwargs) if len(kept) % every == 0 else kept[-1])
        return kept[-1]

    return wrapped(model, WRAPPERS.DIFFUSION_MODEL, wrapper)
