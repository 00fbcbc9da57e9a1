"""Which evaluations of a sampling are recorded, and into which bin of the schedule each falls."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from ...hrv.recording.schedule import Schedule
from ..facts.patcher import sigma_at
from .base.calls import Evaluation

AFFORDED = 0.05
"""How much of the time of a sampling recording may take where the artist did not say how often to record."""


class Effort(NamedTuple):
    """cost: what recording an evaluation takes, as a part of what the evaluation takes. most: the part of a sampling's evaluations, the
    last ones, that is worth recording."""

    cost: float = 0.0
    most: float = 1.0


FREE = Effort()
TINY = 1e-6


class RecordedSchedule:
    """The evaluations of one sampling that are recorded, in the bins of a schedule.

    every: every n-th of them; 0: as many of the last ones as are worth it and can be afforded, or with several parts every n-th, so that
    they can be afforded. sigmas: the sampler's schedule, descending, the last one where it ends.
    """

    def __init__(
        self, patcher, plan: Schedule, *, every: int = 0, sigmas: Sequence[float] = (), effort: Effort = FREE
    ):
        first, *between, last = plan.edges
        # what a sampler evaluates beyond the model's own noise levels belongs to the whole schedule too
        self._highest = math.inf if first <= 0 else sigma_at(patcher, first)
        self._lowest = -math.inf if last >= 1 else sigma_at(patcher, last)
        self._between = [sigma_at(patcher, edge) for edge in between]  # descending
        planned = [sigma for sigma in sigmas[:-1] if self._bin(sigma) is not None]
        self._every, self._from = every or 1, math.inf
        spared = max(1.0, effort.cost / AFFORDED)
        part = min(effort.most, 1 / spared)
        if every == 0 and plan.parts > 1:
            self._every = math.ceil(spared)
        elif every == 0 and planned and part < 1:
            self._from = planned[-max(1, int(len(planned) * part))]
        self._left = len(planned)  # planned evaluations that are still to come
        self._sigmas = tuple(sigmas)
        self._begun: list[Evaluation] = []  # the last one
        self._number = 0  # of evaluations that were begun
        self._keeps_to_plan = True

    @property
    def is_of_end(self) -> bool:
        """Whether only the last evaluations are recorded."""
        return self._from < math.inf

    def moment_of(self, evaluation: Evaluation) -> Moment:
        """When an evaluation is. Waits for a GPU only where it may be one of those, of several, that are recorded."""
        evaluation.send_sigma()
        return Moment(self, evaluation, is_early=self._is_early(evaluation))

    def _is_early(self, evaluation: Evaluation) -> bool:
        """Whether an evaluation on a GPU is known to come before all that are recorded. A sampler makes at least one in each step of its
        schedule, so it cannot be further than as many steps as there were evaluations; whether it keeps to that is seen one evaluation later,
        when sigma is here without waiting. One that does not is waited for from then on."""
        number, before = self._number, self._begun
        self._number, self._begun = number + 1, [evaluation]
        if not (self.is_of_end and evaluation.is_sent and self._keeps_to_plan) or number + 1 >= len(
            self._sigmas
        ):
            return False
        if before and before[0].sigma < self._sigmas[number] * (1 - TINY):
            self._keeps_to_plan = False
            return False
        return self._sigmas[number + 1] > self._from * (1 + TINY)

    @property
    def takes_all(self) -> bool:
        """Whether every evaluation is recorded, whatever its sigma."""
        return self._every == 1 and self._from == self._highest == math.inf and self._lowest == -math.inf

    def bin_of(self, sigma: float) -> int | None:
        """None for an evaluation that is not recorded. To be asked once for each."""
        found = None if sigma > self._from * (1 + TINY) else self._bin(sigma)
        if found is None:
            return None
        self._left -= 1
        return found if self._left % self._every == 0 else None

    def _bin(self, sigma: float) -> int | None:
        if sigma > self._highest or sigma < self._lowest:
            return None
        return sum(sigma < edge for edge in self._between)


class Moment:
    """When in a schedule an evaluation is. Where all are recorded, a GPU is not waited for before its bin is asked for."""

    def __init__(self, schedule: RecordedSchedule, evaluation: Evaluation, is_early: bool):
        self._schedule, self._evaluation, self._is_early = schedule, evaluation, is_early

    @property
    def is_recorded(self) -> bool:
        return not self._is_early and (self._schedule.takes_all or self.bin is not None)

    @functools.cached_property
    def bin(self) -> int | None:
        """None for an evaluation that is not recorded."""
        return self._schedule.bin_of(self._evaluation.sigma)
