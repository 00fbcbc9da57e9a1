"""Maps of every single head for one word of a recording."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ..recording.recording import Entry, Match, NoRecording
from ..recording.schedule import Part
from ..resizing import resize_maps
from .sums_of_heads import positions_of, sums_of_heads
from .word_maps import WORKSPACE, Target, enlarge


@dataclass(frozen=True)
class HeadMaps:
    """maps: float32 (head, height, width) on one grid, in shares of attention. recorded: bool (head,); the map of a head
    that was not recorded is 0."""

    maps: torch.Tensor
    recorded: torch.Tensor


def head_maps(
    match: Match, target: Target, grid: tuple[int, int] | None = None, time_bin: Part = None
) -> HeadMaps:
    """Mean over the word's tokens of M_{n,j} for every head n (docs/formulas.md, "Head map").

    grid: (height, width) to put them on, the working grid if it is None; maps on larger grids are averaged down to it. time_bin: a part
    of the schedule. A head counts as recorded if it was in every conditioning that has the word. On the working grid, the mean over all
    heads is the word's DAAM map. Raises ColumnNotRecorded and NoRecording.
    """
    layout, grid = match.run.layout, grid or match.run.grid
    total = torch.zeros(layout.heads, *grid)
    recorded = torch.ones(layout.heads, dtype=torch.bool)
    tokens = sum(len(columns) for _, columns in target.places)
    if not tokens:
        raise ValueError("A word without tokens has no map.")
    for entry, columns in target.places:
        if not 0 <= match.element < entry.batch:
            raise NoRecording(
                f"Image {match.element + 1} was asked for, but this recording of the {entry.role} prompt "
                f"holds only {entry.batch}."
            )
        positions = positions_of(entry, columns)
        there = set(entry.blocks(time_bin))
        for number in range(len(layout.blocks)):
            if number not in there:
                recorded[layout.span(number)] = False
        for blocks in _together(entry, sorted(there), len(columns), grid):
            pieces = [(number, range(layout.blocks[number].heads)) for number in blocks]
            sums = sums_of_heads(
                entry, pieces, match.element, positions, time_bin=time_bin, share=match.share
            )
            larger = sums.shape[-2] >= grid[0] and sums.shape[-1] >= grid[1]
            maps = resize_maps(sums, grid) if larger else enlarge(sums, grid).view(*sums.shape[:2], *grid)
            of_blocks = maps.sum(1).split([len(heads) for _, heads in pieces])
            for number, own in zip(blocks, of_blocks, strict=True):
                total[layout.span(number)].add_(own, alpha=1 / (tokens * entry.count(time_bin, number)))
    if not recorded.all():
        total[~recorded] = 0
    if not recorded.any():
        raise NoRecording("No head was recorded in all the prompts that contain this word.")
    return HeadMaps(total, recorded)


def _together(
    entry: Entry, numbers: Sequence[int], columns: int, grid: tuple[int, int]
) -> Iterator[list[int]]:
    """Layers of one size, as many at a time as fit the workspace."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for number in numbers:
        by_size.setdefault(tuple(entry.maps[number].shape[-2:]), []).append(number)
    for size, blocks in by_size.items():
        most = WORKSPACE // (columns * max(math.prod(size), math.prod(grid)))  # heads
        some: list[int] = []
        heads = 0
        for number in blocks:
            own = entry.maps[number].shape[2]
            if some and heads + own > most:
                yield some
                some, heads = [], 0
            some.append(number)
            heads += own
        yield some


def head_spreads(match: Match, target: Target) -> torch.Tensor:
    """How strongly every head paints a word: the standard deviation over pixels of its map, on the grid that was recorded.
    float32 (head,), in shares of attention; 0 for heads that were not recorded in every conditioning that has the word."""
    layout = match.run.layout
    spreads = torch.zeros(layout.heads)
    tokens = sum(len(columns) for _, columns in target.places)
    for number in range(len(layout.blocks)):
        parts = []
        for entry, columns in target.places:
            if number not in entry.maps or entry.count(block=number) < 1:
                break
            positions = [entry.columns.index(column) for column in columns]
            # (bin, head, column, h, w) → (head, h, w)
            sums = entry.maps[number][match.element][:, :, positions].float().sum((0, 2))
            parts.append(sums / (tokens * entry.count(block=number)))
        else:
            spreads[layout.span(number)] = torch.stack(parts).sum(0).flatten(1).std(1, correction=0)
    return spreads
