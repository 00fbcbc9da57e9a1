"""Attend and Excite in one sampling while it runs: which way the latent goes before each evaluation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from ...hrv.heads.layout import Layout
from ...hrv.prompt import Prompt
from ...hrv.steer.attend_excite import (
    Excitement,
    competing_maps,
    neglect,
    small_grid,
    weighted_map,
    weights_on,
)
from ...hrv.steer.factors import missing_words
from ...hrv.wording import said, sentences
from ..facts.conditionings import UUID, is_limited
from ..facts.guider import conds_of, evaluate, inner_model_of
from ..facts.memory import empty_cache
from ..facts.patcher import input_scale, part_at
from ..facts.rows import Chunk
from ..facts.running import stop_if_cancelled
from ..text.text_registry import TextRegistry
from .base.calls import Evaluation, UnetCall
from .base.errors import ran_out_of_memory
from .base.following import Following
from .base.following_layers import FollowingLayers
from .base.layer_entries import LayerCall
from .base.wording import UNKNOWN_WORDS, why_idle
from .gradients import DIFFERENTIABLE_ATTENTION, Reached, differentiable, moved, until_layer
from .unfollowed import unfollowed

LESS_MEMORY = said(
    "The rest of the image is generated without it: its gradient takes more memory than sampling does. A "
    "smaller image or batch needs less."
)
LOSS_SCALE = 1024.0
"""Small gradients would be lost in half precision; a power of two changes nothing else."""
NOT_FITTING = said(
    "Another node changes prompts, batches or the size of what the model is given (attention couple, tiles and the like). "
    "Those steps were not excited."
)
NO_NOUNS = said(
    "Attend and Excite found nothing to excite in the prompt. Name the words to excite in its words input."
)


class ExcitedSampling(FollowingLayers):
    """Follows one sampling."""

    doing, done = said("Attend and Excite"), said("excited")
    consequence = said("The rest of the image is generated without it.")
    at = FollowingLayers.at | {"before_evaluation": "computing its gradient"}
    evaluated = Following.evaluated  # it knows the lists: they are those of its own run

    def __init__(
        self,
        layout: Layout,
        levels: Sequence[int],
        excitements: Sequence[Excitement],
        registries: Sequence[TextRegistry],
    ):
        super().__init__(layout)
        self.excitements = excitements
        self.registries = registries
        self.levels = levels
        self.layers: tuple[int, ...] = ()
        self.differentiating = False
        self._prompts: dict[Any, Prompt] = {}  # by uuid
        self._words: dict[Any, list[list[tuple[int, ...]]]] = {}  # by uuid: excitement, word, columns
        self._steps: list[float] = []
        self._uphill: torch.Tensor | None = None
        self._keys: dict[Any, int] = {}  # by uuid: how many a layer should see
        self._limited = False
        self._asked = self._in_time = self._gradients = 0

    def open(self, guider) -> None:
        """Finds the words in the positive prompts."""
        unknown = said(UNKNOWN_WORDS, done=self.done, node=self.doing)
        for owner, prompt in self.known_prompts(guider, self.registries, unknown):
            self._prompts[owner.uuid] = prompt
            words = [excitement.columns(prompt) for excitement in self.excitements]
            if any(words):
                self._words[owner.uuid] = words
        conds = [owner.cond for owner in self.conditionings if owner.uuid in self._words]
        self._limited = bool(conds) and all(map(is_limited, conds))
        self._tell_missing()

    def _tell_missing(self) -> None:
        prompts = list(self._prompts.values())
        for number, excitement in enumerate(self.excitements if prompts else ()):
            for complaint in missing_words(excitement, prompts):
                self.warn(said("{node}: {what}", node=excitement.name, what=complaint))
            if not excitement.words and not any(words[number] for words in self._words.values()):
                self.warn(NO_NOUNS)

    def close(self) -> None:
        """Says what was not excited, and why."""
        if self.failed:
            return
        self.tell_layers()
        if self._words and not self._gradients and not self.lost:
            why = why_idle(
                said("The prompt with its words"),
                was_called=self._asked > 0,
                was_in_time=self._in_time > 0,
                is_limited=self._limited,
            )
            self.warn(sentences(said("{node} changed nothing in this image.", node=self.doing), why))

    def abandon(self, at: str, error: Exception) -> None:
        if ran_out_of_memory(error):
            self.consequence = LESS_MEMORY
            empty_cache()
        super().abandon(at, error)

    # -- one evaluation -----------------------------------------------------------------------------------------

    def before_evaluation(self, evaluation: Evaluation) -> None:
        """Moves the latent."""
        stop_if_cancelled()
        shift = self.shift(evaluation)
        if shift is not None:
            evaluation.x = moved(evaluation.x, shift)

    def shift(self, evaluation: Evaluation) -> torch.Tensor | None:
        """What to add to the latent before it is evaluated, (image, channel, height, width); None for nothing."""
        if not self._words:
            return None
        guider, x, timestep = evaluation.guider, evaluation.x, evaluation.timestep
        model = inner_model_of(guider)
        sampling = model.model_sampling
        self._asked += 1
        self._steps = [
            excitement.step(part_at(sampling, timestep.flatten()[0])) for excitement in self.excitements
        ]
        lists = [found for role, conds in conds_of(guider).items() if (found := self._worded(role, conds))]
        if not any(self._steps):
            return None
        self._in_time += 1
        if not lists:
            return None
        self.latent = tuple(x.shape[-2:])
        self.layers = small_grid(self.layout, self.levels, self.latent)
        self._uphill = torch.zeros_like(x, dtype=torch.float32)
        self.differentiating, before = True, self._gradients
        try:
            with self.conditionings.evaluated(lists):
                evaluate(model, lists, x, timestep, unfollowed(evaluation.model_options))
        finally:
            self.differentiating = False
            uphill, self._uphill = self._uphill, None
        if self.failed or self._gradients == before:
            return None
        if not torch.isfinite(uphill).all():
            self.warn(
                said("Attend and Excite skipped steps in which its gradient had invalid values (NaN)."),
                cause="nan",
            )
            return None
        # the network sees c · x; a step of s along its gradient there is a step of s / c of x
        scale = input_scale(sampling, timestep[:1].to(x.device, torch.float32))
        return (-uphill / scale).to(x)

    def _worded(self, guider_role: str, conds: Sequence[dict] | None) -> list[dict]:
        """The conditionings of a list that have a word to be excited now, without copies from other lists."""
        now = {
            owner.uuid
            for owner in self.conditionings
            if owner.guider_role == guider_role
            and any(words and step for words, step in zip(self._words.get(owner.uuid, ()), self._steps))
        }
        return [cond for cond in conds or () if cond[UUID] in now]

    def in_unet(self, call: UnetCall) -> torch.Tensor:
        return self.differentiate(call) if self.differentiating else call.go_on()

    def differentiate(self, call: UnetCall) -> torch.Tensor:
        """Runs the UNet as far as its maps are needed, and adds up the gradient of its rows. Returns zeros in place of
        the UNet's output, which nobody reads."""
        x, unet = call.x, call.unet
        chunks = [chunk for chunk, _ in self.owned(x, call.options) if self._fits(chunk, call)]
        if self.failed or not chunks:
            return torch.zeros_like(x)
        with differentiable(unet, x.device):
            leaf = x.clone().requires_grad_()
            means: dict[Any, dict[int, torch.Tensor]] = {chunk.uuid: {} for chunk in chunks}
            grids: set[tuple[int, int]] = set()
            last = self.layout.blocks[self.layers[-1]]
            options = {**until_layer(last, call.options), **DIFFERENTIABLE_ATTENTION}
            reader = self._reader(len(x), chunks, means, grids)
            options = self.with_entries(dataclasses.replace(call, options=options), reader, self.layers)
            try:
                dataclasses.replace(call, x=leaf).go_on(options)
            except Reached:
                pass
            chunks = [chunk for chunk in chunks if means[chunk.uuid]]
            if self.failed or not chunks:
                return torch.zeros_like(x)
            (grid,) = grids
            loss = sum(self._loss(chunk, means[chunk.uuid], grid) for chunk in chunks)
            (gradient,) = torch.autograd.grad(loss * LOSS_SCALE, leaf)
        for chunk in chunks:
            height, width, top, left = self.conditionings.crop(chunk, self.latent)
            part = self._uphill[..., top : top + height, left : left + width]
            with self.lock:
                part += gradient[chunk.rows, : part.shape[1]].to(part) / LOSS_SCALE
                self._gradients += 1
        return torch.zeros_like(x)

    def _fits(self, chunk: Chunk, call: UnetCall) -> bool:
        x = call.x
        height, width, _, _ = self.conditionings.crop(chunk, self.latent)
        length, whole = self._prompts[chunk.uuid].length, self.conditionings.length(chunk)
        repeats, rest = divmod(call.context.shape[1], whole)
        if (
            (height, width) == tuple(x.shape[-2:])
            and chunk.batch == self._uphill.shape[0]
            and whole in (length, 2 * length)  # twice as long with NegPip (`Entries.fits`)
            and not rest
        ):
            self._keys[chunk.uuid] = repeats * length
            return True
        self.warn(NOT_FITTING, cause="fit")
        return False

    def _reader(self, rows: int, chunks: Sequence[Chunk], means: dict, grids: set):
        """Takes the weighted mean of a layer's head maps, (excitement, row, pixel, column), into means[uuid][layer]."""
        weights = torch.stack([weights_on(e, self.layout, self.layers) for e in self.excitements])
        heads = [self.layout.blocks[number].heads for number in self.layers]
        parts = dict(zip(self.layers, weights.split(heads, dim=1), strict=True))

        def read(at: LayerCall) -> None:
            q, k, number = at.q, at.k, at.layer.number
            for chunk in chunks:
                if q.shape[0] != rows or k.shape[:2] != (rows, self._keys[chunk.uuid]):
                    self.warn(NOT_FITTING, cause="fit")
                    continue
                grids.add(at.grid)
                length = self._prompts[chunk.uuid].length
                mean = weighted_map(q[chunk.rows], k[chunk.rows], parts[number].to(q.device), length)
                means[chunk.uuid].setdefault(number, mean)  # a checkpointed block runs twice

        return read

    def _loss(self, chunk: Chunk, means: dict[int, torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        """Σ over excitements and images of step · loss, so that its gradient is the way to go."""
        prompt, total = self._prompts[chunk.uuid], 0.0
        mean = sum(means.values())
        for number, (excitement, words) in enumerate(
            zip(self.excitements, self._words[chunk.uuid], strict=True)
        ):
            if words and self._steps[number]:
                maps = competing_maps(mean[number], prompt, words, grid, excitement.smoothing)
                total = total + self._steps[number] * neglect(maps).sum()
        return total


def _part(sampling, timestep: torch.Tensor) -> float:
    """The part of the schedule, 0 (noise) … 1 (image), that a sigma belongs to."""
    first, last, now = (
        float(sampling.timestep(torch.as_tensor(float(sigma)).reshape(1)))
        for sigma in (sampling.sigma_max, sampling.sigma_min, timestep.flatten()[0])
    )
    return min(1.0, max(0.0, (first - now) / (first - last)))
