"""Tensors of a graphics card brought to the CPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

SLOT_BYTES = 8 * 2**20


class Arrival(NamedTuple):
    """What is to come: `take` gives it, on its device, when its turn has come; `place` is where it goes, of the same shape and type, on the
    CPU."""

    take: Callable[[], torch.Tensor]
    place: torch.Tensor


def bring(arrivals: Sequence[Arrival]) -> None:
    """Brings one after the other. From a CUDA device through pinned memory: some are on their way while those before are put in their places,
    by all threads, for one alone is slow to write to new memory."""
    slots: list[_Slot] = []
    largest = max((math.prod(place.shape) * place.element_size() for _, place in arrivals), default=0)
    for take, place in arrivals:
        taken = take()
        slots = slots or _slots(taken, max(SLOT_BYTES, largest))
        if not (slots and taken.is_cuda):
            place.copy_(taken)
            continue
        if not slots[0].has_room(taken):
            slots.reverse()
            slots[0].arrive()
        slots[0].send(taken, place)
    for slot in reversed(slots):
        slot.arrive()


def _slots(taken: torch.Tensor, nbytes: int) -> list[_Slot]:
    """Two, of so many bytes; none where they do not help, or cannot be had."""
    try:
        return [_Slot(nbytes), _Slot(nbytes)] if taken.is_cuda else []
    except RuntimeError:
        return []


class _Slot:
    """Pinned memory that some tensors come through. PyTorch keeps it for the next time."""

    def __init__(self, nbytes: int):
        self._memory = torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)
        self._used = 0
        self._sent: list[tuple[torch.Tensor, torch.Tensor]] = []  # each with its place
        self._event = torch.cuda.Event()

    def has_room(self, taken: torch.Tensor) -> bool:
        return self._used + taken.nbytes <= len(self._memory)

    def send(self, taken: torch.Tensor, place: torch.Tensor) -> None:
        end = self._used + taken.nbytes
        pinned = self._memory[self._used : end].view(taken.dtype).view(taken.shape)
        pinned.copy_(taken, non_blocking=True)
        self._event.record(torch.cuda.current_stream(taken.device))
        self._used = end
        self._sent.append((pinned, place))

    def arrive(self) -> None:
        """What was sent is put in its place, and the memory is free again."""
        self._event.synchronize()
        for pinned, place in self._sent:
            place.copy_(pinned)
        self._used, self._sent = 0, []
