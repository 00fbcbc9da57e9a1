"""Attend and Excite inside ComfyUI's samplers: before an evaluation the latent moves to where the words are looked at more.

Three wrappers sit on a clone of the model, all under one key. All Attend and Excite nodes of a model share them, so that the
network runs once for all of them:

    OUTER_SAMPLE     finds the words in the prompts of this sampling
    PREDICT_NOISE    before an evaluation: runs the positive prompts once more through the host's own path, and moves x
    DIFFUSION_MODEL  in that run: takes the maps, stops the UNet behind the last one, and computes the gradient

x is moved where it lies. A sampler keeps its x, and works out the next one from that and from the estimate it is given; only
if both are those of the moved latent does it take the step that Chefer et al. take. Where the host or a sampler hands over a copy
(a latent with a noise mask), the move reaches the picture through the estimate alone.

Whatever goes wrong ends the exciting, never the sampling.
"""

from __future__ import annotations

from collections.abc import Sequence

import comfy.model_management
import torch

from ...hrv.heads.layout import Layout
from ...hrv.steer.attend_excite import Excitement, grids_of, weights_on
from ..text.clip_trace import TextRegistry, trace
from .base.wrapping import Wrapping, layout_or_reason
from .excited_sampling import ExcitedSampling
from .gradients import levels_of


def excite(model, clip, excitement: Excitement):
    """Returns (model, clip): a clone whose words are excited, and a clone of the CLIP that notes what it encodes, None for None.

    A model without cross-attention comes back as a plain clone, with a warning. Raises ValueError when the vectors were made
    for a model with other heads, or have nothing to say on this one.
    """
    registry = TextRegistry()
    traced = trace(clip, registry) if clip is not None else None
    model = model.clone()
    layout, _ = layout_or_reason(model, "The picture is made without exciting.")
    if layout is None:
        return model, traced
    if excitement.vectors is not None:
        excitement.vectors.check(layout)
    levels = levels_of(model.model.diffusion_model, layout)
    for level in grids_of(levels, layout):
        weights_on(excitement, layout, [number for number, found in enumerate(levels) if found == level])
    if excitement.strength:
        earlier = Exciter.of(model)
        excitements, registries = (earlier.excitements, earlier.registries) if earlier else ((), ())
        Exciter.take_off(model)
        Exciter(layout, levels, (*excitements, excitement), (*registries, registry)).put_on(model)
    return model, traced


class Exciter(Wrapping):
    """All Attend and Excite nodes of one model."""

    key, follower = "hrv_excite", ExcitedSampling
    _calc_cond_batch = None  # the prompts' lists are those of its own run

    def __init__(
        self,
        layout: Layout,
        levels: Sequence[int],
        excitements: Sequence[Excitement],
        registries: Sequence[TextRegistry],
    ):
        self.layout = layout
        self.levels = levels
        self.excitements = tuple(excitements)
        self.registries = tuple(registries)
        super().__init__()

    def new_sampling(self) -> ExcitedSampling:
        return ExcitedSampling(self.layout, self.levels, self.excitements, self.registries)

    def _predict_noise(self, executor, x, timestep, model_options=None, *args, **kwargs):
        options = {} if model_options is None else model_options
        sampling = self.sampling
        if sampling is not None:
            with sampling.guarded("looking for the way"):
                comfy.model_management.throw_exception_if_processing_interrupted()
                shift = sampling.shift(executor.class_obj, x, timestep, options)
                if shift is not None:
                    x = moved(x, shift)
        return executor(x, timestep, options, *args, **kwargs)

    def _diffusion_model(
        self, executor, x, timesteps, context=None, y=None, control=None, transformer_options=None, **kwargs
    ):
        options = {} if transformer_options is None else transformer_options
        sampling = self.sampling
        if sampling is not None and sampling.differentiating:
            return sampling.differentiate(executor, x, timesteps, context, y, control, options, kwargs)
        return executor(x, timesteps, context, y, control, options, **kwargs)


def moved(x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """x + shift, both (picture, channel, height, width): x itself, moved where it lies; a copy where x must not be written
    into, because pictures share its memory, gradients are taken of it, or it was made in inference mode and that has ended."""
    shares_memory = any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape))
    in_graph = x.requires_grad and torch.is_grad_enabled()
    # asked, not tried: of an inference tensor torch complains after it has written
    frozen = x.is_inference() and not torch.is_inference_mode_enabled()
    return x + shift if shares_memory or in_graph or frozen else x.add_(shift)
