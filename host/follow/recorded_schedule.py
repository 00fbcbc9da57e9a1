"""Which part of the schedule is recorded, and which evaluation falls into which of its bins."""

from __future__ import annotations

from itertools import pairwise

from ..facts.patcher import sigma_at
from .base.calls import Evaluation


class RecordedSchedule:
    """The bins of one sampling: parts of equal size from start_percent to end_percent."""

    def __init__(self, patcher, start: float, end: float, bins: int):
        self._edges: list[float] | None = None  # sigmas, descending; None for the whole schedule in one bin
        if start > 0.0 or end < 1.0 or bins > 1:
            self._edges = [sigma_at(patcher, start + (end - start) * i / bins) for i in range(bins + 1)]

    def bin_of(self, evaluation: Evaluation) -> int | None:
        """None for an evaluation that is not recorded. Sigma is only read where it matters."""
        if self._edges is None:
            return 0
        sigma = evaluation.sigma
        if not self._edges[-1] <= sigma <= self._edges[0]:
            return None
        return next(i for i, (_, low) in enumerate(pairwise(self._edges)) if sigma >= low)
