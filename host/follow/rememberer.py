"""Remembers what the UNet was given while ComfyUI samples, without changing what is sampled.

Four wrappers sit on a clone of the model, all under one key:

    OUTER_SAMPLE     opens a run, and keeps it when the sampler has finished
    PREDICT_NOISE    one evaluation of the model by the sampler
    CALC_COND_BATCH  the lists of conditionings that the rows of the batch belong to
    DIFFUSION_MODEL  copies the rows of positive prompts to the CPU

Whatever goes wrong ends the remembering, never the sampling.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ...hrv.heads.layout import Layout
from ...hrv.steer.source_run import Frame, Moment, Moments, RunMemory, SourceRun
from ..facts.rows import POSITIVE, Chunk, Conditionings
from ..facts.sampler_call import SamplerCall
from ..text.clip_trace import TextRegistry, find_prompt, registries_of, trace
from .base.following import Following
from .base.wrapping import Wrapping, layout_or_reason


def remember(model, clip, memory_limit: int):
    """Returns (model, clip, memory): clones that remember into `memory` and note what they encode; memory_limit in bytes.

    A model without cross-attention comes back as a plain clone, and reading the memory tells why.
    """
    registry = TextRegistry()
    traced = trace(clip, registry) if clip is not None else None
    model = model.clone()
    layout, reason = layout_or_reason(model, "The picture is made without being remembered.")
    if layout is None:
        return model, traced, RunMemory(memory_limit, problem=reason)
    rememberer = Rememberer(layout, RunMemory(memory_limit), registry)
    Rememberer.take_off(model)  # of an earlier Remember Run
    rememberer.put_on(model)
    return model, traced, rememberer.memory


class RememberedSampling(Following):
    """Follows one sampling into a SourceRun."""

    doing, done = "Remembering", "remembered"
    consequence = "The picture is not affected."

    def __init__(self, layout: Layout, registry: TextRegistry, memory_limit: int):
        super().__init__(layout, [])
        self.run = SourceRun()
        self._registry = registry
        self._limit = memory_limit
        self._moments = Moments()
        self._moment: Moment | None = None

    def free(self) -> None:
        self.run.forget()

    def open(self, guider) -> None:
        """Finds the words of the positive prompts."""
        self.conditionings = Conditionings(guider)
        registries = [*registries_of(owner.cond for owner in self.conditionings), self._registry]
        for owner in self.conditionings:
            if owner.role == POSITIVE:
                self.run.prompts[owner.index] = find_prompt(owner.cond, registries)[0]

    def begin_evaluation(self, timestep: torch.Tensor) -> None:
        """timestep: (batch,) sigma. Once no more fits, nothing more is kept."""
        full = self.run.nbytes > self._limit
        self._moment = None if full else self._moments.next(float(timestep.flatten()[0]))
        if full:
            self.run.is_cut_short = True
            self.warn(
                f"What was to be remembered is larger than {self._limit // 2**20} MB: the last steps are not remembered. "
                "Raise memory_limit_mb in Remember Run.",
                cause="memory",
            )

    def end_evaluation(self, denoised: torch.Tensor) -> None:
        """denoised: (picture, channel, height, width), after guidance."""
        if not self.failed and self._moment in self.run.frames:
            self.run.add_denoised(self._moment, denoised.detach().cpu().clone())

    def frames(self, x, timesteps, context, y, options) -> list[tuple[Chunk, int, Frame]]:
        """The positive chunks of one call, their places and what the UNet is given for them.

        x: (chunk · batch, channel, height, width); context: (chunk · batch, token, channel); y: (chunk · batch, channel).
        """
        if self.failed or self._moment is None or self.conditionings is None or context is None:
            return []
        found = []
        for chunk in self.chunks(x, options):
            owner = self.conditionings.owner(chunk)
            if owner is None or owner.role != POSITIVE:
                continue
            length, rows = self.conditionings.length(chunk), chunk.rows
            if context.shape[1] % length:
                self.warn(
                    f"A prompt of {length} tokens reached the model with {context.shape[1]}, because another node changes "
                    "prompts (attention couple and the like). Those steps were not remembered.",
                    cause="prompt",
                )
                continue
            given = (x[rows], timesteps[rows], context[rows, :length], None if y is None else y[rows])
            # a copy, for the UNet or the sampler may write into what it was given
            found.append(
                (chunk, owner.index, Frame(*(None if t is None else t.detach().cpu().clone() for t in given)))
            )
        return found

    def keep(self, given: list[tuple[Chunk, int, Frame]], output: torch.Tensor) -> None:
        """output: what the UNet made of the call."""
        for chunk, place, frame in given:
            is_first = not any(place in frames for frames in self.run.frames.values())
            if is_first:
                frame = replace(frame, output=output[chunk.rows].detach().cpu().clone())
            with self.lock:
                self.run.add(self._moment, place, frame)


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
        with sampling.guarded("keeping the run"):
            sampling.run.traces = call.traces(samples)
            if sampling.run.frames:
                self.memory.add(sampling.run)
            elif sampling.warnings:
                self.memory.problem = sampling.warnings[0]

    def _predict_noise(self, executor, x, timestep, *args, **kwargs):
        sampling = self.sampling
        if sampling is None:
            return executor(x, timestep, *args, **kwargs)
        with sampling.guarded("following the schedule"):
            sampling.begin_evaluation(timestep)
        denoised = executor(x, timestep, *args, **kwargs)
        with sampling.guarded("keeping what the sampler was given"):
            sampling.end_evaluation(denoised)
        return denoised

    def _diffusion_model(
        self, executor, x, timesteps, context=None, y=None, control=None, transformer_options=None, **kwargs
    ):
        options = {} if transformer_options is None else transformer_options
        sampling, given = self.sampling, []
        if sampling is not None:
            with sampling.guarded("copying what the model is given"):
                given = sampling.frames(x, timesteps, context, y, options)
        output = executor(x, timesteps, context, y, control, options, **kwargs)
        if sampling is not None:
            with sampling.guarded("keeping what the model was given"):
                sampling.keep(given, output)
        return output
