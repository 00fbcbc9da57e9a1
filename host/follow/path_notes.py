"""Notes the path of a sampling of any model: what the sampler holds in a few evaluations. Changes nothing, waits for nothing."""

from __future__ import annotations

import torch

from ...hrv.recording.path import RecordedPath, Step, kept_of
from ..facts.guider import original_conds_of
from ..facts.sampler_call import SamplerCall
from .base.calls import Evaluation


class PathNotes:
    """The path of one sampling while it runs."""

    def __init__(self, guider, call: SamplerCall):
        """Raises nothing: a latent of an unusual form has no path."""
        _, latent, sigmas = call.start
        self._evaluation = 0
        self._wanted: set[int] = set()
        self.path: RecordedPath | None = None
        if isinstance(latent, torch.Tensor) and isinstance(sigmas, torch.Tensor) and sigmas.ndim == 1:
            self._wanted = kept_of(len(sigmas) - 1)
            self.path = RecordedPath(
                latent.detach().cpu(), call.given("denoise_mask"), original_conds_of(guider)
            )

    def note(self, evaluation: Evaluation) -> None:
        """The sampler is about to evaluate the model."""
        if self._evaluation in self._wanted:
            # copies, for samplers write into what they hold; they go to the CPU when all is done
            self.path.steps[self._evaluation] = Step(
                evaluation.x.detach().clone(), evaluation.timestep.detach().clone()
            )
        self._evaluation += 1

    def finished(self) -> RecordedPath | None:
        """The path on the CPU; None where nothing was noted."""
        if self.path is None or not self.path.steps:
            return None
        self.path.steps = {
            number: Step(step.x.cpu(), step.sigma.cpu()) for number, step in self.path.steps.items()
        }
        return self.path
