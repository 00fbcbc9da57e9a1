"""Wrappers around what ComfyUI does while it samples: their kinds, and what each is called with after the executor.

executor(…) goes on with what is wrapped, be it another wrapper.
"""

from __future__ import annotations

from comfy.patcher_extension import WrappersMP

OUTER_SAMPLE = WrappersMP.OUTER_SAMPLE
OUTER_SAMPLE_GIVEN = ("noise", "latent_image", "sampler", "sigmas", "denoise_mask", "callback")
"""By place or by name."""
PREDICT_NOISE = WrappersMP.PREDICT_NOISE
PREDICT_NOISE_GIVEN = ("x", "timestep", "model_options")
CALC_COND_BATCH = WrappersMP.CALC_COND_BATCH
CALC_COND_BATCH_GIVEN = ("model", "conds", "x_in", "timestep", "model_options")
DIFFUSION_MODEL = WrappersMP.DIFFUSION_MODEL
DIFFUSION_MODEL_GIVEN = ("x", "timesteps", "context", "y", "control", "transformer_options")
APPLY_MODEL = WrappersMP.APPLY_MODEL
APPLY_MODEL_GIVEN = ("x", "t", "c_concat", "c_crossattn", "control", "transformer_options")
TORCH_COMPILE = "torch.compile"
"""The key of the APPLY_MODEL wrapper that ComfyUI compiles a model with."""


def owner_of(executor):
    """Whose it is that is wrapped: the guider, or the UNet."""
    return executor.class_obj


def unwrapped(executor):
    """What is wrapped, without the wrappers of any pack."""
    return executor.original


def has(patcher, kind: str, key: str) -> bool:
    """Whether a ModelPatcher has a wrapper of this kind under this key."""
    return bool(patcher.get_wrappers(kind, key))


def first(patcher, kind: str, key: str):
    """The first wrapper of this kind under this key; None if there is none."""
    return next(iter(patcher.get_wrappers(kind, key)), None)


def add(patcher, kind: str, key: str, wrapper) -> None:
    patcher.add_wrapper_with_key(kind, key, wrapper)


def remove(patcher, kind: str, key: str) -> None:
    patcher.remove_wrappers_with_key(kind, key)
