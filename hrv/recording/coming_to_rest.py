"""Tensors of a graphics card brought to the CPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch


class Arrival(NamedTuple):
    """What is to come: `take` gives it, on its device, when its turn has come; `place` is where it goes, of the same shape and type, on the
    CPU."""

    take: Callable[[], torch.Tensor]
    place: torch.Tensor


class _OnItsWay(NamedTuple):
    pinned: torch.Tensor
    place: torch.Tensor
    event: torch.cuda.Event

    def arrive(self) -> None:
        self.event.synchronize()
        self.place.copy_(self.pinned)


def bring(arrivals: Sequence[Arrival]) -> None:
    """Brings one after the other. From a CUDA device through pinned memory, so that one is on its way while the one before is put in its
    place, by all threads: one alone is slow to write to new memory."""
    slots: list[torch.Tensor] | None = None
    before: _OnItsWay | None = None
    for turn, (take, place) in enumerate(arrivals):
        taken = take()
        if slots is None:
            slots = _slots(taken, max(math.prod(arrival.place.shape) for arrival in arrivals))
        if not (slots and taken.is_cuda):
            place.copy_(taken)
            continue
        pinned = slots[turn % 2][: taken.numel()].view(taken.shape)
        pinned.copy_(taken, non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(taken.device))
        if before is not None:
            before.arrive()
        before = _OnItsWay(pinned, place, event)
    if before is not None:
        before.arrive()


def _slots(taken: torch.Tensor, most: int) -> list[torch.Tensor]:
    """Pinned memory for one tensor and the next, of this many values at most; none where that does not help, or cannot be had. PyTorch keeps
    it for the next time."""
    if not taken.is_cuda:
        return []
    try:
        return [torch.empty(most, dtype=taken.dtype, pin_memory=True) for _ in range(2)]
    except RuntimeError:
        return []
