"""Which evaluations of a sampling are recorded, and into which bin of the schedule each falls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..facts.patcher import sigma_at
from .base.calls import Evaluation

AFFORDED = 0.05
"""How much of the time of a sampling recording may take where the artist did not say how often to record."""


@dataclass(frozen=True)
class Part:
    """What is to be recorded: from start to end of the schedule, in so many bins; every n-th evaluation, 0: as many as can be afforded."""

    start: float
    end: float
    bins: int
    every: int


class RecordedSchedule:
    """The evaluations of one sampling that are recorded, in bins: parts of equal size from start to end.

    sigmas: the sampler's schedule, descending, the last one where it ends. cost: what recording an evaluation takes, as a part of what
    the evaluation takes. Where not all can be afforded the later ones are taken, in which maps are best; with several bins, every n-th.
    """

    def __init__(self, patcher, part: Part, sigmas: Sequence[float] = (), cost: float = 0.0):
        self._edges: list[float] | None = None  # sigmas, descending; None for the whole schedule in one bin
        if part.start > 0.0 or part.end < 1.0 or part.bins > 1:
            share = (part.end - part.start) / part.bins
            self._edges = [sigma_at(patcher, part.start + share * i) for i in range(part.bins + 1)]
        planned = [sigma for sigma in sigmas[:-1] if self._bin(sigma) is not None]
        self._every, self._lowest = part.every or 1, math.inf
        if part.every == 0 and cost > AFFORDED and planned:
            if part.bins > 1:
                self._every = math.ceil(cost / AFFORDED)
            else:
                self._lowest = planned[-max(1, int(len(planned) * AFFORDED / cost))]
        self._left = len(planned)  # planned evaluations that are still to come

    def bin_of(self, evaluation: Evaluation) -> int | None:
        """None for an evaluation that is not recorded. Sigma is only read where it matters."""
        found = 0
        if self._edges is not None or self._lowest < math.inf:
            sigma = evaluation.sigma
            found = self._bin(sigma) if sigma <= self._lowest * (1 + 1e-6) else None
        if found is None:
            return None
        self._left -= 1
        return found if self._left % self._every == 0 else None

    def _bin(self, sigma: float) -> int | None:
        if self._edges is None:
            return 0
        if not self._edges[-1] <= sigma <= self._edges[0]:
            return None
        return next(i for i, (_, low) in enumerate(pairwise(self._edges)) if sigma >= low)
