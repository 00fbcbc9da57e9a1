"""What is known of a ModelPatcher: the MODEL of ComfyUI's sockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .network import UNET

NONE: Mapping[str, Any] = {}


def network_of(patcher) -> Any:
    """The network as it lies there; None for a model without one of this name."""
    return getattr(patcher.model, UNET, None)


def object_patches_of(patcher) -> Mapping[str, Any]:
    """Path → what the patcher puts there when it is sampled."""
    return getattr(patcher, "object_patches", NONE)


def object_patches_backup_of(patcher) -> Mapping[str, Any]:
    """Path → what lies on the network without any patch, for the places where some clone's patch lies now."""
    return getattr(patcher, "object_patches_backup", NONE)


def is_patched(patcher) -> bool:
    """Whether LoRAs or the like change its weights."""
    return bool(patcher.patches)


def original_weights(patcher) -> dict[str, torch.Tensor]:
    """Name → weight of the network without LoRAs and the like."""
    found = {}
    for name, (original, *_patches) in patcher.get_key_patches(f"{UNET}.").items():
        found[name] = original[0] if isinstance(original, tuple) else original
    return found


def kind_of(patcher) -> tuple:
    """What two models have in common that read the same conditionings and latents: (class, width of the text's embedding)."""
    config = getattr(patcher.model.model_config, "unet_config", {})
    return type(patcher.model).__name__, config.get("context_dim"), type(patcher.model.latent_format).__name__


def family_name_of(patcher) -> str:
    """What ComfyUI calls models of this kind: SD15, SDXL, Flux …"""
    return type(patcher.model.model_config).__name__


def model_sampling_of(patcher) -> Any:
    """The schedule that it will be sampled with, object patches included."""
    return patcher.get_model_object("model_sampling")


def sigma_at(patcher, percent: float) -> float:
    """The noise level at a part of the schedule, 0 (noise) … 1 (image)."""
    return float(model_sampling_of(patcher).percent_to_sigma(percent))


def highest_sigma(patcher) -> float:
    """Where the whole schedule begins."""
    return float(model_sampling_of(patcher).sigma_max)


def part_at(sampling, sigma: float) -> float:
    """The part of the schedule that a noise level belongs to. sampling: `model_sampling_of`, or the inner model's."""
    first, last, now = (
        float(sampling.timestep(torch.as_tensor(float(one)).reshape(1)))
        for one in (sampling.sigma_max, sampling.sigma_min, sigma)
    )
    return min(1.0, max(0.0, (first - now) / (first - last)))


def input_scale(sampling, sigma: torch.Tensor) -> torch.Tensor:
    """What the latent is multiplied with before the network sees it; sigma: (1,)."""
    return sampling.calculate_input(sigma, torch.ones(1, 1, 1, 1, device=sigma.device))


def latent_out(patcher, latent: torch.Tensor) -> torch.Tensor:
    """A latent in the model's own scale, as sampler nodes hand it on."""
    return patcher.model.process_latent_out(latent)


def device_of(patcher) -> torch.device:
    """Where a model is sampled."""
    return torch.device(patcher.load_device)
