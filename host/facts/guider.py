"""What is known of a guider: the object that runs one sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.sample
import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy_extras.nodes_custom_sampler import Guider_DualCFG

from . import options

NEGATIVE = "negative"
"""In the guider's names of the lists that push away."""
POSITIVE = "positive"
"""The list that CFG pulls towards."""


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


@dataclass(frozen=True)
class Guidance:
    """How a guider weighs its lists against each other: its class and its settings, as CFG. It holds no model."""

    kind: type
    settings: Mapping[str, Any]


def guidance_kept(guider) -> Guidance:
    """Of a guider that a node made. Those of other kinds than the host's two are taken for plain CFG: they may hold a second model, or divide
    by the difference of two prompts (PerpNeg), which is nothing when a prompt is left out."""
    kinds = (comfy.samplers.CFGGuider, Guider_DualCFG)
    if type(guider) not in kinds:
        return Guidance(comfy.samplers.CFGGuider, {"cfg": float(getattr(guider, "cfg", 1.0))})
    settings = {name: value for name, value in vars(guider).items() if isinstance(value, (bool, int, float))}
    return Guidance(type(guider), settings)


def _guider(patcher, guidance: Guidance, lists: Mapping[str, list[dict[str, Any]]]):
    """A guider like the one of a run. lists: in the form in which guiders hold them."""
    guider = guidance.kind.__new__(guidance.kind)
    comfy.samplers.CFGGuider.__init__(guider, patcher)
    vars(guider).update(guidance.settings)
    guider.original_conds = dict(lists)
    return guider


class Asked:
    """A guider made ready for a sampling, of which single evaluations are asked. mask: where the latent may change, as samplers see it."""

    def __init__(self, guider, noise: torch.Tensor, mask: torch.Tensor | None, extra_args: dict[str, Any]):
        self.mask = mask
        self._guider, self._noise, self._extra = guider, noise, extra_args
        self._held = conds_of(guider)

    def estimate(self, instead: Mapping[str, str], x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """What the model makes of x (image, channel, …), guided, with the list named by each value in place of that named by its key."""
        self._guider.conds = self._held | {role: self._held[name] for role, name in instead.items()}
        return self._guider(x.to(self._noise), sigma.to(self._noise), **self._extra)

    def without_guidance(
        self, instead: Mapping[str, str], x: torch.Tensor, sigma: torch.Tensor
    ) -> torch.Tensor:
        """The same for the positive prompt alone; there where `weight` is."""
        guidance, self._guider.cfg = self._guider.cfg, 1.0
        try:
            return self.estimate(instead, x, sigma)
        finally:
            self._guider.cfg = guidance

    @property
    def weight(self) -> float | None:
        """What guidance multiplies the difference of two positive prompts by, if that is all that it does; None also where there is none,
        at CFG 1."""
        if any(self._extra["model_options"].get(name) for name in options.GUIDANCE_CHANGED):
            return None
        weight = guidance_of(self._guider)
        return None if weight == 1 else weight


class _InsteadOfSampler:
    """What a guider calls in place of a sampler."""

    def __init__(self, work: Callable[[Asked], None]):
        self._work = work

    def sample(self, guider, sigmas, extra_args, callback, noise, *more):
        held = conds_of(guider)
        try:
            self._work(Asked(guider, noise, more[1], extra_args))
        finally:
            guider.conds = held
        return noise


def ask(
    patcher, guidance: Guidance, lists: Mapping[str, list[dict[str, Any]]], latent: torch.Tensor, *,
    mask: torch.Tensor | None, sigmas: torch.Tensor, work: Callable[[Asked], None],
) -> None:  # fmt: skip
    """Makes everything ready as for a sampling (loading, hooks, ControlNets, areas), and calls `work` in its place.

    lists: name → conditionings as guiders hold them, which are left as they are. latent, mask: as a sampler node gives them to a guider.
    """
    guider = _guider(patcher, guidance, lists)
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
