"""Maps of every single head for one word of a recording."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..recording.recording import TEXT, Match, NoRecording
from ..recording.schedule import Part
from ..recording.sums import resize_maps
from .bicubic import resize
from .word_maps import ColumnNotRecorded, Target


@dataclass(frozen=True)
class HeadMaps:
    """maps: float32 (head, height, width) on one grid, in shares of attention. recorded: bool (head,); the map of a head
    that was not recorded is 0."""

    maps: torch.Tensor
    recorded: torch.Tensor


def head_maps(
    match: Match, target: Target, longest_side: int | None = None, time_bin: Part = None
) -> HeadMaps:
    """Mean over the word's tokens of M_{n,j} for every head n (docs/formulas.md, "Head map").

    On the working grid; with longest_side, on one whose longer side is at most that, to which maps on larger grids are
    averaged down. time_bin: a part of the schedule. A head counts as recorded if it was in every conditioning that has the word. On the working grid, the mean
    over all heads is the word's DAAM map. Raises ColumnNotRecorded and NoRecording.
    """
    layout, grid = match.run.layout, match.run.grid
    if longest_side is not None and max(grid) > longest_side:
        grid = tuple(max(1, round(side * longest_side / max(grid))) for side in grid)
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
        missing = [column for column in columns if column not in entry.columns]
        if missing:
            raise ColumnNotRecorded(f"Token {missing[0]} of the {entry.role} prompt was not recorded.")
        there, bins = set(entry.blocks(time_bin)), entry.places(time_bin)
        for number in range(len(layout.blocks)):
            span = layout.span(number)
            if number not in there:
                recorded[span] = False
                continue
            for column in columns:
                # (bin, head, h, w), summed over the bins of the asked part
                sums = entry.maps[number][match.element, bins, :, entry.columns.index(column)]
                own = sums.sum(0, dtype=torch.float32) if len(sums) > 1 else sums[0].float()
                if match.share == TEXT and entry.has_mass:
                    mass = entry.text_mass(number, match.element, slice(None), time_bin)
                    own = own * entry.count(time_bin, number) / mass
                larger = own.shape[-2] >= grid[0] and own.shape[-1] >= grid[1]
                own = resize_maps(own, grid) if larger else resize(own, grid).clamp(min=0)
                total[span].add_(own, alpha=1 / (tokens * entry.count(time_bin, number)))
    total[~recorded] = 0
    if not recorded.any():
        raise NoRecording("No head was recorded in all the prompts that contain this word.")
    return HeadMaps(total, recorded)


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
