"""Records cross-attention while ComfyUI samples: one capture for each sampling, kept as a Run."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch

from ...hrv.recording.chains import NOT_JOINED, beginning, join
from ...hrv.recording.recording import Recording, Run
from ...hrv.relevance.votes import VoteCounter
from ...hrv.wording import said
from ..facts.cancel import CANCELS
from ..facts.families import followed_layout_of, is_family
from ..facts.sampler_call import SamplerCall
from ..text.asked_words import AskedWords
from ..text.text_registry import TextRegistry
from .asked_sums import OTHER_MODEL
from .asking_capture import AskingCapture
from .base.errors import cause_of
from .base.preamble import clones_with_layout
from .base.wrapping import Wrapping
from .capture import Capture
from .path_recorder import PathRecorder
from .token_capture import TokenCapture


class VoteKeeper(Protocol):
    """Who wants votes. What it raises ends the voting of that sampling, nothing else."""

    def begin(self, guider) -> VoteCounter | None:
        """A sampling begins; returns the counter that its heads vote into, or None for no votes."""

    def end(self, counter: VoteCounter) -> None:
        """The sampling is done, and everything was counted. Not called after an error or a cancel."""


@dataclass(frozen=True)
class RecordOptions:
    """What to record. Percentages are parts of the schedule (0 noise … 1 image); bytes in memory_limit.

    every: records every n-th evaluation; 0: all, or, where that would take more than 5 % of the time, as many as stay below it, the
    later ones first.
    asked: words that are not in the prompt, to be looked for as well.
    votes: counts votes for head relevance as well (None: none). keep_maps: False keeps nothing but those votes.
    """

    start_percent: float = 0.0
    end_percent: float = 1.0
    time_bins: int = 1
    negative: bool = False
    memory_limit: int = 512 * 2**20
    votes: VoteKeeper | None = None
    keep_maps: bool = True
    every: int = 0
    asked: AskedWords | None = None

    def __post_init__(self):
        """Raises ValueError for an empty part of the schedule."""
        if self.start_percent >= self.end_percent:
            raise ValueError(
                f"Record Attention would record nothing: start_percent ({self.start_percent}) must be smaller than "
                f"end_percent ({self.end_percent})."
            )


def attach(model, clip, options: RecordOptions):
    """Returns (model, clip, recording): clones that record into `recording` and note what they encode.

    A model that cannot be recorded comes back as a plain clone, and reading the recording tells why.
    """
    without = said("The image is generated without a recording; What Each Word Did works all the same.")
    made = clones_with_layout(model, clip, without, partial(followed_layout_of, done=Capture.done))
    if made.layout is None:
        recording = Recording(None, options.memory_limit, problem=made.reason)
        PathRecorder(recording).put_on(made.model)
        return made.model, made.clip, recording
    kind = kind_of_recorder(made.model)
    recorder = kind(Recording(made.layout, options.memory_limit), made.registry, options)
    recorder.put_on(made.model)  # beside that of an earlier Record Attention
    return made.model, made.clip, recorder.recording


def unusable(run: Run, samples, is_finite: bool) -> str | None:
    """Why the maps of a finished sampling tell nothing about its images; None when they do. samples: (batch, …); is_finite: whether all that
    was summed are numbers."""
    entries = [entry for entry in run.entries if entry.maps]
    if any(entry.batch != samples.shape[0] for entry in entries):
        return said(
            "Another node shows the model only some images of the batch at a time (context windows and the "
            "like), so maps cannot be matched to images. This sampling was not recorded."
        )
    if not is_finite:
        return said(
            "The model produced invalid values (NaN) in this sampling, so there is nothing to show, and "
            "its image is probably black. Usual causes are a prompt weight that is not a number, a broken "
            "LoRA, or half precision that is too coarse for the model."
        )
    return None


class Recorder(Wrapping):
    """Opens one Capture per sampling and keeps its Run, with the path that it took."""

    key, follower, knows_latents = "hrv_record", Capture, True
    asking: type[Capture] = AskingCapture
    """What follows a sampling in which words are looked for that are not in the prompt."""

    def __init__(self, recording: Recording, registry: TextRegistry, options: RecordOptions):
        self.recording = recording
        self.registry = registry
        self.options = options
        super().__init__()

    def new_sampling(self) -> Capture:
        kind = self.follower if self.options.asked is None else self.asking
        return kind(Run(self.recording.layout), self.registry, self.options)

    def look_back(self, capture: Capture, samples: torch.Tensor, call: SamplerCall) -> None:
        with capture.guarded(capture.at["close"]):
            capture.close()
            complaint = unusable(capture.run, samples, capture.is_finite)
            if complaint is not None:
                capture.end(complaint)
        try:
            capture.run.traces = call.traces(samples)
        except CANCELS:
            raise
        except Exception as error:  # e.g. nested latents
            logging.warning("[HRV] The latent of this run cannot be recognised later: %s", error)
        with capture.guarded(capture.at["close"]):
            capture.run.path = capture.path.finished()
            self.recording.add(capture.run, instead_of=self._joined(capture, call))

    def _joined(self, capture: Capture, call: SamplerCall) -> Run | None:
        """The earlier run that this sampling went on with, when all it recorded was added to this one's."""
        noise, latent, sigmas = call.start
        try:
            begun = beginning(self.recording, latent, noise, sigmas, call.highest_sigma)
            if not join(capture.run, begun):
                return None
            if capture.run.path is not None and begun.earlier.path is not None:
                capture.run.path = begun.earlier.path.followed_by(capture.run.path)
            return begun.earlier
        except CANCELS:
            raise
        except Exception as error:
            capture.warn(said(NOT_JOINED, cause=cause_of(error)))
            return None


class TokenRecorder(Recorder):
    """The same for a transformer."""

    follower = asking = TokenCapture

    def new_sampling(self) -> Capture:
        capture = super().new_sampling()
        if self.options.asked is not None:
            capture.warn(OTHER_MODEL, cause="asked words")
        return capture


def kind_of_recorder(model) -> type[Recorder]:
    """Which recorder follows samplings of a model that can be recorded."""
    return TokenRecorder if is_family(model) else Recorder
