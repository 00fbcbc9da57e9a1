"""ComfyUI's own sampler, as its KSampler node uses it."""

from __future__ import annotations

from collections.abc import Callable

import comfy.sample
import comfy.samplers
import comfyui_version
import latent_preview
import torch

from ...hrv.runs.latents import LATENT_PIXEL

VERSION = comfyui_version.__version__


def samplers() -> list[str]:
    """Those that there are now: other packs add some."""
    return list(comfy.samplers.KSampler.SAMPLERS)


def schedulers() -> list[str]:
    return list(comfy.samplers.KSampler.SCHEDULERS)


def empty_latent(model, height: int, width: int) -> torch.Tensor:
    """The empty latent of an image of so many pixels, in the form that the model wants; what the host's node gives is SD's."""
    latent = torch.zeros((1, 4, height // LATENT_PIXEL, width // LATENT_PIXEL))
    return comfy.sample.fix_empty_latent_channels(model, latent, LATENT_PIXEL)


def previews(model) -> Callable[[torch.Tensor], object]:
    """A function that makes a preview for the node's bar of what the sampler shows in a step; it gives None where previews are
    switched off."""
    previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
    return lambda shown: previewer and previewer.decode_latent_to_preview_image("JPEG", shown)


def draw(
    model, positive, negative, latent: torch.Tensor, seed: int, *,
    steps: int, cfg: float, sampler: str, scheduler: str, callback: Callable,
) -> torch.Tensor:  # fmt: skip
    """What the sampler makes of a latent. callback(step, shown, noisy, steps) is called after each step."""
    noise = comfy.sample.prepare_noise(latent, seed)
    return comfy.sample.sample(
        model, noise, steps=steps, cfg=cfg, sampler_name=sampler, scheduler=scheduler, positive=positive, negative=negative,
        latent_image=latent, callback=callback, disable_pbar=True, seed=seed,
    )  # fmt: skip
