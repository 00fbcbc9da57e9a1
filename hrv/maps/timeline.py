"""Word maps for each part of the schedule, where Record Attention kept the parts apart (`time_bins`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..heads.selection import HeadSelection
from ..recording.recording import Entry, Match
from ..wording import said
from .word_maps import Target, recorded_heads, word_maps

ONE_PART = said(
    "The recording keeps the whole schedule as one part, so there is one overlay per word. Set `time_bins` "
    "in Record Attention to 8, for example, and run again."
)


def recorded_parts(entries: Sequence[Entry]) -> list[int]:
    """Numbers, from 0, of the parts in which any of these conditionings was evaluated, in the order of sampling.

    A part without evaluations (outside start_percent … end_percent, or fewer steps than parts) is left out.
    """
    parts = max((entry.parts for entry in entries), default=0)
    return [part for part in range(parts) if any(_seen(entry, part) for entry in entries)]


def timeline_maps(
    match: Match, targets: Sequence[Target], parts: Sequence[int], heads: HeadSelection | None = None
) -> torch.Tensor:
    """The map of each target in each part: float32 (part, target, height, width), in shares of attention.

    The mean over the evaluations of that part alone, and over the layers that ran in it. A prompt that was not evaluated in
    a part (Conditioning Set Timestep Range), or none of whose chosen heads ran in it (caches skip layers), is left out there;
    a word that no other prompt has is zero. Raises as `word_maps` does.
    """
    frames = torch.zeros(len(parts), len(targets), *match.run.grid)
    for frame, part in zip(frames, parts, strict=True):
        entries = {id(entry): entry for target in targets for entry, _ in target.places}
        counted = {
            key
            for key, entry in entries.items()
            if _seen(entry, part) and recorded_heads(entry, match.run.layout, heads, part)
        }
        seen = [
            Target(tuple(place for place in target.places if id(place[0]) in counted)) for target in targets
        ]
        rows = [row for row, target in enumerate(seen) if target.places]
        if rows:
            frame[rows] = word_maps(match, [seen[row] for row in rows], heads, part)
    return frames


def _seen(entry: Entry, part: int) -> bool:
    return part < entry.parts and bool(entry.blocks(part))
