"""Notes the path of a sampling of any model: what the sampler holds in a few evaluations. Changes nothing, waits for nothing."""

from __future__ import annotations

import logging

import torch

from ...hrv.recording.path import RecordedPath, Step, kept_of
from ..facts.cancel import CANCELS
from ..facts.guider import guidance_kept, original_conds_of
from ..facts.sampler_call import SamplerCall
from .base.calls import Evaluation


class PathNotes:
    """The path of one sampling while it runs; without one, nothing is noted."""

    def __init__(self, path: RecordedPath | None = None, wanted: set[int] | None = None):
        """wanted: which evaluations are kept, counted from 0."""
        self._path = path
        self._wanted = wanted or set()
        self._evaluation = 0

    def note(self, evaluation: Evaluation) -> None:
        """The sampler is about to evaluate the model."""
        if self._path is not None and self._evaluation in self._wanted:
            # copies, for samplers write into what they hold; they go to the CPU when all is done
            held = Step(evaluation.x.detach().clone(), evaluation.timestep.detach().clone())
            self._path.steps[self._evaluation] = held
        self._evaluation += 1

    def finished(self) -> RecordedPath | None:
        """The path on the CPU; None where nothing was noted."""
        if self._path is None or not self._path.steps:
            return None
        self._path.steps = {n: Step(step.x.cpu(), step.sigma.cpu()) for n, step in self._path.steps.items()}
        return self._path


def noting(guider, call: SamplerCall) -> PathNotes:
    """For a sampling that begins. A latent of an unusual form, as of sound, has no path; nor has one of which nothing can be read."""
    try:
        _, latent, sigmas = call.start
        if not (isinstance(latent, torch.Tensor) and isinstance(sigmas, torch.Tensor) and latent.ndim > 3):
            return PathNotes()
        mask = call.given("denoise_mask")
        mask = mask.detach().cpu() if isinstance(mask, torch.Tensor) else None
        path = RecordedPath(latent.detach().cpu(), mask, original_conds_of(guider), guidance_kept(guider))
        return PathNotes(path, kept_of(sigmas[:-1].tolist(), call.highest_sigma))
    except CANCELS:
        raise
    except Exception as error:
        logging.debug("[HRV] the path of a sampling is not kept", exc_info=error)
        return PathNotes()
