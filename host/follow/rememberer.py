"""Remembers what the UNet was given while ComfyUI samples: the rows of positive prompts, copied to the CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from ...hrv.heads.layout import Layout
from ...hrv.steer.source_run import Frame, Moment, Moments, RunMemory, SourceRun
from ...hrv.wording import said
from ..facts.rows import POSITIVE, Chunk
from ..facts.sampler_call import SamplerCall
from ..text.text_registry import TextRegistry
from .base.calls import Evaluation, UnetCall
from .base.following_layers import FollowingLayers
from .base.preamble import clones_with_layout
from .base.wrapping import Wrapping


def remember(model, clip, memory_limit: int):
    """Returns (model, clip, memory): clones that remember into `memory` and note what they encode; memory_limit in bytes.

    A model without cross-attention comes back as a plain clone, and reading the memory tells why.
    """
    made = clones_with_layout(model, clip, said("The image is generated without being remembered."))
    if made.layout is None:
        return made.model, made.clip, RunMemory(memory_limit, problem=made.reason)
    rememberer = Rememberer(made.layout, RunMemory(memory_limit), made.registry)
    Rememberer.take_off(made.model)  # of an earlier Remember Run
    rememberer.put_on(made.model)
    return made.model, made.clip, rememberer.memory


class RememberedSampling(FollowingLayers):
    """Follows one sampling into a SourceRun. Needs no entries."""

    doing, done = said("Remembering"), said("remembered")
    consequence = said("The image is not affected.")
    at = FollowingLayers.at | {
        "after_evaluation": "storing what the sampler was given",
        "options_for": "copying what the model is given",
        "after_call": "storing what the model was given",
        "close": "storing the run",
    }

    def __init__(self, layout: Layout, registry: TextRegistry, memory_limit: int):
        super().__init__(layout)
        self.run = SourceRun()
        self._registry = registry
        self._limit = memory_limit
        self._moments = Moments()
        self._moment: Moment | None = None

    def free(self) -> None:
        self.run.forget()

    def open(self, guider) -> None:
        """Finds the words of the positive prompts."""
        for owner, prompt, _ in self.positive_prompts(guider, [self._registry]):
            self.run.prompts[owner.index] = prompt

    def before_evaluation(self, evaluation: Evaluation) -> None:
        """Once no more fits, nothing more is kept."""
        full = self.run.nbytes > self._limit
        self._moment = None if full else self._moments.next(evaluation.sigma)
        if full:
            self.run.is_cut_short = True
            self.warn(
                said(
                    "This run takes more than {limit} MB, so its last steps are not remembered. Raise memory_limit_mb in Remember Run.",
                    limit=self._limit // 2**20,
                ),
                cause="memory",
            )

    def after_evaluation(self, evaluation: Evaluation, denoised: torch.Tensor) -> torch.Tensor:
        """Keeps it, after guidance."""
        if self._moment in self.run.frames:
            self.run.add_denoised(self._moment, _copy(denoised))
        return denoised

    def options_for(self, call: UnetCall) -> dict[str, Any]:
        """Changes nothing: notes the positive chunks, their places and what the UNet is given for them."""
        call.noted = None if self._moment is None else self._frames(call)
        return call.options

    def _frames(self, call: UnetCall) -> list[tuple[Chunk, int, Frame]]:
        found, tokens = [], call.context.shape[1]
        for chunk, owner in self.owned(call.x, call.options, POSITIVE):
            length, rows = self.conditionings.length(chunk), chunk.rows
            if tokens % length:
                self.tell_of_prompt(length, tokens)
                continue
            context = call.context[rows, :length]
            y = None if call.y is None else _copy(call.y[rows])
            # copies, for the UNet or the sampler may write into what it was given
            frame = Frame(_copy(call.x[rows]), _copy(call.timesteps[rows]), _copy(context), y)
            found.append((chunk, owner.index, frame))
        return found

    def after_call(self, call: UnetCall, output: torch.Tensor) -> None:
        """Keeps the frames; of the first one also what the UNet made of it."""
        for chunk, place, frame in call.noted:
            is_first = not any(place in frames for frames in self.run.frames.values())
            if is_first:
                frame = replace(frame, output=_copy(output[chunk.rows]))
            with self.lock:
                self.run.add(self._moment, place, frame)


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().clone()


class Rememberer(Wrapping):
    """Keeps the run of each sampling."""

    key, follower, knows_latents = "hrv_remember", RememberedSampling, True

    def __init__(self, layout: Layout, memory: RunMemory, registry: TextRegistry):
        self.layout = layout
        self.memory = memory
        self.registry = registry
        super().__init__()

    def new_sampling(self) -> RememberedSampling:
        return RememberedSampling(self.layout, self.registry, self.memory.memory_limit)

    def look_back(self, sampling: RememberedSampling, samples: torch.Tensor, call: SamplerCall) -> None:
        with sampling.guarded(sampling.at["close"]):
            sampling.run.traces = call.traces(samples)
            if sampling.run.frames:
                self.memory.add(sampling.run)
            elif sampling.warnings:
                self.memory.problem = sampling.warnings[0]
