"""The recording of one sampling while it runs: which rows are recorded, and the sums of their maps."""

from __future__ import annotations

import contextlib
import functools
import logging
from typing import Any, ClassVar

import torch

from ...hrv.heads.layout import Layout
from ...hrv.recording import absence, kernel
from ...hrv.recording.probabilities import sent
from ...hrv.recording.recording import Run
from ...hrv.recording.schedule import schedule
from ...hrv.recording.sums import Accumulator, place_crop
from ...hrv.relevance.votes import VoteCounter
from ...hrv.wording import said
from ..facts.cancel import CANCELS
from ..facts.conditionings import is_limited
from ..facts.guider import NEGATIVE, guidance_of, patcher_of
from ..facts.layers import layout_of_model
from ..facts.rows import POSITIVE, Chunk, Conditionings, Owner
from ..facts.sampler_call import SamplerCall
from .base.calls import Evaluation, UnetCall
from .base.errors import cause_of
from .base.following_layers import FollowingLayers
from .base.following_tokens import TokenCall
from .base.layer_entries import LayerCall
from .launched_layers import Launch, LaunchedLayers
from .path_notes import PathNotes, noting
from .recorded_rows import Entries, Recorded, Row
from .recorded_schedule import FREE, Effort, Moment, RecordedSchedule
from .steered_sampling import recorded_factors


class Capture(FollowingLayers):
    """Follows one sampling."""

    doing, done = said("Recording"), said("recorded")
    consequence = said("The image is not affected.")
    holds_memory = True
    counts_votes: ClassVar[bool] = True
    at = FollowingLayers.at | {"close": "storing the recording"}

    def __init__(self, run: Run, registry, options):
        super().__init__(run.layout, run.warnings)
        self.run = run
        self.options = options
        self._registry = registry
        self._parts = schedule(options.start_percent, options.end_percent, options.time_bins)
        self._entries = Entries(run, registry, self._parts.bins, warn=self.warn)
        self._sums = Accumulator(run, len(self._parts.bins), options.memory_limit)
        self.path = PathNotes()
        self._schedule: RecordedSchedule | None = None
        self._moment: Moment | None = None
        self._seen: set[Any] = set()
        self._launched = LaunchedLayers(self._sums)
        self._votes: VoteCounter | None = None
        self._evaluation = self._inside = self._calls = 0
        self._evaluated: set[str] = set()  # roles
        self._cfg: float | None = None
        self._size: tuple[int, ...] = ()
        self._sigmas: list[float] = []

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
                said(
                    "Votes for head relevance were not counted in this run ({cause}). The image and the recording are not affected.",
                    cause=cause_of(error),
                ),
                cause="votes",
            )
            logging.debug("[HRV] voting stopped", exc_info=error)

    @property
    def is_finite(self) -> bool:
        """Whether all that was summed are numbers. Known when it was closed."""
        return self._sums.is_finite

    def layout_now(self, patcher) -> Layout:
        """The layers of the model that is about to be sampled."""
        return layout_of_model(patcher)

    def effort(self, guider) -> Effort:
        """What recording takes, and what of it is worth it."""
        return FREE

    def free(self) -> None:
        self._launched.clear()
        self._sums.free()
        for entry in self.run.entries:
            entry.maps.clear()
            entry.layer_counts.clear()

    def end(self, reason: str) -> None:
        if not self.failed:
            self.run.absent = dict.fromkeys((POSITIVE, NEGATIVE), reason)
        super().end(reason)

    def called(self, guider, call: SamplerCall) -> None:
        self.path = noting(guider, call)
        _, latent, sigmas = call.start
        if isinstance(latent, torch.Tensor) and isinstance(sigmas, torch.Tensor):
            self._size, self._sigmas = tuple(latent.shape[-2:]), sigmas.tolist()

    def open(self, guider) -> None:
        """Reads the guider's conditionings, the layers of the model that is about to be sampled, and where in the schedule to
        record."""
        self.layout = self.run.layout = self.layout_now(patcher_of(guider))
        self.conditionings = Conditionings(guider)
        self._registry.guess(o.cond for o in sorted(self.conditionings, key=lambda o: o.role != POSITIVE))
        self._cfg = guidance_of(guider)
        self._schedule = RecordedSchedule(
            patcher_of(guider),
            self._parts,
            every=self.options.every,
            sigmas=self._sigmas,
            effort=self.effort(guider),
        )
        self.run.is_of_end = self._schedule.is_of_end
        if self.options.votes is not None and self.counts_votes:
            with self._voting():
                self._votes = self.options.votes.begin(guider)

    def close(self) -> None:
        """Brings the maps to rest on the CPU, and says what was not recorded."""
        self._launched.clear()
        if not self.failed:
            self._sums.finish()
        self._entries.close(self.conditionings or ())
        if self.failed:
            return
        if self._votes is not None:
            with self._voting():
                self.options.votes.end(self._votes)
        self.tell_layers()
        if self._sums.pooled_blocks:
            limit = self.options.memory_limit // 2**20
            self.warn(
                said(
                    "The maps of {layers} layers were scaled down to stay within {limit} MB. For finer maps, raise memory_limit_mb in Record "
                    "Attention.",
                    layers=self._sums.pooled_blocks,
                    limit=limit,
                )
            )
        if self.options.keep_maps:
            self._tell_absent()

    def _tell_absent(self) -> None:
        """Notes, for each role without maps, why it has none."""
        options = self.options
        sampling = absence.Sampling(
            start=options.start_percent,
            end=options.end_percent,
            cfg=self._cfg,
            evaluations=self._evaluation,
            inside=self._inside,
            calls=self._calls,
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

    def before_evaluation(self, evaluation: Evaluation) -> None:
        self.path.note(evaluation)
        self._seen = set()
        self._evaluation += 1
        self._moment = self._schedule.moment_of(evaluation)
        self._inside += self._moment.is_recorded

    def options_for(self, call: UnetCall) -> dict[str, Any]:
        moment = self._moment
        if moment is None or not moment.is_recorded or self.latent is None:
            return call.options
        self._calls += 1
        found = [self._row(call, chunk, owner) for chunk, owner in self.owned(call.x, call.options)]
        rows = [row for row in found if row is not None]
        if not rows:
            return call.options
        call.noted = Recorded(rows, moment, call.x.shape[0], self.latent)
        return self.with_entries(call, functools.partial(self._come_by, call.noted))

    def after_call(self, call: UnetCall, output: torch.Tensor) -> None:
        """Counts the evaluation, once all layers have run."""
        self._record_held(call.noted)
        with self.lock:
            self._sums.prepare()
            for row in call.noted.rows:
                row.entry.counts[call.noted.time_bin] += 1

    # -- rows -------------------------------------------------------------------------------------------------

    def _row(self, call: UnetCall, chunk: Chunk, owner: Owner) -> Row | None:
        """What is recorded of a chunk; None for nothing."""
        self._evaluated.add(owner.role)
        if owner.role == NEGATIVE and not self.options.negative:
            return None
        shape, tokens = tuple(call.x.shape[-2:]), call.context.shape[1]
        crop = self.conditionings.crop(chunk, self.latent)
        if crop[:2] != shape:
            self.warn(
                said(
                    "The model was given a piece of {given} latent pixels where {expected} were expected, because another node samples in "
                    "tiles or at another size. Those steps were not recorded.",
                    given=f"{shape[0]}×{shape[1]}",
                    expected=f"{crop[0]}×{crop[1]}",
                ),
                cause="tiles",
            )
            return None
        length = self.conditionings.length(chunk)
        with self.lock:
            if chunk.uuid in self._seen:  # guidance such as PAG evaluates a prompt again: the first counts
                return None
            self._seen.add(chunk.uuid)
            entry = self._entries.of(owner, chunk, length)
        repeats, rest = divmod(tokens, length)
        if rest or entry.batch != chunk.batch:
            self.tell_of_prompt(
                f"{length} × {entry.batch}",
                f"{tokens} × {chunk.batch}",
            )
            return None
        return Row(entry, chunk.rows, crop, length, repeats)

    # -- layers -----------------------------------------------------------------------------------------------

    def _come_by(self, recorded: Recorded, at: LayerCall | TokenCall) -> None:
        """A layer comes by in one call."""
        if not self._launched.hold(recorded, at):
            self._record(recorded, at)
        elif recorded.is_full:
            self._record_held(recorded)

    def _record_held(self, recorded: Recorded) -> None:
        """Records what is held."""

        def look(at: LayerCall | TokenCall) -> None:
            with self.guarded(f"at layer {at.layer.block}"):
                self._record(recorded, at)

        with self.lock:
            self._launched.record_held(recorded, look)

    def _record(self, recorded: Recorded, at: LayerCall | TokenCall) -> None:
        """Records what a layer does in one call."""
        if self.failed:
            return
        fits, launches = at.fits(recorded.batch), []
        for row in recorded.rows:
            with self.lock:
                if not (fits and self._entries.fits(row, at.keys)):
                    self._leave_out(recorded, row, at)
                    continue
            if self._votes is not None and row.entry.role == POSITIVE:
                with self._voting():
                    draw_key = (self._evaluation, row.entry.index)
                    self._votes.add(at.layer.number, at.layer.module.to_k, at.q[row.rows], draw_key)
            if not self.options.keep_maps:
                continue
            with self.lock:
                launches.append(self._add(recorded, row, at))
        if self._votes is None:
            with self.lock:
                self._launched.note(recorded, at, launches)

    def _leave_out(self, recorded: Recorded, row: Row, at: LayerCall | TokenCall) -> None:
        grid = at.grid
        self.tell_of_layer(
            at.layer,
            f"{at.q.shape[0]} × {at.q.shape[-2]} × {at.keys}",
            f"{recorded.batch} × {grid[0] * grid[1]} × {row.keys}",
        )
        self._sums.drop(row.entry, at.layer.number)

    def _add(self, recorded: Recorded, row: Row, at: LayerCall | TokenCall) -> Launch | None:
        """Adds P of one layer to the sums: straight away where it is kept as it comes. Counts it. Returns how it was launched, if it was so
        and may be so again."""
        entry, number, time_bin = row.entry, at.layer.number, recorded.time_bin
        heads, grid = self.layout.blocks[number].heads, at.grid
        entry.own_columns = at.own_columns
        counts = entry.layer_counts.setdefault(number, [0] * len(self._parts.bins))
        factors = recorded_factors(row.rows, entry.columns, self.layout.span(number), at.extra_options)
        room = None
        if factors is None and row.crop[:2] == recorded.latent:
            shape = (entry.batch, heads, len(entry.columns) + at.own_columns, *grid)
            room = self._sums.room(entry, number, time_bin, shape, at.q.device)
        form = None if room is None else self._form(row, at, room)
        if form is not None:
            launch = Launch(*form, room, row, counts)
            self._launched.launch(launch, at, time_bin)
            if at.is_shared:
                self._sums.flush()
            return launch
        counts[time_bin] += 1
        into = None if room is None else room.view(*room.shape[:3], -1)
        maps = at.probabilities(row.rows, entry.columns, entry.length, into)
        if room is not None:
            return None
        if factors is not None:
            own = torch.ones(at.own_columns, factors.shape[1])
            maps = maps * sent(torch.cat([factors, own]), maps.device).T[None, :, :, None]
        maps = place_crop(maps.unflatten(-1, grid), row.crop, recorded.latent)
        self._sums.add(entry, number, time_bin, maps)
        return None

    def _form(
        self, row: Row, at: LayerCall | TokenCall, sums: torch.Tensor
    ) -> tuple[kernel.Form, int, int] | None:
        """How P of a layer is added to its sums on a graphics card; None where that is not to be had."""
        return (
            at.form(row.rows, row.entry.columns, row.entry.length, sums) if kernel.is_usable(at.q) else None
        )
