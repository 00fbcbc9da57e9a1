"""Steers cross-attention while ComfyUI samples: what a head reads from chosen words is multiplied.

Three wrappers sit on a clone of the model, all under one key. All steering nodes of a model share them, so that their
factors multiply:

    OUTER_SAMPLE     finds the words in the prompts of this sampling
    CALC_COND_BATCH  the lists of conditionings that the rows of the batch belong to
    DIFFUSION_MODEL  hands the UNet a copy of transformer_options in which every steered layer has an entry that multiplies
                     the values of the words' tokens (hrv.steer.factors.scale_values), and then does what would have been done
                     without it

Only the values change, so another pack's replacement of the attention works on steered values, and a recorder, before or
after, records the attention as it is without steering. Whatever goes wrong ends the steering, never the sampling.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...hrv.heads.layout import Layout
from ...hrv.steer.factors import Steering
from ..text.clip_trace import TextRegistry, trace
from .base.wrapping import Wrapping, layout_or_reason
from .steered_sampling import SteeredSampling


def steer(model, clip, steering: Steering):
    """Returns (model, clip): a clone that is steered, and a clone of the CLIP that notes what it encodes, None for None.

    A model without cross-attention comes back as a plain clone, with a warning. Raises ValueError when the steering was made
    for a model with other heads.
    """
    registry = TextRegistry()
    traced = trace(clip, registry) if clip is not None else None
    model = model.clone()
    layout, _ = layout_or_reason(model, "The picture is made without steering.")
    if layout is None:
        return model, traced
    steering.check(layout)
    if steering.acts:
        earlier = Steerer.of(model)
        steerings, registries = (earlier.steerings, earlier.registries) if earlier else ((), ())
        Steerer.take_off(model)
        Steerer(layout, (*steerings, steering), (*registries, registry)).put_on(model)
    return model, traced


class Steerer(Wrapping):
    """All steering of one model."""

    key, follower = "hrv_steer", SteeredSampling

    def __init__(self, layout: Layout, steerings: Sequence[Steering], registries: Sequence[TextRegistry]):
        self.layout = layout
        self.steerings = tuple(steerings)
        self.registries = tuple(registries)
        super().__init__()

    def new_sampling(self) -> SteeredSampling:
        return SteeredSampling(self.layout, self.steerings, self.registries)

    def _diffusion_model(
        self, executor, x, timesteps, context=None, y=None, control=None, transformer_options=None, **kwargs
    ):
        options = {} if transformer_options is None else transformer_options
        sampling = self.sampling
        if sampling is not None:
            with sampling.guarded("matching rows with prompts"):
                options = sampling.options_for(executor.class_obj, x, context, options)
        return executor(x, timesteps, context, y, control, options, **kwargs)
