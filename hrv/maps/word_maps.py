"""Word maps: from the per-head sums of a recording to one map per word.

All formulas are in docs/formulas.md. Maps are float32 on the CPU; the working grid is the largest attention
grid of the run.

    >>> maps = word_maps(match, [Target(((entry, (2,)),))])          # (1, height, width), DAAM
    >>> mask = threshold_mask(resize(maps, (1024, 1024)), 0.4)       # (1, 1024, 1024), 0 or 1
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ..heads.layout import Layout
from ..heads.selection import HeadSelection
from ..recording.recording import EVERYTHING, TINY, Entry, Match, NoRecording
from ..recording.schedule import LATE, Part
from .bicubic import bicubic_matrix
from .sums_of_heads import positions_of, sums_of_heads

FLAT = 1e-5  # a map is flat if it varies by no more than this share of its maximum
WORKSPACE = 160 * 64 * 64  # values enlarged at a time: 2.5 MB, so that they stay in the processor's cache
COLUMNS_AT_ONCE = (
    32  # more columns of fewer heads at a time took twice as long: what is read lies further apart
)


@dataclass(frozen=True)
class Target:
    """What one map is the mean of: for each conditioning in which the word occurs, the word's columns."""

    places: tuple[tuple[Entry, tuple[int, ...]], ...]


def word_maps(
    match: Match,
    targets: Sequence[Target],
    heads: HeadSelection | None = None,
    time_bin: Part = None,
) -> torch.Tensor:
    """Heat of each target: the mean of its tokens' maps D_j (docs/formulas.md, "DAAM" and "Selective").

    heads: None averages all recorded heads (Tang et al. 2022, arXiv 2210.04885); a selection averages
    its heads with its weights (Park et al. 2026, arXiv 2604.05906), balanced or not, over the late evaluations or all. time_bin: a part of the schedule.
    Returns float32 (target, height, width), in shares of attention from 0 to 1.
    Raises ColumnNotRecorded, NoRecording, and ValueError for heads of another model.
    """
    if heads is not None:
        heads.check(match.run.layout)
        if heads.late and time_bin is None:
            time_bin = LATE
    grid = match.run.grid
    wanted: dict[int, tuple[Entry, set[int]]] = {}
    for target in targets:
        for entry, columns in target.places:
            wanted.setdefault(id(entry), (entry, set()))[1].update(columns)
    found: dict[tuple[int, int], torch.Tensor] = {}
    for entry, columns in wanted.values():
        ordered = sorted(columns)
        maps = column_maps(
            entry, match.element, ordered, layout=match.run.layout, grid=grid, heads=heads, time_bin=time_bin,
            share=match.share,
        )  # fmt: skip
        found.update({(id(entry), column): m for column, m in zip(ordered, maps, strict=True)})
    result = torch.zeros(len(targets), *grid)
    for row, target in enumerate(targets):
        tokens = [found[id(entry), column] for entry, columns in target.places for column in columns]
        if not tokens:
            raise ValueError("A word without tokens has no map.")
        result[row] = torch.stack(tokens).mean(0)
    return result


def column_maps(
    entry: Entry,
    element: int,
    columns: Sequence[int],
    *,
    layout: Layout,
    grid: tuple[int, int],
    heads: HeadSelection | None = None,
    time_bin: Part = None,
    share: str = EVERYTHING,
) -> torch.Tensor:
    """Mean over heads of M_{n,j} = max(0, bicubic(R_{n,j} / S_l)) for each token column j of one conditioning.

    S_l counts the evaluations in which the head's layer ran: caches skip layers. A layer that ran in none of this part of the
    schedule has no say in it.

    A balanced selection weights M_{n,j} by w_n / √(max M_{n,j} − min M_{n,j}); a head that looks everywhere alike counts 0.

    share: in joint attention, whether R_{n,j} / S_l is taken, or R_{n,j} / R_{n,mass}, the share of the text.

    element: row of the batch. Blocks without a chosen head are not touched, so the cost follows the number of
    chosen heads. Returns float32 (column, height, width) on `grid`.
    """
    positions = positions_of(entry, columns)
    if not entry.blocks(time_bin):
        raise NoRecording(
            "This part of the schedule has no evaluations in the recording. Choose another part."
        )
    if not 0 <= element < entry.batch:
        raise NoRecording(
            f"Image {element + 1} was asked for, but this recording of the {entry.role} prompt holds only "
            f"{entry.batch}."
        )
    jobs = _jobs(entry, layout, heads, time_bin)
    if not jobs:
        raise NoRecording(
            "None of the chosen heads were recorded. Choose other heads, or leave `heads` unconnected to "
            "use all."
        )
    total, weight_sums = torch.zeros(len(columns), grid[0] * grid[1]), torch.zeros(len(columns), 1)
    balanced = heads is not None and heads.balanced
    for job in jobs:
        for part, pieces, weights, shares in job.batches(len(columns), grid):
            sums = sums_of_heads(entry, pieces, element, positions[part], time_bin=time_bin, share=share)
            maps = enlarge(sums, grid)  # S · M
            if balanced:
                weights = weights[:, None] * balance(ranges(maps) * shares[:, None])  # (head, column)
                total[part] += torch.einsum("nc,ncx->cx", weights * shares[:, None], maps)
                weight_sums[part] += weights.sum(0)[:, None]
            else:
                total[part].view(-1).addmv_(maps.flatten(1).T, weights * shares)
                weight_sums[part] += weights.sum()
    # only a balanced word at which every head looks everywhere alike has no weight at all: its map is 0
    return (total / weight_sums.clamp(min=TINY)).view(len(columns), *grid)


def recorded_heads(
    entry: Entry, layout: Layout, heads: HeadSelection | None = None, time_bin: Part = None
) -> int:
    """How many heads a map of this conditioning is the mean of, in one part of the schedule or in all."""
    return sum(len(job.weights) for job in _jobs(entry, layout, heads, time_bin))


def ranges(maps: torch.Tensor) -> torch.Tensor:
    """max M − min M over the last axis, 0 for a map that is flat but for rounding: (…, pixel) → (…)."""
    high = maps.amax(-1)
    spans = high - maps.amin(-1)
    return torch.where(spans > FLAT * high, spans, 0.0)


def balance(ranges: torch.Tensor) -> torch.Tensor:
    """1 / √range, by which a head counts halfway (geometrically) between by its attention and alike; 0 where flat."""
    return torch.where(ranges > 0, ranges.rsqrt(), 0.0)


@dataclass(frozen=True)
class _Job:
    """Blocks of one grid size: (block number, its chosen heads), the weights of those heads, and for each 1 / S."""

    blocks: list[tuple[int, list[int]]]
    weights: torch.Tensor
    shares: torch.Tensor

    def batches(
        self, columns: int, grid: tuple[int, int]
    ) -> Iterator[tuple[slice, list[tuple[int, list[int]]], torch.Tensor, torch.Tensor]]:
        """(columns, blocks with some of their heads, the weights of those, their shares) such that columns × heads × grid
        fits the workspace."""
        at_once = max(1, min(columns, COLUMNS_AT_ONCE, WORKSPACE // (grid[0] * grid[1])))
        most = max(1, WORKSPACE // (at_once * grid[0] * grid[1]))
        single = [(block, head) for block, heads in self.blocks for head in heads]
        for first in range(0, len(single), most):
            pieces: dict[int, list[int]] = {}
            for block, head in single[first : first + most]:
                pieces.setdefault(block, []).append(head)
            for start in range(0, columns, at_once):
                part = slice(start, min(start + at_once, columns))
                chosen = slice(first, first + most)
                yield part, list(pieces.items()), self.weights[chosen], self.shares[chosen]


def _jobs(entry: Entry, layout: Layout, heads: HeadSelection | None, time_bin: Part = None) -> list[_Job]:
    by_size: dict[tuple[int, ...], tuple[list, list, list]] = {}
    for block in entry.blocks(time_bin):
        weights = torch.ones(layout.blocks[block].heads)
        if heads is not None:
            weights = heads.weights[layout.span(block)].to(torch.float32)
        chosen = weights.nonzero().flatten().tolist()
        if chosen:
            blocks, kept, shares = by_size.setdefault(tuple(entry.maps[block].shape[-2:]), ([], [], []))
            blocks.append((block, chosen))
            kept.append(weights[chosen])
            shares.append(torch.full((len(chosen),), 1 / entry.count(time_bin, block)))
    return [_Job(blocks, torch.cat(kept), torch.cat(shares)) for blocks, kept, shares in by_size.values()]


def enlarge(sums: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """max(0, bicubic(sums)) on the grid: (head, column, h, w) → (head, column, height · width)."""
    heads, columns, height, width = sums.shape
    if (height, width) != tuple(grid):
        to_rows, to_columns = bicubic_matrix(height, grid[0]), bicubic_matrix(width, grid[1])
        wide = (sums.view(-1, width) @ to_columns.T).view(heads * columns, height, grid[1])
        sums = torch.bmm(to_rows.expand(heads * columns, *to_rows.shape), wide)
    return sums.view(heads, columns, -1).clamp_(min=0)
