"""Which parts of a sampling's schedule are kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

LATE_FROM = 0.6  # of the schedule: from here on the image is settled, and maps are sharpest (docs/results.md)
LATE: Literal["late"] = "late"
Part = int | Literal["late"] | None
"""What of the schedule is asked for: the number of a part, counted from 0; LATE, its last evaluations; None, all of it."""
TINY = 1e-6  # of the schedule: edges nearer to each other than this are one


class Bin(NamedTuple):
    """Evaluations that are summed together. part: the part of the schedule they belong to; late: whether they are its last ones,
    from LATE_FROM on."""

    part: int
    late: bool = False


@dataclass(frozen=True)
class Schedule:
    """edges: where bins begin and end, from 0 (noise) to 1 (image), ascending; bins: what lies between them."""

    edges: tuple[float, ...]
    bins: tuple[Bin, ...]

    @property
    def parts(self) -> int:
        return self.bins[-1].part + 1


def schedule(start: float, end: float, parts: int) -> Schedule:
    """So many parts of equal size; the one that LATE_FROM lies in is kept as two bins.

    >>> schedule(0.0, 1.0, 1).edges, schedule(0.0, 1.0, 1).bins
    ((0.0, 0.6, 1.0), (Bin(part=0, late=False), Bin(part=0, late=True)))
    """
    edges = [start + (end - start) * number / parts for number in range(parts + 1)]
    if all(abs(edge - LATE_FROM) > TINY for edge in edges) and start < LATE_FROM < end:
        edges = sorted([*edges, LATE_FROM])
    bins = []
    for low, high in pairwise(edges):
        part = min(parts - 1, int(((low + high) / 2 - start) / (end - start) * parts))
        bins.append(Bin(part, low > LATE_FROM - TINY))
    return Schedule(tuple(edges), tuple(bins))
