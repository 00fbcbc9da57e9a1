"""The editing of one sampling while it runs: which rows take whose attention, in which steps."""

from __future__ import annotations

from typing import Any

import torch

from ...hrv.heads.layout import Layout
from ...hrv.prompt import Prompt
from ...hrv.steer.factors import TokenFactors, missing_words, token_factors
from ...hrv.steer.prompt_edit import Alignment, align, keep_outside
from ...hrv.steer.source_run import Frame, Moments, SourceRun
from ...hrv.wording import said, sentences
from ..facts.guider import patcher_of
from ..facts.options import ATTN1, ATTN2
from ..facts.patcher import sigma_at
from ..facts.rows import POSITIVE, Chunk, Owner
from .base.calls import Evaluation, UnetCall
from .base.following_layers import FollowingLayers
from .base.following_prompts import why_unknown
from .base.layer_entries import Kind
from .base.wording import NOT_FOLLOWED
from .edit_messages import OTHER_MODEL, OTHER_SIZE, OTHER_START, OTHER_STEPS, UNKNOWN_FIRST, UNKNOWN_SECOND
from .edited_layers import EditedLayers, EditedRows
from .replay import Taken, replay

SAME_MODEL = 0.02
"""Largest relative distance between what the UNet makes of a remembered input and what it made of it then."""


class EditedSampling(FollowingLayers):
    """Follows one sampling."""

    doing, done = said("Editing"), said("edited")
    consequence = said("From there on, the image is generated without it.")
    holds_memory = True
    at = FollowingLayers.at | {
        "open": "comparing the prompts",
        "after_evaluation": "keeping what is outside the mask",
        "options_for": "computing the first image's attention",
    }

    def __init__(self, layout: Layout, run: SourceRun, options):
        super().__init__(layout)
        self.run = run
        self.options = options
        self._prompts: dict[int, Prompt] = {}  # of the new image, by place
        self._alignments: dict[int, Alignment] = {}
        self._factors: dict[int, TokenFactors] = {}
        self._edges: dict[Kind, float] = {}
        self._moments = Moments()
        self._kinds: tuple[Kind, ...] = ()
        self._frames: dict[int, Frame] = {}
        self._denoised: torch.Tensor | None = None
        self._is_start = False
        self._is_other = False  # the samplings start from different noise
        self._compared: set[int] = set()  # places
        self._evaluations = self._in_time = self._calls = 0

    def open(self, guider) -> None:
        """Compares the words of both images."""
        found = list(self.positive_prompts(guider))
        if len(found) != len(self.run.prompts):
            self.warn(
                said(
                    "Edit Prompt: the first sampler had {before} positive prompts, the second has {now}. They are compared in order; prompts "
                    "without a counterpart are not edited.",
                    before=len(self.run.prompts),
                    now=len(found),
                )
            )
        for owner, prompt, warning in found:
            self._compare(owner, prompt, warning)
        steering = self.options.steering
        if steering is not None and self._prompts:
            for complaint in missing_words(steering, list(self._prompts.values())):
                self.warn(said("Edit Prompt: {what}", what=complaint))
        patcher = patcher_of(guider)
        percents = {ATTN1: self.options.self_percent, ATTN2: self.options.cross_percent}
        self._edges = {kind: sigma_at(patcher, percent) for kind, percent in percents.items() if percent > 0}

    def _compare(self, owner: Owner, prompt: Prompt | None, warning: str | None) -> None:
        before = self.run.prompts.get(owner.index)
        if prompt is None:
            self.warn(warning or why_unknown(owner, UNKNOWN_SECOND))
            return
        if warning:
            self.warn(warning)
        self._prompts[owner.index] = prompt
        alignment = None
        if before is None:
            if owner.index in self.run.prompts:
                self.warn(UNKNOWN_FIRST)
        else:
            alignment = align(before, prompt, self.options.replace)
            self._alignments[owner.index] = alignment
        steering = self.options.steering
        if steering is None or not steering.acts:
            return
        if steering.words:
            self._factors[owner.index] = token_factors([steering], prompt, self.layout.heads)
        elif alignment is not None:
            table = steering.factors.repeat(len(alignment.changed), 1)
            self._factors[owner.index] = TokenFactors(alignment.changed, table)

    def before_evaluation(self, evaluation: Evaluation) -> None:
        """Finds what is remembered of the same evaluation, and what is taken over in it."""
        sigma = evaluation.sigma
        moment = self._moments.next(sigma)
        self._kinds = () if self._is_other else tuple(k for k, edge in self._edges.items() if sigma >= edge)
        self._is_start = moment == next(iter(self.run.frames), None)
        wanted = not self._is_other and (self._kinds or self.options.mask is not None)
        self._evaluations += 1
        self._in_time += bool(wanted or self._factors)
        self._frames = self.run.frames.get(moment, {}) if wanted else {}
        self._denoised = self.run.denoised.get(moment) if wanted else None
        if wanted and not self._frames and not self.run.is_cut_short:
            self.warn(OTHER_STEPS)

    def after_evaluation(self, evaluation: Evaluation, denoised: torch.Tensor) -> torch.Tensor:
        """Outside the mask that of the first sampling.

        A solver's step goes from the present latent towards this, so both images become the same there.
        """
        mask, before = self.options.mask, self._denoised
        if self._is_other or mask is None or before is None or before.shape != denoised.shape:
            return denoised
        self._calls += 1
        return keep_outside(denoised, before, mask)

    def close(self) -> None:
        """Says so when nothing was edited and no reason has been given yet."""
        if not self._calls and not self.warnings and not self.failed:
            why = said(
                "The positive prompt was not evaluated in any step before cross_percent or self_percent."
            )
            if not self._evaluations:
                why = NOT_FOLLOWED
            elif not self._in_time:
                why = said("None of the second sampler's steps fall before cross_percent or self_percent.")
            self.warn(sentences(said("Edit Prompt changed nothing."), why))

    # -- one call of the UNet ---------------------------------------------------------------------------------

    def options_for(self, call: UnetCall) -> dict[str, Any]:
        found = self.owned(call.x, call.options, POSITIVE)
        edited = [rows for chunk, owner in found if (rows := self._edited_rows(call, chunk, owner))]
        if not edited:
            return call.options
        self._calls += 1
        return EditedLayers(self, call, edited).options(call.unet, call.options)

    def _edited_rows(self, call: UnetCall, chunk: Chunk, owner: Owner) -> EditedRows | None:
        prompt, alignment = self._prompts.get(owner.index), self._alignments.get(owner.index)
        length, tokens = self.conditionings.length(chunk), call.context.shape[1]
        if prompt is not None and (prompt.length != length or tokens % length):
            self.tell_of_prompt(prompt.length, tokens)
            return None
        taken = self._take(call, chunk, owner.index)
        factors = self._factors.get(owner.index, TokenFactors((), torch.ones(0, self.layout.heads)))
        repeats = tokens // length  # the host pads a prompt by repeating it
        columns = [column + repeat * length for repeat in range(repeats) for column in factors.columns]
        if taken is None and not columns:
            return None
        crosses = taken is not None and ATTN2 in self._kinds and alignment is not None
        device = call.x.device
        return EditedRows(
            rows=chunk.rows,
            alignment=alignment.to(device) if crosses else None,
            taken=taken,
            columns=torch.tensor(columns, dtype=torch.int64, device=device),
            factors=factors.factors.repeat(repeats, 1).to(device),
            rescaled=self._rescaled(factors),
        )

    def _rescaled(self, factors: TokenFactors) -> frozenset[int]:
        """The layers in which a head reads differently from a word."""
        spans = ((number, self.layout.span(number)) for number in range(len(self.layout.blocks)))
        return frozenset(number for number, span in spans if (factors.factors[:, span] != 1).any())

    def _take(self, call: UnetCall, chunk: Chunk, place: int) -> Taken | None:
        """The first image's queries and keys in this evaluation; None where nothing is to be taken."""
        frame = self._frames.get(place)
        if frame is None:
            return None
        now = call.x[chunk.rows]
        if now.shape != frame.x.shape:
            self.warn(said(OTHER_SIZE, before=_size(frame.x), now=_size(now)), cause="size")
            return None
        is_first = self._is_start and place not in self._compared
        if is_first:
            self._compared.add(place)
            if not torch.allclose(now.float().cpu(), frame.x.float(), rtol=1e-2, atol=1e-2):
                self.warn(OTHER_START)
                self._is_other = True
        if self._is_other or not self._kinds:
            return None
        taken = replay(call, self.layout, frame, self._kinds, chunk.rows)
        if self.options.smaller_grids:
            taken.only_smaller_grids()
        if is_first and frame.output is not None:
            before = frame.output.float()
            distance = (taken.output.float().cpu() - before).norm() / before.norm()
            if not distance <= SAME_MODEL:
                self.warn(OTHER_MODEL)
        return taken


def _size(x: torch.Tensor) -> str:
    """x: (image, channel, height, width)."""
    return f"{x.shape[0]} × {x.shape[2]}×{x.shape[3]}"
