"""What a guider's sampling is called with, and what is known of its latents afterwards."""

from __future__ import annotations

import logging
from typing import Any

import torch

from ...hrv.runs.latents import Traces, traces_of
from .cancel import CANCELS
from .guider import patcher_of
from .memory import intermediate_dtype
from .patcher import highest_sigma, latent_out
from .wrappers import OUTER_SAMPLE_GIVEN


class SamplerCall:
    """One call of `guider.outer_sample`. args, kwargs: to go on with, in the form in which they came."""

    def __init__(self, guider, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.args, self.kwargs = args, kwargs
        self._guider = guider
        self._last: list[torch.Tensor] = []

    def given(self, name: str) -> Any:
        """One of OUTER_SAMPLE_GIVEN; None where it was not given."""
        place = OUTER_SAMPLE_GIVEN.index(name)
        return self.args[place] if place < len(self.args) else self.kwargs.get(name)

    @property
    def start(self) -> tuple[Any, Any, Any]:
        """(noise, latent, sigmas) that it begins with."""
        noise, latent, _, sigmas = map(self.given, OUTER_SAMPLE_GIVEN[:4])
        return noise, latent, sigmas

    @property
    def highest_sigma(self) -> float:
        """Where the model's whole schedule begins."""
        return highest_sigma(patcher_of(self._guider))

    def watch(self) -> None:
        """Notes what the sampler shows of the image in each step, of which it takes nothing away. The node SamplerCustomAdvanced
        makes its denoised_output from the last one; where nobody is shown anything, there is none."""
        callback, last = (
            self.given("callback"),
            self._last,
        )  # not self: a circle would wait for the garbage collector
        if callback is None:
            return

        def watched(*given, **named):  # (step, denoised, noisy, steps)
            shown = callback(*given, **named)
            last[:] = given[1:2]
            return shown

        place = OUTER_SAMPLE_GIVEN.index("callback")
        if place < len(self.args):
            self.args = (*self.args[:place], watched, *self.args[place + 1 :])
        else:
            self.kwargs = {**self.kwargs, "callback": watched}

    def traces(self, samples: torch.Tensor) -> Traces:
        """What the latents that sampler nodes will hand on are known by; samples: (batch, …), what the sampling gave."""
        dtype = intermediate_dtype(samples.dtype)
        return traces_of(samples.cpu().to(dtype), self._denoised(samples, dtype))

    def _denoised(self, samples: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
        """`denoised_output` as the node makes it; None where there is none to be had."""
        if not self._last or getattr(self._last[0], "shape", None) != samples.shape:
            return None
        try:
            return latent_out(patcher_of(self._guider), self._last[0].cpu()).to(dtype)
        except CANCELS:
            raise
        except Exception as error:
            logging.debug("[HRV] denoised_output will not be recognised", exc_info=error)
            return None
