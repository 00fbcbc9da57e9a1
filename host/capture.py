"""The recording of one sampling while it runs: which rows are recorded, and the sums of their maps."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import Any

import torch

from ..hrv.accumulate import Accumulator, place_crop
from ..hrv.attention import column_probabilities, sent
from ..hrv.recording import Entry, Run
from ..hrv.votes import VoteCounter
from .cancel import CANCELS
from .following import Following, cause_of
from .rows import NEGATIVE, POSITIVE, Chunk, Conditionings, Owner
from .steered_sampling import recorded_factors


@dataclass
class _Row:
    """Rows of one call that are recorded: `rows` of the batch show `entry`, and of the latent the part `crop`:
    (height, width, y, x)."""

    entry: Entry
    rows: slice
    crop: tuple[int, int, int, int]


@dataclass
class _Call:
    """One call of the UNet: what is recorded from it."""

    rows: list[_Row]
    time_bin: int
    batch: int
    tokens: int
    latent: tuple[int, int]


class Capture(Following):
    """Follows one sampling. Every method but `guarded` may raise; callers wrap them in `guarded`."""

    doing, done = "Recording", "recorded"
    consequence = "The picture is not affected."

    def __init__(self, run: Run, registry, options):
        super().__init__(run.layout, run.warnings)
        self.run = run
        self.options = options
        self._registry = registry
        self._sums = Accumulator(run, options.time_bins, options.memory_limit)
        self._entries: dict[Any, Entry] = {}  # by uuid
        self._edges: list[float] | None = None
        self._time_bin: int | None = 0
        self._seen: set[Any] = set()
        self._latent: tuple[int, int] | None = None
        self._votes: VoteCounter | None = None
        self._evaluation = 0

    # -- lifecycle ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _voting(self):
        """An error inside ends the counting of votes with one warning; recording and sampling go on."""
        try:
            yield
        except CANCELS:
            raise
        except Exception as error:
            self._votes = None
            self.warn(
                f"Votes for head relevance were not counted in this run ({cause_of(error)}). The picture and the recording are "
                "not affected.",
                cause="votes",
            )
            logging.debug("[HRV] voting stopped", exc_info=error)

    def free(self) -> None:
        for entry in self.run.entries:
            entry.maps.clear()

    def open(self, guider) -> None:
        """Reads the guider's conditionings, and where in the schedule to record."""
        self.conditionings = Conditionings(guider)
        start, end, bins = self.options.start_percent, self.options.end_percent, self.options.time_bins
        if start > 0.0 or end < 1.0 or bins > 1:
            to_sigma = guider.model_patcher.get_model_object("model_sampling").percent_to_sigma
            self._edges = [float(to_sigma(start + (end - start) * i / bins)) for i in range(bins + 1)]
        if self.options.votes is not None:
            with self._voting():
                self._votes = self.options.votes.begin(guider)

    def close(self) -> None:
        """Brings the maps to rest on the CPU, entries in the order of the guider, positive ones first."""
        owners = self.conditionings or ()
        recorded = [self._entries[owner.uuid] for owner in owners if owner.uuid in self._entries]
        self.run.entries = sorted(recorded, key=lambda entry: entry.role != POSITIVE)
        if self.failed:
            return
        if self._votes is not None:
            with self._voting():
                self.options.votes.end(self._votes)
        self._sums.finish()
        if self._sums.pooled_blocks:
            limit = self.options.memory_limit // 2**20
            self.warn(
                f"The maps of {self._sums.pooled_blocks} layers were made smaller to stay within {limit} MB. "
                "For finer maps raise memory_limit_mb in Record Attention."
            )

    # -- what the sampler does ------------------------------------------------------------------------------

    def begin_evaluation(self, timestep: torch.Tensor) -> None:
        """timestep: (batch,) sigma. Reading it waits for a GPU, so only done where the schedule matters."""
        self._seen = set()
        self._evaluation += 1
        if self._edges is None:
            return
        sigma = float(timestep.flatten()[0])
        edges = self._edges
        if not edges[-1] <= sigma <= edges[0]:
            self._time_bin = None
            return
        self._time_bin = next(i for i in range(len(edges) - 1) if sigma >= edges[i + 1])

    @contextlib.contextmanager
    def evaluated(self, lists, latent: tuple[int, int]):
        before, self._latent = self._latent, latent
        try:
            with super().evaluated(lists, latent):
                yield
        finally:
            self._latent = before

    def begin_call(
        self, unet, x: torch.Tensor, context, transformer_options: dict[str, Any]
    ) -> tuple[_Call, dict[str, Any]] | None:
        """The rows to record in one call of the UNet, and the options to call it with; None for no rows.

        x: (chunk · batch, channel, height, width); context: (chunk · batch, token, channel).
        """
        if self.failed or self._time_bin is None or self._latent is None or context is None:
            return None
        found = (
            self._row(chunk, tuple(x.shape[-2:]), context.shape[1])
            for chunk in self.chunks(x, transformer_options)
        )
        rows = [row for row in found if row is not None]
        if not rows:
            return None
        call = _Call(rows, self._time_bin, x.shape[0], context.shape[1], self._latent)

        def values(number, module, q, k, v, extra_options):
            self._record(number, module, call, q, k, extra_options)
            return v

        return call, self.with_entries(unet, transformer_options, values)

    def end_call(self, call: _Call) -> None:
        """Counts the evaluation, once all layers have run."""
        with self.lock:
            for row in call.rows:
                row.entry.counts[call.time_bin] += 1

    # -- rows -------------------------------------------------------------------------------------------------

    def _row(self, chunk: Chunk, shape: tuple[int, int], tokens: int) -> _Row | None:
        """What is recorded of a chunk; None for nothing. shape: (height, width) of its latent."""
        owner = self.conditionings.owner(chunk)
        if owner is None or (owner.role == NEGATIVE and not self.options.negative):
            return None
        crop = self.conditionings.crop(chunk, self._latent)
        if crop[:2] != shape:
            self.warn(
                f"The model was given a piece of {shape[0]}×{shape[1]} latent pixels where {crop[0]}×{crop[1]} were "
                "expected, because another node samples in tiles. Those steps were not recorded.",
                cause="tiles",
            )
            return None
        with self.lock:
            if (
                chunk.uuid in self._seen
            ):  # guidance such as PAG evaluates the same prompt again: the first counts
                return None
            self._seen.add(chunk.uuid)
            entry = self._entries.get(chunk.uuid) or self._new_entry(owner, chunk)
        if tokens % entry.length or entry.batch != chunk.batch:
            self.warn(
                f"A prompt of {entry.length} tokens for {entry.batch} pictures reached the model with {tokens} tokens for "
                f"{chunk.batch}, because another node changes prompts or batches (NegPip, attention couple and the like). "
                "Those steps were not recorded.",
                cause="prompt",
            )
            return None
        return _Row(entry, chunk.rows, crop)

    def _new_entry(self, owner: Owner, chunk: Chunk) -> Entry:
        length = self.conditionings.length(chunk)
        prompt, warning = self._registry.prompt_of(owner.cond)
        if warning:
            self.warn(warning)
        if prompt is not None and prompt.length != length:
            self.warn(
                f"The prompt has {prompt.length} tokens, but the model sees {length}; its words are not known."
            )
            prompt = None
        columns = tuple(range(length)) if prompt is None else prompt.recorded_columns
        entry = Entry(
            owner.role, owner.index, prompt, length, columns, [0] * self.options.time_bins, chunk.batch
        )
        self._entries[chunk.uuid] = entry
        self.run.entries.append(entry)
        return entry

    # -- layers -----------------------------------------------------------------------------------------------

    def _record(
        self,
        number: int,
        module,
        call: _Call,
        q: torch.Tensor,
        k: torch.Tensor,
        extra_options: dict[str, Any],
    ) -> None:
        """module: the layer; q: (row, pixel, heads · d); k: (row, token, heads · d)."""
        if self.failed:
            return
        grid = tuple(extra_options["activations_shape"][-2:])  # height and width of the layer
        fits = (
            q.shape[0] == k.shape[0] == call.batch
            and q.shape[1] == grid[0] * grid[1]
            and k.shape[1] == call.tokens
        )
        for row in call.rows:
            if not fits:
                self.warn(
                    f"Another node changes rows, pixels or tokens inside the model (NegPip, attention couple and the like): "
                    f"layer {self.layout.blocks[number]} had {q.shape[0]} rows of {q.shape[1]} pixels and {k.shape[1]} tokens "
                    f"where {call.batch} of {grid[0]}×{grid[1]} and {call.tokens} were expected. Such layers were left out.",
                    cause="layer",
                )
                with self.lock:
                    self._sums.drop(row.entry, number)
                continue
            if self._votes is not None and row.entry.role == POSITIVE:
                with self._voting():
                    draw_key = (self._evaluation, row.entry.index)
                    self._votes.add(number, module.to_k, q[row.rows], draw_key)
            if not self.options.keep_maps:
                continue
            with self.lock:
                self._add(number, row, call, q[row.rows], k[row.rows], grid, extra_options)

    def _add(
        self,
        number: int,
        row: _Row,
        call: _Call,
        q: torch.Tensor,
        k: torch.Tensor,
        grid: tuple[int, int],
        extra_options: dict[str, Any],
    ) -> None:
        """Adds P of one layer to the sums: straight away where it is kept as it comes."""
        entry, heads = row.entry, self.layout.blocks[number].heads
        factors = recorded_factors(row.rows, entry.columns, self.layout.span(number), extra_options)
        room = None
        if factors is None and row.crop[:2] == call.latent:
            shape = (q.shape[0], heads, len(entry.columns), *grid)
            room = self._sums.room(entry, number, call.time_bin, shape, q.device)
        into = None if room is None else room.view(*room.shape[:3], -1)
        maps = column_probabilities(q, k, heads, entry.columns, entry.length, into)
        if room is not None:
            return
        if factors is not None:
            maps = maps * sent(factors, maps.device).T[None, :, :, None]
        maps = place_crop(maps.unflatten(-1, grid), row.crop, call.latent)
        self._sums.add(entry, number, call.time_bin, maps)
