"""What is known of a guider: the object that runs one sampling."""

from __future__ import annotations

from typing import Any

import comfy.samplers

from . import options

NEGATIVE = "negative"
"""In the guider's names of the lists that push away."""


def conds_of(guider) -> dict[str, list[dict[str, Any]] | None]:
    """Name of a list → its conditionings."""
    return guider.conds


def patcher_of(guider):
    """The ModelPatcher that is sampled."""
    return guider.model_patcher


def options_of(guider) -> dict[str, Any]:
    """The model_options of this sampling, its own copy."""
    return guider.model_options


def inner_model_of(guider):
    """The model that is evaluated; there while a sampling runs."""
    return guider.inner_model


def guidance_of(guider) -> float | None:
    """The CFG at which a guider may leave the negative prompt out, as ComfyUI does at 1; None where it works otherwise."""
    always = options_of(guider).get(options.DISABLE_CFG1_OPTIMIZATION, False)
    own = getattr(type(guider), "predict_noise", None)
    if always or own is not comfy.samplers.CFGGuider.predict_noise:
        return None
    return float(guider.cfg)


def evaluate(model, conds: list, x, timestep, model_options: dict[str, Any]) -> list:
    """Runs lists of conditionings through the host's own path, areas, hooks and ControlNets included. model: `inner_model_of`."""
    return comfy.samplers.calc_cond_batch(model, conds, x, timestep, model_options)
