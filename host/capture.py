"""The recording of one sampling while it runs: which rows are whose, and the sums of their maps."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

import comfy.ldm.modules.attention
import torch

from ..hrv.accumulate import Accumulator, place_crop
from ..hrv.attention import column_probabilities
from ..hrv.recording import Entry, Run
from ..hrv.votes import VoteCounter
from .blocks import cross_attention_layers, has_foreign_forward
from .steered_sampling import as_recorded

POSITIVE, NEGATIVE = "positive", "negative"
OUT_OF_MEMORY = (MemoryError, torch.cuda.OutOfMemoryError)


@dataclass
class _Owner:
    """The conditioning a uuid stands for: the guider's name for its list, and its place among those of its role.

    role: `negative` for every list that pushes away, `positive` for every list that pulls.
    """

    guider_role: str
    role: str
    index: int
    cond: dict[str, Any]
    entry: Entry | None = None


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


class Capture:
    """Follows one sampling. Every method but `guarded` may raise; callers wrap them in `guarded`."""

    def __init__(self, run: Run, registry, options):
        self.run = run
        self.options = options
        self._registry = registry
        self._sums = Accumulator(run, options.time_bins, options.memory_limit)
        self._owners: dict[Any, _Owner] = {}
        self._edges: list[float] | None = None
        self._time_bin: int | None = 0
        self._seen: set[Any] = set()
        self._conds: list[list[dict[str, Any]] | None] = []
        self._latent: tuple[int, int] | None = None
        self._lock = threading.RLock()  # several GPUs run their chunks in threads
        self._warned: set[str] = set()
        self._failed = False
        self._votes: VoteCounter | None = None
        self._evaluation = 0

    # -- lifecycle ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def guarded(self, doing: str):
        """An error inside ends the recording with one warning, and lets the sampling go on."""
        try:
            yield
        except Exception as error:
            self.abandon(doing, error)

    @contextlib.contextmanager
    def _voting(self):
        """An error inside ends the counting of votes with one warning; recording and sampling go on."""
        try:
            yield
        except Exception as error:
            self._votes = None
            self.warn(
                f"Votes for head relevance were not counted in this run ({_cause(error)}). The picture and the recording are "
                "not affected.",
                cause="votes",
            )
            logging.debug("[HRV] voting stopped", exc_info=error)

    def abandon(self, doing: str, error: Exception) -> None:
        """Ends the recording, frees what it took, and says why. The first reason counts."""
        with self._lock:
            if self._failed:
                return
            self._failed = True
            for entry in self.run.entries:
                entry.maps.clear()
            self.warn(f"Recording stopped while {doing} ({_cause(error)}). The picture is not affected.")
            logging.debug("[HRV] recording stopped", exc_info=error)

    def open(self, guider) -> None:
        """Reads the guider's conditionings, and where in the schedule to record."""
        places: Counter[str] = Counter()
        for guider_role, conds in guider.conds.items():
            role = NEGATIVE if NEGATIVE in guider_role else POSITIVE
            for cond in conds or ():
                self._owners[cond["uuid"]] = _Owner(guider_role, role, places[role], cond)
                places[role] += 1
        start, end, bins = self.options.start_percent, self.options.end_percent, self.options.time_bins
        if start > 0.0 or end < 1.0 or bins > 1:
            to_sigma = guider.model_patcher.get_model_object("model_sampling").percent_to_sigma
            self._edges = [float(to_sigma(start + (end - start) * i / bins)) for i in range(bins + 1)]
        if self.options.votes is not None:
            with self._voting():
                self._votes = self.options.votes.begin(guider)

    def close(self) -> None:
        """Brings the maps to rest on the CPU, entries in the order of the guider, positive ones first."""
        recorded = [owner.entry for owner in self._owners.values() if owner.entry is not None]
        self.run.entries = sorted(recorded, key=lambda entry: entry.role != POSITIVE)
        if self._failed:
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

    def warn(self, message: str, cause: str | None = None) -> None:
        """Notes a warning on the run and in the log, once for each cause (the message itself if not given)."""
        with self._lock:
            if (cause or message) in self._warned:
                return
            self._warned.add(cause or message)
            self.run.warnings.append(message)
            logging.warning("[HRV] %s", message)

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
    def conditionings(self, conds, latent: tuple[int, int]):
        """The lists that `cond_or_uncond` points into, for as long as they are evaluated."""
        before = self._conds, self._latent
        self._conds, self._latent = conds, latent
        try:
            yield
        finally:
            self._conds, self._latent = before

    def begin_call(
        self, unet, x: torch.Tensor, context, transformer_options: dict[str, Any]
    ) -> tuple[_Call, dict[str, Any]] | None:
        """The rows to record in one call of the UNet, and the options to call it with; None for no rows.

        x: (chunk · batch, channel, height, width); context: (chunk · batch, token, channel).
        """
        if self._failed or self._time_bin is None or self._latent is None or context is None:
            return None
        uuids, lists = transformer_options["uuids"], transformer_options["cond_or_uncond"]
        batch, rest = divmod(x.shape[0], len(uuids))
        if rest:
            self.warn(
                f"The batch of {x.shape[0]} rows does not divide into {len(uuids)} prompts, because another node "
                "multiplies rows. Those steps were not recorded.",
                cause="rows",
            )
            return None
        rows = []
        for chunk, (uuid, number) in enumerate(zip(uuids, lists, strict=True)):
            crop = self._crop(uuid, number, tuple(x.shape[-2:]))
            entry = self._entry(uuid, number, batch, context.shape[1]) if crop is not None else None
            if crop is not None and entry is not None:
                rows.append(_Row(entry, slice(chunk * batch, (chunk + 1) * batch), crop))
        if not rows:
            return None
        call = _Call(rows, self._time_bin, x.shape[0], context.shape[1], self._latent)
        return call, self._with_entries(unet, transformer_options, call)

    def end_call(self, call: _Call) -> None:
        """Counts the evaluation, once all layers have run."""
        with self._lock:
            for row in call.rows:
                row.entry.counts[call.time_bin] += 1

    # -- rows -------------------------------------------------------------------------------------------------

    def _entry(self, uuid, number: int, batch: int, tokens: int) -> Entry | None:
        """The entry that a chunk is recorded into, or None."""
        owner, cond = self._owners.get(uuid), self._cond(uuid, number)
        if owner is None or cond is None:
            return None
        first = self._owners.get(self._conds[number][0]["uuid"])
        # a positive conditioning with an area is copied, uuid and all, into the negative list
        if first is None or first.guider_role != owner.guider_role:
            return None
        if owner.role == NEGATIVE and not self.options.negative:
            return None
        with self._lock:
            if uuid in self._seen:  # guidance such as PAG evaluates the same prompt again: the first counts
                return None
            self._seen.add(uuid)
            if owner.entry is None:
                owner.entry = self._new_entry(owner, cond, batch)
        entry = owner.entry
        if tokens % entry.length or entry.batch != batch:
            self.warn(
                f"A prompt of {entry.length} tokens for {entry.batch} pictures reached the model with {tokens} tokens for "
                f"{batch}, because another node changes prompts or batches (NegPip, attention couple and the like). "
                "Those steps were not recorded.",
                cause="prompt",
            )
            return None
        return entry

    def _new_entry(self, owner: _Owner, cond: dict[str, Any], batch: int) -> Entry:
        length = cond["model_conds"]["c_crossattn"].cond.shape[1]
        prompt, warning = self._registry.prompt_of(owner.cond)
        if warning:
            self.warn(warning)
        if prompt is not None and prompt.length != length:
            self.warn(
                f"The prompt has {prompt.length} tokens, but the model sees {length}; its words are not known."
            )
            prompt = None
        columns = tuple(range(length)) if prompt is None else prompt.recorded_columns
        entry = Entry(owner.role, owner.index, prompt, length, columns, [0] * self.options.time_bins, batch)
        self.run.entries.append(entry)
        return entry

    def _cond(self, uuid, number: int) -> dict[str, Any] | None:
        listed = self._conds[number] if number < len(self._conds) else None
        return next((c for c in listed or () if c["uuid"] == uuid), None)

    def _crop(self, uuid, number: int, shape: tuple[int, int]) -> tuple[int, int, int, int] | None:
        """(height, width, y, x) of the part of the latent that a chunk shows; None when that cannot be told."""
        cond = self._cond(uuid, number)
        if cond is None:
            return None
        latent, area = self._latent, cond.get("area")
        if area is None:
            crop = (*latent, 0, 0)
        else:
            y, x = (int(n) for n in area[-2:])
            height, width = area[: len(area) // 2][-2:]
            crop = (min(int(height), latent[0] - y), min(int(width), latent[1] - x), y, x)
        if crop[:2] == shape:
            return crop
        self.warn(
            f"The model was given a piece of {shape[0]}×{shape[1]} latent pixels where {crop[0]}×{crop[1]} were expected, "
            "because another node samples in tiles. Those steps were not recorded.",
            cause="tiles",
        )
        return None

    # -- layers -----------------------------------------------------------------------------------------------

    def _with_entries(self, unet, transformer_options: dict[str, Any], call: _Call) -> dict[str, Any]:
        """A copy of the options with an entry for every cross-attention layer. Nothing refers back to it: it dies
        with the call."""
        replace = transformer_options.get("patches_replace", {})
        attn2 = dict(replace.get("attn2", {}))
        options = {**transformer_options, "patches_replace": {**replace, "attn2": attn2}}
        for number, (block, module) in enumerate(cross_attention_layers(unet)):
            occupant = attn2.get(block.key, attn2.get(block.key[:2]))
            if occupant is None and has_foreign_forward(module):
                self.warn(
                    "Another pack has replaced the cross-attention of this model (NAG and the like). To leave its picture "
                    "as it is, those layers were not recorded.",
                    cause="forward",
                )
                continue
            attn2[block.key] = self._layer(number, module, call, transformer_options, occupant)
        return options

    def _layer(self, number: int, module, call: _Call, transformer_options: dict[str, Any], occupant):
        def replacement(q, k, v, extra_options):
            with self.guarded(f"reading layer {self.run.layout.blocks[number]}"):
                self._record(number, module, call, q, k, extra_options)
            if occupant is not None:
                return occupant(q, k, v, extra_options)
            # looked up now, as CrossAttention.forward does: other packs put their own in its place
            return comfy.ldm.modules.attention.optimized_attention(
                q,
                k,
                v,
                extra_options["n_heads"],
                attn_precision=extra_options["attn_precision"],
                transformer_options={**transformer_options, **extra_options},
            )

        return replacement

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
        if self._failed:
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
                    f"layer {self.run.layout.blocks[number]} had {q.shape[0]} rows of {q.shape[1]} pixels and {k.shape[1]} tokens "
                    f"where {call.batch} of {grid[0]}×{grid[1]} and {call.tokens} were expected. Such layers were left out.",
                    cause="layer",
                )
                with self._lock:
                    self._sums.drop(row.entry, number)
                continue
            if self._votes is not None and row.entry.role == POSITIVE:
                with self._voting():
                    draw_key = (self._evaluation, row.entry.index)
                    self._votes.add(number, module.to_k, q[row.rows], draw_key)
            if not self.options.keep_maps:
                continue
            heads = self.run.layout.blocks[number].heads
            maps = column_probabilities(q[row.rows], k[row.rows], heads, row.entry.columns, row.entry.length)
            span = self.run.layout.span(number)
            maps = as_recorded(maps, row.rows, row.entry.columns, span, extra_options)
            maps = place_crop(maps.unflatten(-1, grid), row.crop, call.latent)
            with self._lock:
                self._sums.add(row.entry, number, call.time_bin, maps)


def _cause(error: Exception) -> str:
    return "memory ran out" if isinstance(error, OUT_OF_MEMORY) else f"{type(error).__name__}: {error}"
