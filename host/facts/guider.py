"""What is known of a guider: the object that runs one sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import comfy.sample
import comfy.sampler_helpers
import comfy.samplers
import torch

from . import options

NEGATIVE = "negative"
"""In the guider's names of the lists that push away."""


def conds_of(guider) -> dict[str, list[dict[str, Any]] | None]:
    """Name of a list → its conditionings."""
    return guider.conds


def original_conds_of(guider) -> dict[str, list[dict[str, Any]]]:
    """Name of a list → its conditionings as nodes made them, before ComfyUI fits them to a sampling; copies of the lists."""
    return {name: list(conds or ()) for name, conds in guider.original_conds.items()}


def as_held(conditioning: list) -> list[dict[str, Any]]:
    """A CONDITIONING of ComfyUI's sockets as guiders hold it."""
    return comfy.sampler_helpers.convert_cond(conditioning)


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


class _Held(comfy.samplers.CFGGuider):
    """Takes lists of conditionings in the form in which guiders hold them."""

    def __init__(self, patcher, lists: Mapping[str, list[dict[str, Any]]]):
        super().__init__(patcher)
        self.original_conds = dict(lists)


class _InsteadOfSampler:
    """What a guider calls in place of a sampler."""

    def __init__(self, work: Callable):
        self._work = work

    def sample(self, guider, sigmas, extra_args, callback, noise, *more):
        def answers(names: Sequence[str], x: torch.Tensor, sigma: torch.Tensor) -> list[torch.Tensor]:
            lists = [conds_of(guider)[name] for name in names]
            return evaluate(
                inner_model_of(guider), lists, x.to(noise), sigma.to(noise), extra_args["model_options"]
            )

        self._work(answers)
        return noise


def ask(
    patcher, lists: Mapping[str, list[dict[str, Any]]], latent: torch.Tensor, *,
    mask: torch.Tensor | None, sigmas: torch.Tensor, work: Callable[[Callable], None],
) -> None:  # fmt: skip
    """Makes everything ready as for a sampling (loading, hooks, ControlNets, areas), and calls `work` in its place.

    lists: name → conditionings as guiders hold them, which are left as they are. latent, mask: as a sampler node gives them to a
    guider. work(answers): answers(names, x, sigma) → what the model makes of x (picture, channel, …) given each of these lists.
    """
    guider = _Held(patcher, lists)
    nothing = torch.zeros_like(latent)
    guider.sample(
        nothing, latent, _InsteadOfSampler(work), sigmas, denoise_mask=mask, disable_pbar=True, seed=0
    )


class _Unchanged(comfy.samplers.CFGGuider):
    """Evaluates one list of conditionings, without guidance, and gives back the latent that it was given."""

    def __init__(self, patcher, positive: list):
        super().__init__(patcher)
        self.inner_set_conds({"positive": positive})

    def outer_sample(self, noise, latent_image, *rest, **named):
        super().outer_sample(noise, latent_image, *rest, **named)
        return latent_image


class _EachNoise:
    """What a guider calls in place of a sampler: the model evaluated once at each noise level, on the latent with that much noise."""

    def __init__(self, progress: Callable[[int, int], None]):
        self._progress = progress

    def sample(self, guider, sigmas, extra_args, callback, noise, *more):
        latent_image, levels = more[0], sigmas[:-1]
        for number, sigma in enumerate(levels):
            self._progress(number, len(levels))
            x = inner_model_of(guider).model_sampling.noise_scaling(sigma, noise, latent_image, False)
            guider(x, sigma * x.new_ones([x.shape[0]]), **extra_args)
        self._progress(len(levels), len(levels))
        return latent_image


def evaluate_noised(
    patcher, positive: list, latent: torch.Tensor, *,
    sigmas: Sequence[float], mask: torch.Tensor | None, seed: int, progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    """Evaluates a model on a latent with noise of each of these levels, as samplings do it: wrappers, hooks, ControlNets and areas
    are in force, and wrappers of the sampling see a result that is the latent itself.

    positive: CONDITIONING as nodes hand it on. progress(done, total) is called before each, and may raise to stop.
    """
    guider = _Unchanged(patcher, positive)
    noise = comfy.sample.prepare_noise(latent, seed)
    steps = torch.tensor([*sigmas, 0.0])
    guider.sample(noise, latent, _EachNoise(progress), steps, denoise_mask=mask, disable_pbar=True, seed=seed)
