"""Changes words of an image that was sampled before, while its attention keeps the rest in place.

In each evaluation the UNet runs on what it was given in the first sampling (`replay`), and then on the present input, with a copy of
transformer_options in which layers use the queries and keys of that run.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...hrv.steer.factors import Steering
from ...hrv.steer.source_run import RunMemory, SourceRun
from ...hrv.wording import said
from .base.preamble import clones_with_layout
from .base.wrapping import Wrapping
from .edited_sampling import EditedSampling
from .recorder import Recorder
from .rememberer import Rememberer
from .steerer import Steerer


@dataclass(frozen=True)
class EditOptions:
    """cross_percent, self_percent: up to which part of the schedule the first image's cross-attention and
    self-attention are used. smaller_grids: self-attention on all but the largest grid. replace: new words take the old
    words' place. steering: how the changed words are rescaled, by its own words or, without any, those that changed. mask:
    (1 or image, height, width), 0 where the first image is to stay as it is.
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

    A model that is no UNet with cross-attention comes back as a plain clone, with a warning. Raises ValueError when the latent's run is not
    remembered, or the steering does not fit.
    """
    made = clones_with_layout(model, None, said("The image is generated without Edit Prompt."))
    if made.layout is None:
        return made.model
    if options.steering is not None:
        options.steering.check(made.layout)
    run, note = memory.match(latent)
    Rememberer.take_off(made.model)  # an edited image need not be remembered
    if options.acts:
        Editor.take_off(made.model)
        Editor(made.layout, run, options, said("Edit Prompt: {what}", what=note) if note else "").put_on(
            made.model
        )
    return made.model


class Editor(Wrapping):
    """The editing of one model."""

    key, follower = "hrv_edit", EditedSampling
    stays_outside = (Steerer.key, Recorder.key)
    """So what they put into the layers acts first, on the queries, keys and values that the editing then gets."""

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
