"""Following one sampling: the hooks, the warnings, and errors that end the following but never the sampling."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping
from typing import ClassVar

import torch

from ....hrv.wording import said, sentences
from ...facts.cancel import CANCELS
from ...facts.sampler_call import SamplerCall
from ...page import log
from .calls import Evaluation, ModelCall, UnetCall
from .errors import cause_of

LOSSES = ("words", "rows", "tiles", "prompt", "fit", "layer", "own way")
"""Causes of the warnings that say why something was not followed."""


class Following:
    """Follows one sampling of a model of any kind.

    A follower overrides the hooks that it needs; `Wrapping` puts on the wrappers that call them, and guards each call. Once the
    following has ended (`failed`), only `close` is still called.
    """

    doing: ClassVar[str]  # "Recording", as a sentence begins
    done: ClassVar[str]  # "recorded", as a sentence ends
    consequence: ClassVar[str]  # what an error means for the image
    at: ClassVar[Mapping[str, str]] = {
        "open": "reading the prompts",
        "before_evaluation": "following the schedule",
        "after_evaluation": "following the schedule",
        "close": "finishing up",
    }
    """What goes on in a hook, for the warning about an error: "Recording stopped while …"."""

    def __init__(self, warnings: list[str] | None = None):
        self.warnings: list[str] = [] if warnings is None else warnings
        self.failed = False
        self.lock = threading.RLock()  # several GPUs run their chunks in threads
        self.lost: dict[str, str] = {}  # warnings that say what could not be followed, by cause
        self._warned: set[str] = set()

    # -- hooks, in the order in which they are called ---------------------------------------------------------

    def refusal(self, guider) -> str:
        """Why this sampling cannot be followed; empty if it can."""
        return ""

    def called(self, guider, call: SamplerCall) -> None:
        """The guider was called to sample, before anything else. May not raise."""

    def around(self):
        """A context in which the sampling runs. Not guarded."""
        return contextlib.nullcontext()

    def open(self, guider) -> None:
        """The sampling begins."""

    def before_evaluation(self, evaluation: Evaluation) -> None:
        """The sampler is about to evaluate the model."""

    def evaluated(self, lists, latent: tuple[int, int]):
        """A context in which these lists of conditionings are evaluated on a latent of (height, width). Not guarded."""
        return contextlib.nullcontext()

    def in_unet(self, call: UnetCall) -> torch.Tensor:
        """Makes one call of the UNet, `call.go_on`. Not guarded."""
        return call.go_on()

    def in_model(self, call: ModelCall) -> torch.Tensor:
        """Makes one call of a model of another kind, `call.go_on`. Not guarded."""
        return call.go_on()

    def after_evaluation(self, evaluation: Evaluation, denoised: torch.Tensor) -> torch.Tensor:
        """What the sampler is given: (image, channel, height, width). denoised: what the guider made, of the same shape."""
        return denoised

    def close(self) -> None:
        """The sampling is done. Not called after an error of the sampling or a cancel."""

    # -- errors and warnings ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def guarded(self, at: str):
        """An error inside ends the following with one warning, and lets the sampling go on. A cancel passes through."""
        try:
            yield
        except CANCELS:
            raise
        except Exception as error:
            self.abandon(at, error)

    def abandon(self, at: str, error: Exception) -> None:
        """Ends the following after an error, and says why."""
        stopped = said(
            "{doing} stopped while {at} ({cause}).", doing=self.doing, at=at, cause=cause_of(error)
        )
        self.end(sentences(stopped, self.consequence))
        logging.debug("[HRV] %s stopped", self.doing, exc_info=error)

    def end(self, reason: str) -> None:
        """Ends the following with a warning. The first reason counts."""
        with self.lock:
            if self.failed:
                return
            self.failed = True
            self.free()
            self.warn(reason)

    def free(self) -> None:
        """Gives back what was taken, when the following ends early."""

    def warn(self, message: str, cause: str | None = None) -> None:
        """Notes a warning and says it in the log, once for each cause (the message itself if not given)."""
        with self.lock:
            if cause in LOSSES:
                self.lost.setdefault(cause, message)
            if (cause or message) in self._warned:
                return
            self._warned.add(cause or message)
            self.warnings.append(message)
            log.warn(message)
