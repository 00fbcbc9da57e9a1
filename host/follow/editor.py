"""Changes words of a picture that was sampled before, while its attention keeps the rest in place.

Four wrappers sit on a clone of the model, all under one key:

    OUTER_SAMPLE     finds which words of the new prompt stand for which of the old one
    PREDICT_NOISE    one evaluation, and the remembered one of the same sigma, whose result stays outside the mask
    CALC_COND_BATCH  the lists of conditionings that the rows of the batch belong to
    DIFFUSION_MODEL  runs the UNet on the remembered input, and hands it the present one with a copy of transformer_options
                     in which layers use the queries and keys of that run

Whatever goes wrong ends the editing, never the sampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...hrv.steer.factors import Steering
from ...hrv.steer.source_run import RunMemory, SourceRun
from ..facts.rows import go_innermost
from .base.following import ran_out_of_memory
from .base.wrapping import DIFFUSION_MODEL, Wrapping, layout_or_reason
from .edited_sampling import EditedSampling
from .recorder import Recorder
from .rememberer import Rememberer
from .steerer import Steerer


@dataclass(frozen=True)
class EditOptions:
    """cross_percent, self_percent: up to which part of the schedule the first picture's cross-attention and
    self-attention are used. smaller_grids: self-attention on all but the largest grid. replace: new words take the old
    words' place. steering: how the changed words are rescaled, by its own words or, without any, those that changed. mask:
    (1 or picture, height, width), 0 where the first picture is to stay as it is.
    """

    cross_percent: float
    self_percent: float
    smaller_grids: bool = True
    replace: bool = True
    steering: Steering | None = None
    mask: torch.Tensor | None = None

    @property
    def acts(self) -> bool:
        """Whether anything is changed at all."""
        takes = self.cross_percent > 0 or self.self_percent > 0 or self.mask is not None
        return takes or (self.steering is not None and self.steering.acts)


def edit(model, memory: RunMemory, latent, options: EditOptions):
    """A clone of the model whose sampling uses the attention of the run that made this latent (batch, channel, height, width).

    A model without cross-attention comes back as a plain clone, with a warning. Raises ValueError when the latent's run is not
    remembered, or the steering does not fit.
    """
    model = model.clone()
    layout, _ = layout_or_reason(model, "The picture is made without the first one's attention.")
    if layout is None:
        return model
    if options.steering is not None:
        options.steering.check(layout)
    run, note = memory.match(latent)
    Rememberer.take_off(model)  # an edited picture need not be remembered
    if options.acts:
        Editor.take_off(model)
        Editor(layout, run, options, f"Edit Prompt: {note}" if note else "").put_on(model)
    return model


class Editor(Wrapping):
    """The editing of one model."""

    key, follower = "hrv_edit", EditedSampling
    reads = "comparing the prompts"

    def __init__(self, layout, run: SourceRun, options: EditOptions, warning: str = ""):
        self.layout = layout
        self.run = run
        self.options = options
        self.warning = warning
        super().__init__()

    def new_sampling(self) -> EditedSampling:
        sampling = EditedSampling(self.layout, self.run, self.options)
        if self.warning:
            sampling.warn(self.warning)
        return sampling

    def put_in_order(self, model_options) -> None:
        """Our wrapper of the UNet runs after those of other packs and before steering and recording: so what they put into the
        layers acts first, on the queries, keys and values that the editing then gets."""
        super().put_in_order(model_options)
        inner = model_options["transformer_options"]["wrappers"][DIFFUSION_MODEL]
        for key in [key for key in inner if key in (Steerer.key, Recorder.key)]:
            go_innermost(model_options, key)

    def _predict_noise(self, executor, x, timestep, *args, **kwargs):
        sampling = self.sampling
        if sampling is None:
            return executor(x, timestep, *args, **kwargs)
        with sampling.guarded("following the schedule"):
            sampling.begin_evaluation(timestep)
        denoised = executor(x, timestep, *args, **kwargs)
        with sampling.guarded("keeping what is outside the mask"):
            denoised = sampling.masked(denoised)
        return denoised

    def _diffusion_model(
        self, executor, x, timesteps, context=None, y=None, control=None, transformer_options=None, **kwargs
    ):
        given = {} if transformer_options is None else transformer_options
        sampling, options = self.sampling, given
        if sampling is not None:
            with sampling.guarded("computing the first picture's attention"):
                options = sampling.options_for(executor, x, context, control, given)
        if sampling is None or options is given:
            return executor(x, timesteps, context, y, control, given, **kwargs)
        # the UNet empties the lists of control signals
        spare_control = control and {part: list(signals) for part, signals in control.items()}
        try:
            return executor(x, timesteps, context, y, control, options, **kwargs)
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
            # perhaps the first picture's queries and keys fill it: once more without
            sampling.abandon("the model was running", error)
        del options
        return executor(x, timesteps, context, y, spare_control, given, **kwargs)
