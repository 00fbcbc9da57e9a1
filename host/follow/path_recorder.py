"""Records the path of a sampling of a model whose attention cannot be recorded."""

from __future__ import annotations

import torch

from ...hrv.heads.layout import Layout
from ...hrv.recording.recording import Recording, Run
from ...hrv.wording import said
from ..facts.sampler_call import SamplerCall
from .base.calls import Evaluation
from .base.following import Following
from .base.wrapping import Wrapping
from .path_notes import PathNotes, noting

NO_LAYERS = Layout(())


class FollowedPath(Following):
    """Follows one sampling."""

    doing, done = said("Recording"), said("recorded")
    consequence = said("The image is not affected.")

    def __init__(self):
        super().__init__()
        self.path = PathNotes()

    def called(self, guider, call: SamplerCall) -> None:
        self.path = noting(guider, call)

    def before_evaluation(self, evaluation: Evaluation) -> None:
        self.path.note(evaluation)


class PathRecorder(Wrapping):
    """Keeps a Run without maps for each sampling."""

    key, follower, knows_latents = "hrv_record", FollowedPath, True

    def __init__(self, recording: Recording):
        self.recording = recording
        super().__init__()

    def new_sampling(self) -> FollowedPath:
        return FollowedPath()

    def look_back(self, sampling: FollowedPath, samples: torch.Tensor, call: SamplerCall) -> None:
        with sampling.guarded(sampling.at["close"]):
            path = sampling.path.finished()
            if path is not None:
                self.recording.add(Run(NO_LAYERS, traces=call.traces(samples), path=path))
