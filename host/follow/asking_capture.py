"""A recording that also looks for words that are not in the prompt."""

from __future__ import annotations

from ..facts.rows import POSITIVE
from .asked_sums import AskedSums
from .capture import Capture


class AskingCapture(Capture):
    """Follows one sampling."""

    def __init__(self, run, registry, options):
        super().__init__(run, registry, options)
        self._asked = AskedSums(options.asked, self._entries, self._sums, warn=self.warn)

    def close(self) -> None:
        self._asked.close()
        super().close()

    def _add(self, recorded, row, at) -> None:
        super()._add(recorded, row, at)
        if row.entry.role == POSITIVE:
            self._asked.add(row, at, recorded.time_bin, recorded.latent)

    def _leave_out(self, recorded, row, at) -> None:
        super()._leave_out(recorded, row, at)
        if row.entry.role == POSITIVE:
            self._asked.drop(row.entry, at.layer.number)
