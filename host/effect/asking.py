"""Asks a model what it makes of a latent, given one conditioning after another, by the host's own way to a sampling: areas, masks,
ControlNets, hooks, timestep ranges and combined prompts act as they do there. Nothing is sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.samplers
import torch

LISTS_AT_ONCE = (
    8  # what the host may put into one batch; a cancel or the progress waits for no more than that
)
BASE = "positive"


@dataclass(frozen=True, eq=False)
class Moment:
    """What a sampler held in one evaluation: x (picture, channel, …, height, width), as the model is given it, and sigma
    (picture,). On the CPU."""

    x: torch.Tensor
    sigma: torch.Tensor


@dataclass(frozen=True, eq=False)
class Setting:
    """What a sampling was given beside its prompts, which models look at (inpainting models, references): the latent and the mask
    of where it may change, as the host handed them to the sampler."""

    latent: torch.Tensor
    mask: torch.Tensor | None = None


class _Guider(comfy.samplers.CFGGuider):
    """Holds lists of conditionings as they are: they are copied by the host before anything is done to them."""

    def hold(self, lists: Mapping[str, list[dict[str, Any]]]) -> None:
        self.original_conds = dict(lists)


class _Asking:
    """In a sampler's place: evaluates each list at each moment instead of sampling."""

    def __init__(self, moments: Sequence[Moment], names: Sequence[str], progress: Callable[[int, int], None]):
        self.moments = moments
        self.names = names
        self.progress = progress
        self.found: list[list[torch.Tensor]] = []

    def sample(
        self,
        guider,
        sigmas,
        extra_args,
        callback,
        noise,
        latent_image=None,
        denoise_mask=None,
        disable_pbar=False,
    ):
        done, total = 0, len(self.moments) * len(self.names)
        for moment in self.moments:
            x, sigma = (t.to(noise.device) for t in (moment.x, moment.sigma))
            answers: list[torch.Tensor] = []
            for first in range(0, len(self.names), LISTS_AT_ONCE):
                comfy.model_management.throw_exception_if_processing_interrupted()
                lists = [guider.conds[name] for name in self.names[first : first + LISTS_AT_ONCE]]
                found = comfy.samplers.calc_cond_batch(
                    guider.inner_model, lists, x, sigma, extra_args["model_options"]
                )
                answers += [one.float().cpu() for one in found]
                done += len(lists)
                self.progress(done, total)
            self.found.append(answers)
        return noise

    def max_denoise(self, *args) -> bool:
        return False


@torch.inference_mode()
def estimates(
    model,
    lists: Sequence[list[dict[str, Any]]],
    moments: Sequence[Moment],
    setting: Setting,
    *,
    progress: Callable[[int, int], None],
) -> list[list[torch.Tensor]]:
    """What the model makes of each moment's latent, given each list of conditionings: [moment][list] (picture, channel, …), in
    the model's own latent units.

    model: a ModelPatcher, without wrappers that follow samplings. lists: conditionings as guiders hold them.
    progress(done, total) is called after each batch; what it raises, or a cancel, ends the work.
    """
    names = [f"{BASE} {number}" for number in range(len(lists))]
    guider = _Guider(model)
    guider.hold(dict(zip(names, lists, strict=True)))
    asking = _Asking(moments, names, progress)
    latent = setting.latent
    sigmas = torch.stack(
        [moment.sigma.flatten()[0].float().cpu() for moment in moments] + [torch.tensor(0.0)]
    )
    guider.sample(
        torch.zeros_like(latent), latent, asking, sigmas, denoise_mask=setting.mask, disable_pbar=True, seed=0
    )
    return asking.found
