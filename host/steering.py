"""Steers cross-attention while ComfyUI samples: what a head reads from chosen words is multiplied.

Three wrappers sit on a clone of the model, all under one key. All steering nodes of a model share them, so that their
factors multiply:

    OUTER_SAMPLE     finds the words in the prompts of this sampling
    CALC_COND_BATCH  the lists of conditionings that the rows of the batch belong to
    DIFFUSION_MODEL  hands the UNet a copy of transformer_options in which every steered layer has an entry that multiplies
                     the values of the words' tokens (hrv.steering.scale_values), and then does what would have been done
                     without it

Only the values change, so another pack's replacement of the attention works on steered values, and a recorder, before or
after, records the attention as it is without steering. Whatever goes wrong ends the steering, never the sampling.
"""

from __future__ import annotations

from collections.abc import Sequence

import comfy.patcher_extension

from ..hrv.layout import Layout
from ..hrv.steering import Steering
from .blocks import layout_of
from .clip_trace import TextRegistry, trace
from .following import begun
from .rows import go_innermost
from .steered_sampling import SteeredSampling

KEY = "hrv_steer"


def steer(model, clip, steering: Steering):
    """Returns (model, clip): a clone that is steered, and a clone of the CLIP that notes what it encodes, None for None.

    Raises ValueError when the steering was made for a model with other heads, or the model has none.
    """
    layout = layout_of(getattr(model.model, "diffusion_model", None))
    steering.check(layout)
    registry = TextRegistry()
    traced = trace(clip, registry) if clip is not None else None
    model = model.clone()
    if steering.acts:
        earlier = _steerer_of(model)
        steerings, registries = (earlier.steerings, earlier.registries) if earlier else ((), ())
        Steerer(layout, (*steerings, steering), (*registries, registry)).install(model)
    return model, traced


def _steerer_of(model) -> Steerer | None:
    wrappers = model.get_wrappers(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, KEY)
    return wrappers[0].__self__ if wrappers else None


class Steerer:
    """All steering of one model. Follows one sampling at a time."""

    def __init__(self, layout: Layout, steerings: Sequence[Steering], registries: Sequence[TextRegistry]):
        self.layout = layout
        self.steerings = tuple(steerings)
        self.registries = tuple(registries)
        self._sampling: SteeredSampling | None = None

    def __deepcopy__(self, memo) -> Steerer:
        """Packs that deep-copy model_options keep the wrappers of one sampling together."""
        return self

    def install(self, model) -> None:
        """Puts the wrappers on a ModelPatcher that is ours alone, in place of an earlier steerer's."""
        kinds = comfy.patcher_extension.WrappersMP
        for kind, wrapper in (
            (kinds.OUTER_SAMPLE, self._outer_sample),
            (kinds.CALC_COND_BATCH, self._calc_cond_batch),
            (kinds.DIFFUSION_MODEL, self._diffusion_model),
        ):
            model.remove_wrappers_with_key(kind, KEY)
            model.add_wrapper_with_key(kind, KEY, wrapper)

    def _outer_sample(self, executor, *args, **kwargs):
        sampling = begun(lambda: SteeredSampling(self.layout, self.steerings, self.registries), "Steering")
        if sampling is None:
            return executor(*args, **kwargs)
        with sampling.guarded("reading the prompts"):
            sampling.open(executor.class_obj)
            go_innermost(executor.class_obj.model_options, KEY)
        self._sampling = sampling
        try:
            samples = executor(*args, **kwargs)
        finally:
            self._sampling = None
        with sampling.guarded("looking back"):
            sampling.close()
        return samples

    def _calc_cond_batch(self, executor, model, conds, *args, **kwargs):
        if self._sampling is None:
            return executor(model, conds, *args, **kwargs)
        with self._sampling.evaluated(conds):
            return executor(model, conds, *args, **kwargs)

    def _diffusion_model(
        self, executor, x, timesteps, context=None, y=None, control=None, transformer_options=None, **kwargs
    ):
        options = {} if transformer_options is None else transformer_options
        sampling = self._sampling
        if sampling is not None:
            with sampling.guarded("matching rows with prompts"):
                options = sampling.options_for(executor.class_obj, x, context, options)
        return executor(x, timesteps, context, y, control, options, **kwargs)
