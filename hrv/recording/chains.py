"""Several samplings that made one image: each began from the latent that the one before had left, noise included.

KSampler Advanced in halves, split sigmas with DisableNoise, samplers that go step by step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..resizing import resize_maps
from ..wording import said
from .recording import Entry, Recording, Run
from .schedule import Bin

POSITIVE = "positive"
ONLY_LAST = "Only the last steps are shown: "
CHANGED = said(
    ONLY_LAST
    + "a sampler started in the middle of the schedule, without new noise, from a latent that did not come "
    "unchanged from a recorded sampler. If another node added the noise (AddNoise), nothing is missing."
)
FORGOTTEN = said(
    ONLY_LAST
    + "the recording of the earlier steps was no longer kept. To see all steps, raise memory_limit_mb in "
    "Record Attention and run again."
)
SEVERAL = said(
    ONLY_LAST + "the latent that they started from was put together from images of several samplers."
)
OTHER_MODEL = said(ONLY_LAST + "the earlier steps were sampled with a model that has different layers.")
NOT_JOINED = ONLY_LAST + "joining them with the earlier steps failed ({cause})."
TOP = 0.99  # of the highest sigma: what begins above it begins at the top, schedulers' rounding left aside


@dataclass(frozen=True)
class Beginning:
    """How a sampling began. earlier: the run that it went on with, None where it went on with none that is known; rows: for each
    of its images the place in that run's batch. missing: what to say where steps before it are not shown; empty where none are
    missing."""

    earlier: Run | None = None
    rows: tuple[int, ...] = ()
    missing: str = ""


def beginning(
    recording: Recording, latent: torch.Tensor, noise: torch.Tensor, sigmas: torch.Tensor, highest: float
) -> Beginning:
    """latent, noise: (batch, …), what the sampler is given; sigmas: (step + 1,), its schedule; highest: where a whole one begins.

    A sampling goes on with an earlier one when it adds no noise to a latent that is not empty, and does not begin at the top.
    """
    first, last = float(sigmas[0]), float(sigmas[-1])
    if not last < first < TOP * highest or bool(noise.any()) or not bool(latent.any()):
        return Beginning()
    found = recording.known(latent)
    if found is None:
        return Beginning(missing=FORGOTTEN if recording.is_gone(latent) else CHANGED)
    runs = {id(one.run): one.run for one in found}
    if len(runs) > 1:
        return Beginning(missing=SEVERAL)
    return Beginning(found[0].run, tuple(one.row for one in found))


def join(run: Run, begun: Beginning) -> bool:
    """Adds what an earlier run recorded to the run that went on with it; returns whether it did, else warns.

    The maps of a conditioning that both have (same role, same tokens) are added, on the smaller grid where they differ, and so are
    the evaluations; of a run of the end its own are enough. Other conditionings stand beside each other. The earlier run stays as it is.
    """
    earlier, missing = begun.earlier, begun.missing
    if earlier is not None and earlier.layout != run.layout:
        missing = OTHER_MODEL
    if missing:
        run.warnings.append(missing)
    if missing or earlier is None:
        return False
    before = [_rows_of(entry, begun.rows) for entry in earlier.entries if max(begun.rows) < entry.batch]
    joined = []
    for entry in run.entries:
        same = next((one for one in before if _is_same(one, entry)), None)
        if same is not None:
            before = [one for one in before if one is not same]
            entry = entry if run.is_of_end else _sum(same, entry)
        joined.append(entry)
    for entry in before:
        taken = [other.index for other in joined if other.role == entry.role]
        if entry.index in taken:
            entry = dataclasses.replace(entry, index=max(taken) + 1)
        joined.append(entry)
    run.entries = sorted(joined, key=lambda entry: entry.role != POSITIVE)
    run.warnings[:0] = [warning for warning in earlier.warnings if warning not in run.warnings]
    return True


def _rows_of(entry: Entry, rows: Sequence[int]) -> Entry:
    """A conditioning of these images only."""
    if list(rows) == list(range(entry.batch)):
        return entry
    maps = {block: sums[list(rows)] for block, sums in entry.maps.items()}
    return dataclasses.replace(entry, batch=len(rows), maps=maps)


def _is_same(one: Entry, other: Entry) -> bool:
    """Whether two conditionings have the same words in the same columns."""
    facts = [(e.role, e.batch, e.length, e.columns, e.parts, e.prompt) for e in (one, other)]
    return facts[0] == facts[1]


def _sum(one: Entry, other: Entry) -> Entry:
    """Both conditionings as one. A layer that only one of them has keeps its own count."""
    maps, layer_counts = {}, {}
    bins = tuple(sorted({*one.bins, *other.bins}))
    one, other = _with_bins(one, bins), _with_bins(other, bins)
    for block in sorted({*one.maps, *other.maps}):
        parts = [entry for entry in (one, other) if block in entry.maps]
        maps[block] = _added([entry.maps[block] for entry in parts])
        layer_counts[block] = _counts([entry.layer_counts.get(block, entry.counts) for entry in parts])
    counts = _counts([one.counts, other.counts])
    layer_counts = {block: own for block, own in layer_counts.items() if own != counts}
    return dataclasses.replace(other, maps=maps, counts=counts, layer_counts=layer_counts)


def _with_bins(entry: Entry, bins: tuple[Bin, ...]) -> Entry:
    """A conditioning with more bins: nothing was seen in those that it has not."""
    if entry.bins == bins:
        return entry
    places = [bins.index(one) for one in entry.bins]

    def counts(own: list[int]) -> list[int]:
        found = dict(zip(places, own, strict=True))
        return [found.get(place, 0) for place in range(len(bins))]

    maps = {}
    for block, sums in entry.maps.items():
        maps[block] = sums.new_zeros(len(sums), len(bins), *sums.shape[2:])
        maps[block][:, places] = sums
    of_layers = {block: counts(own) for block, own in entry.layer_counts.items()}
    return dataclasses.replace(
        entry, maps=maps, counts=counts(entry.counts), layer_counts=of_layers, bins=bins
    )


def _counts(lists: Sequence[list[int]]) -> list[int]:
    return [sum(values) for values in zip(*lists, strict=True)]


def _added(maps: list[torch.Tensor]) -> torch.Tensor:
    """Sums in half precision, (…, height, width), on the smallest of their grids."""
    if len(maps) == 1:
        return maps[0]
    height, width = (min(one.shape[axis] for one in maps) for axis in (-2, -1))
    return sum((resize_maps(one.float(), (height, width)) for one in maps), torch.zeros(())).half()
