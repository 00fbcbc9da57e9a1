"""Made-up recordings, and the plainest way to compute a word map from one."""

import torch
import torch.nn.functional as F

from hrv_pack.hrv.heads.layout import Block, Layout
from hrv_pack.hrv.prompt import Prompt
from hrv_pack.hrv.recording.recording import Entry, Match, Recording, Run
from hrv_pack.hrv.relevance.vectors import HeadRelevance
from hrv_pack.hrv.runs.latents import traces_of
from hrv_pack.hrv.runs.shelf import RunShelf

LAYOUT = Layout(
    (Block("input", 1, 0, 3), Block("input", 2, 0, 2), Block("middle", 0, 0, 4), Block("output", 5, 0, 3))
)
CONCEPTS = ("Animals", "Electronics", "Color")
GRIDS = ((8, 12), (4, 6), (2, 3), (8, 12))


def entry(
    prompt: Prompt | None,
    columns=None,
    role="positive",
    index=0,
    batch=1,
    counts=(5,),
    grids=GRIDS,
    layout=LAYOUT,
    seed=0,
    layer_counts=None,
) -> Entry:
    """Random sums of attention: peaked maps, so that bicubic interpolation does undershoot. layer_counts: block → counts
    of layers that ran in other evaluations than the model."""
    generator = torch.Generator().manual_seed(seed)
    length = prompt.length if prompt is not None else 77
    own = {block: list(of_block) for block, of_block in (layer_counts or {}).items()}
    columns = tuple(columns if columns is not None else prompt.recorded_columns if prompt else range(length))
    maps = {
        block: (
            torch.rand(
                (batch, len(counts), layout.blocks[block].heads, len(columns), *grid), generator=generator
            )
            ** 8
        )
        .mul(torch.tensor(own.get(block, counts), dtype=torch.float32).view(1, -1, 1, 1, 1, 1))
        .half()
        for block, grid in enumerate(grids)
    }
    return Entry(role, index, prompt, length, columns, list(counts), batch, maps, own)


def match(*entries: Entry, element=0, layout=LAYOUT) -> Match:
    return Match(Run(layout, list(entries)), element, True)


def run_of(latent: torch.Tensor, *entries: Entry, warnings=(), layout=LAYOUT) -> Run:
    return Run(layout, list(entries), traces_of(latent), list(warnings))


def recording(*runs: Run, limit=2**40) -> Recording:
    made = Recording(LAYOUT, limit)
    for run in runs:
        add(made, run)
    return made


def add(shelf: RunShelf, run, **more) -> None:
    """Keeps a run, and waits until room has been made."""
    shelf.add(run, **more)
    shelf.settle()


def vectors(seed=0) -> HeadRelevance:
    """Random votes for CONCEPTS."""
    votes = torch.randint(0, 50, (3, LAYOUT.heads), generator=torch.Generator().manual_seed(seed))
    return HeadRelevance.from_votes(CONCEPTS, votes, LAYOUT, {})


def plain_map(
    entry: Entry, columns, grid, element=0, weights=None, time_bin=None, layout=LAYOUT, balanced=False
) -> torch.Tensor:
    """docs/formulas.md read aloud: one head, one token, one interpolation at a time; float64 sums. Balanced: of one column."""
    assert not balanced or len(columns) == 1
    total, weight_sum = torch.zeros(grid, dtype=torch.float64), 0.0
    bins = range(len(entry.counts)) if time_bin is None else [time_bin]
    for column in columns:
        position = entry.columns.index(column)
        for block, maps in entry.maps.items():
            count = sum(entry.layer_counts.get(block, entry.counts)[b] for b in bins)
            for head in range(layout.blocks[block].heads) if count else ():
                weight = 1.0 if weights is None else float(weights[layout.offsets[block] + head])
                sums = sum(maps[element, b, head, position].float() for b in bins)
                mean = sums / count
                large = F.interpolate(mean[None, None], grid, mode="bicubic", align_corners=False)[0, 0]
                large = large.clamp(min=0).double()
                if balanced and weight:
                    weight /= float(large.max() - large.min()) ** 0.5
                total += weight * large
                weight_sum += weight
    return (total / weight_sum).float()


def same_run(found: Run, expected: Run) -> None:
    """Asserts that two runs are equal to the last bit."""
    for name in ("layout", "fingerprints", "warnings"):
        assert getattr(found, name) == getattr(expected, name), name
    assert len(found.entries) == len(expected.entries)
    for a, b in zip(found.entries, expected.entries, strict=True):
        for name in ("role", "index", "prompt", "length", "columns", "counts", "layer_counts", "batch"):
            assert getattr(a, name) == getattr(b, name), name
        assert a.maps.keys() == b.maps.keys()
        for block, maps in a.maps.items():
            assert maps.dtype == b.maps[block].dtype and torch.equal(maps, b.maps[block])
