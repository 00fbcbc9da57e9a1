"""Layers that are launched on a graphics card, and launched again as they were: looking at all of them anew in every evaluation takes a slow
processor several percent of its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from ...hrv.recording import kernel
from ...hrv.recording.sums import Accumulator
from .base.following_tokens import TokenCall
from .base.layer_entries import LayerCall
from .recorded_rows import Recorded, Row
from .steered_sampling import STEERED_ROWS


class Launch(NamedTuple):
    """How one row of a layer is launched. q, k: how many bytes after the first the queries and the keys begin that count; counts: of the
    evaluations in each bin."""

    form: kernel.Form
    q: int
    k: int
    sums: torch.Tensor
    row: Row
    counts: list[int]


class Repeat(NamedTuple):
    """How a layer was launched. like: what came then, by `likeness`."""

    like: Any
    launches: list[Launch]


class LaunchedLayers:
    """Those of one sampling."""

    def __init__(self, sums: Accumulator):
        self._sums = sums
        self._generation = 0  # of the rooms that they were launched into
        self._repeats: dict[Any, dict[int, Repeat]] = {}
        self._likes: list[Any] = []  # each once: what many layers share stays in the processor's cache

    def clear(self) -> None:
        """Lets go of all sums."""
        self._repeats.clear()

    @staticmethod
    def hold(recorded: Recorded, at: LayerCall | TokenCall) -> bool:
        """Holds a layer on a graphics card until there are several: what is done with one alone, between all that the model does, takes several
        times as long. False where it is to be recorded now."""
        if at.is_shared or not kernel.is_usable(at.q):
            return False
        recorded.held.append(at)
        recorded.held_bytes += at.nbytes
        return True

    def record_held(self, recorded: Recorded, look: Callable[[LayerCall | TokenCall], None]) -> None:
        """Launches what is held. look: records a layer that did not come so before, and may `note` it."""
        held, recorded.held, recorded.held_bytes = recorded.held, [], 0
        if not held:
            return
        time_bin, repeats = recorded.time_bin, self._of(recorded, held[0])
        for at in held:
            repeat = repeats.get(at.layer.number)
            if repeat is not None and repeat.like == at.likeness:
                for launch in repeat.launches:
                    self.launch(launch, at, time_bin)
            else:
                look(at)
                repeats = self._of(recorded, at)
        self._sums.flush()

    def _of(self, recorded: Recorded, at: LayerCall | TokenCall) -> dict[int, Repeat]:
        """By number of the layer, those of calls that are like this one; may be added to. at: any layer of the call."""
        if self._generation != self._sums.generation:
            self._generation = self._sums.generation
            self._repeats.clear()
        if STEERED_ROWS in at.extra_options:  # other factors in every evaluation
            return {}
        rows = tuple(
            (id(row.entry), row.rows.start, row.rows.stop, row.crop, row.keys) for row in recorded.rows
        )
        return self._repeats.setdefault((recorded.time_bin, recorded.batch, recorded.latent, rows), {})

    def note(self, recorded: Recorded, at: LayerCall | TokenCall, launches: list[Launch | None]) -> None:
        """Remembers how a layer was launched, if all its rows were so and it may come so again."""
        like = at.likeness
        if like is None or None in launches or len(launches) < len(recorded.rows):
            return
        if like not in self._likes:
            self._likes.append(like)
        self._of(recorded, at)[at.layer.number] = Repeat(self._likes[self._likes.index(like)], launches)

    def launch(self, launch: Launch, at: LayerCall | TokenCall, time_bin: int) -> None:
        """Has P of one row of a layer added to its sums in the next flush. Counts it."""
        form, q, k, sums, row, counts = launch
        counts[time_bin] += 1
        places = at.q.data_ptr() + q, at.k.data_ptr() + k, sums.data_ptr()
        self._sums.launch(form, kernel.Piece(*places, (row, at, sums), _plainly))


def _plainly(row: Row, at: LayerCall | TokenCall, sums: torch.Tensor) -> None:
    """The same without the kernel."""
    at.probabilities(row.rows, row.entry.columns, row.entry.length, sums.view(*sums.shape[:3], -1))
