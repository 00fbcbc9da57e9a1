"""The recording of one sampling while it runs: which rows are recorded, and the sums of their maps."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import Any

import torch

from ...hrv.recording import absence
from ...hrv.recording.probabilities import column_probabilities, sent
from ...hrv.recording.recording import Run
from ...hrv.recording.sums import Accumulator, place_crop
from ...hrv.relevance.votes import VoteCounter
from ..facts.cancel import CANCELS
from ..facts.layers import layout_of_model
from ..facts.rows import NEGATIVE, POSITIVE, Chunk, Conditionings, guidance_of, is_limited
from .following import Following, cause_of
from .recorded_rows import Entries, Row
from .steered_sampling import recorded_factors


@dataclass
class _Call:
    """One call of the UNet: what is recorded from it."""

    rows: list[Row]
    time_bin: int
    batch: int
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
        self._entries = Entries(run, registry, options.time_bins, self.warn)
        self._sums = Accumulator(run, options.time_bins, options.memory_limit)
        self._edges: list[float] | None = None
        self._time_bin: int | None = 0
        self._seen: set[Any] = set()
        self._latent: tuple[int, int] | None = None
        self._votes: VoteCounter | None = None
        self._evaluation = self._inside = self._calls = 0
        self._evaluated: set[str] = set()  # roles
        self._cfg: float | None = None

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
            entry.layer_counts.clear()

    def end(self, reason: str) -> None:
        if not self.failed:
            self.run.absent = dict.fromkeys((POSITIVE, NEGATIVE), reason)
        super().end(reason)

    def open(self, guider) -> None:
        """Reads the guider's conditionings, the layers of the model that is about to be sampled, and where in the schedule to
        record."""
        self.layout = self.run.layout = layout_of_model(guider.model_patcher)
        self.conditionings = Conditionings(guider)
        self._registry.guess(o.cond for o in sorted(self.conditionings, key=lambda o: o.role != POSITIVE))
        self._cfg = guidance_of(guider)
        start, end, bins = self.options.start_percent, self.options.end_percent, self.options.time_bins
        if start > 0.0 or end < 1.0 or bins > 1:
            to_sigma = guider.model_patcher.get_model_object("model_sampling").percent_to_sigma
            self._edges = [float(to_sigma(start + (end - start) * i / bins)) for i in range(bins + 1)]
        if self.options.votes is not None:
            with self._voting():
                self._votes = self.options.votes.begin(guider)

    def close(self) -> None:
        """Brings the maps to rest on the CPU, and says what was not recorded."""
        self._entries.close(self.conditionings or ())
        if self.failed:
            return
        if self._votes is not None:
            with self._voting():
                self.options.votes.end(self._votes)
        self.tell_layers()
        self._sums.finish()
        if self._sums.pooled_blocks:
            limit = self.options.memory_limit // 2**20
            self.warn(
                f"The maps of {self._sums.pooled_blocks} layers were made smaller to stay within {limit} MB. "
                "For finer maps raise memory_limit_mb in Record Attention."
            )
        if self.options.keep_maps:
            self._tell_absent()

    def _tell_absent(self) -> None:
        """Notes, for each role without maps, why it has none."""
        options = self.options
        sampling = absence.Sampling(
            options.start_percent, options.end_percent, self._cfg, self._evaluation, self._inside, self._calls
        )
        for role in (POSITIVE, NEGATIVE):
            if any(entry.role == role and entry.maps for entry in self.run.entries):
                continue
            conds = [owner.cond for owner in self.conditionings if owner.role == role]
            limited = sum(map(is_limited, conds))
            wanted = role == POSITIVE or options.negative
            evaluated = role in self._evaluated
            told = absence.Told(role, len(conds), limited, wanted, evaluated)
            lost = [text for cause, text in self.lost.items() if evaluated or cause == "rows"]
            self.run.absent[role] = absence.why_absent(sampling, told, lost)

    # -- what the sampler does ------------------------------------------------------------------------------

    def begin_evaluation(self, timestep: torch.Tensor) -> None:
        """timestep: (batch,) sigma. Reading it waits for a GPU, so only done where the schedule matters."""
        self._seen = set()
        self._evaluation += 1
        if self._edges is None:
            self._inside += 1
            return
        sigma = float(timestep.flatten()[0])
        edges = self._edges
        if not edges[-1] <= sigma <= edges[0]:
            self._time_bin = None
            return
        self._inside += 1
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
        self._calls += 1
        found = (
            self._row(chunk, tuple(x.shape[-2:]), context.shape[1])
            for chunk in self.chunks(x, transformer_options)
        )
        rows = [row for row in found if row is not None]
        if not rows:
            return None
        call = _Call(rows, self._time_bin, x.shape[0], self._latent)

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

    def _row(self, chunk: Chunk, shape: tuple[int, int], tokens: int) -> Row | None:
        """What is recorded of a chunk; None for nothing. shape: (height, width) of its latent."""
        owner = self.conditionings.owner(chunk)
        if owner is None:
            return None
        self._evaluated.add(owner.role)
        if owner.role == NEGATIVE and not self.options.negative:
            return None
        crop = self.conditionings.crop(chunk, self._latent)
        if crop[:2] != shape:
            self.warn(
                f"The model was given a piece of {shape[0]}×{shape[1]} latent pixels where {crop[0]}×{crop[1]} were "
                "expected, because another node samples in tiles or in another size. Those steps were not recorded.",
                cause="tiles",
            )
            return None
        length = self.conditionings.length(chunk)
        with self.lock:
            if (
                chunk.uuid in self._seen
            ):  # guidance such as PAG evaluates the same prompt again: the first counts
                return None
            self._seen.add(chunk.uuid)
            entry = self._entries.of(owner, chunk, length)
        repeats, rest = divmod(tokens, length)
        if rest or entry.batch != chunk.batch:
            self.warn(
                f"A prompt of {length} tokens for {entry.batch} pictures reached the model with {tokens} tokens for "
                f"{chunk.batch}, because another node changes prompts or batches (attention couple and the like). "
                "Those steps were not recorded.",
                cause="prompt",
            )
            return None
        return Row(entry, chunk.rows, crop, length, repeats)

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
        fits = q.shape[0] == k.shape[0] == call.batch and q.shape[1] == grid[0] * grid[1]
        for row in call.rows:
            with self.lock:
                if not (fits and self._entries.fits(row, k.shape[1])):
                    self._leave_out(number, row, call, q, k, grid)
                    continue
            if self._votes is not None and row.entry.role == POSITIVE:
                with self._voting():
                    draw_key = (self._evaluation, row.entry.index)
                    self._votes.add(number, module.to_k, q[row.rows], draw_key)
            if not self.options.keep_maps:
                continue
            with self.lock:
                self._add(number, row, call, q[row.rows], k[row.rows], grid, extra_options)

    def _leave_out(
        self, number: int, row: Row, call: _Call, q: torch.Tensor, k: torch.Tensor, grid: tuple[int, int]
    ) -> None:
        self.warn(
            f"Another node changes rows, pixels or tokens inside the model (attention couple, token merging and the like): "
            f"layer {self.layout.blocks[number]} had {q.shape[0]} rows of {q.shape[1]} pixels and {k.shape[1]} tokens "
            f"where {call.batch} of {grid[0]}×{grid[1]} and {row.keys} were expected. Such layers were left out.",
            cause="layer",
        )
        self._sums.drop(row.entry, number)

    def _add(
        self,
        number: int,
        row: Row,
        call: _Call,
        q: torch.Tensor,
        k: torch.Tensor,
        grid: tuple[int, int],
        extra_options: dict[str, Any],
    ) -> None:
        """Adds P of one layer to the sums: straight away where it is kept as it comes. Counts it."""
        entry, heads = row.entry, self.layout.blocks[number].heads
        counts = entry.layer_counts.setdefault(number, [0] * self.options.time_bins)
        counts[call.time_bin] += 1
        factors = recorded_factors(row.rows, entry.columns, self.layout.span(number), extra_options)
        room = None
        if factors is None and row.crop[:2] == call.latent:
            shape = (q.shape[0], heads, len(entry.columns), *grid)
            room = self._sums.room(entry, number, call.time_bin, shape, q.device)
        into = None if room is None else room.view(*room.shape[:3], -1)
        maps = column_probabilities(q, k, heads, entry.columns, entry.length, into=into)
        if room is not None:
            return
        if factors is not None:
            maps = maps * sent(factors, maps.device).T[None, :, :, None]
        maps = place_crop(maps.unflatten(-1, grid), row.crop, call.latent)
        self._sums.add(entry, number, call.time_bin, maps)
