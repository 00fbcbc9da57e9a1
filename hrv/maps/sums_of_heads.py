"""What a recording keeps of single heads, several layers at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from ..recording.recording import TEXT, Entry
from ..recording.schedule import Part


class ColumnNotRecorded(ValueError):
    """A token was asked for whose attention was not kept."""


def positions_of(entry: Entry, columns: Sequence[int]) -> list[int]:
    """Where token columns stand among those that a conditioning keeps. Raises ColumnNotRecorded."""
    place = {column: position for position, column in enumerate(entry.columns)}
    missing = [column for column in columns if column not in place]
    if missing:
        raise ColumnNotRecorded(
            f"The recording lacks a part of a word that was asked for: token {missing[0]} of the {entry.role} prompt. It keeps "
            f"{len(entry.columns)} of the prompt's {entry.length} tokens. Sample again through Record Attention, which keeps every word."
        )
    return [place[column] for column in columns]


def sums_of_heads(
    entry: Entry,
    pieces: Sequence[tuple[int, Sequence[int]]],
    element: int,
    positions: Sequence[int],
    *,
    time_bin: Part,
    share: str,
) -> torch.Tensor:
    """The sums of these heads of several blocks of one size: float32 (head, column, h, w); as shares of the text, times S."""
    heads = sum(len(chosen) for _, chosen in pieces)
    sums = torch.empty(heads, len(positions), *entry.maps[pieces[0][0]].shape[-2:])
    columns = list(_neighbours(positions))
    first = 0
    for block, chosen in pieces:
        stored = entry.maps[block][element, entry.places(time_bin)]  # (bin, head, column, h, w)
        for heads_to, heads_from in _neighbours(chosen):
            to = sums[first + heads_to.start : first + heads_to.stop]
            for columns_to, columns_from in columns:
                part = stored[:, heads_from, columns_from]
                to[:, columns_to] = part[0] if len(part) == 1 else part.sum(0, dtype=torch.float32)
            if share == TEXT and entry.has_mass:
                mass = entry.text_mass(block, element, heads_from, time_bin)
                to *= (entry.count(time_bin, block) / mass)[:, None]
        first += len(chosen)
    return sums


def _neighbours(indices: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Runs of indices that follow each other: (where they stand in the list, what they are). Copying such runs one by one
    takes a third of the time of picking single indices."""
    start = 0
    for stop in range(1, len(indices) + 1):
        if stop == len(indices) or indices[stop] != indices[stop - 1] + 1:
            yield slice(start, stop), slice(indices[start], indices[stop - 1] + 1)
            start = stop
