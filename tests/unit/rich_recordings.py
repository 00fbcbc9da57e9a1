"""Recordings with everything that a file must keep, for the tests of attention files."""

import torch
from prompts import Vector, prompt
from synthetic import entry, run_of

from hrv_pack.hrv.prompt import Prompt
from hrv_pack.hrv.recording.recording import Recording, Run

SIZE = (8, 12)


def latent_of(batch=1, seed=0, size=SIZE) -> torch.Tensor:
    return torch.randn((batch, 4, *size), generator=torch.Generator().manual_seed(seed))


def recording_of(*runs: Run) -> Recording:
    recording = Recording(runs[0].layout, 2**30)
    for run in runs:
        recording.add(run)
    return recording


def rich_prompt() -> Prompt:
    """Two chunks, a weight, a word of two pieces, a textual inversion, and another text in the second encoder."""
    first = prompt(
        [("red", 1.3), "cow|boy", Vector("style"), Vector("style")],
        "a cat , café",
        text="(red:1.3) cowboy embedding:style a cat, café",
    )
    return Prompt(first.tokens, first.text, prompt("dog", "x", text="dog, \ud800"))


def rich_run(batch=2, seed=0) -> tuple[Run, torch.Tensor]:
    """Two positive conditionings and a negative one without a known text, two bins, two pictures, a pooled layer, a
    layer left out, two that ran in other evaluations than the model, and a warning."""
    latent = latent_of(batch, seed)
    skipped = {1: (1, 2), 3: (0, 2)}
    entries = [
        entry(rich_prompt(), batch=batch, counts=(3, 2), seed=seed + 1, layer_counts=skipped),
        entry(
            prompt("a dog"),
            batch=batch,
            counts=(0, 7),
            index=1,
            grids=((4, 6), (4, 6), (2, 3), (8, 12)),
            seed=3,
        ),
        entry(None, columns=(0, 1, 5), role="negative", batch=batch, counts=(3, 2), seed=seed + 4),
    ]
    del entries[1].maps[2]
    return run_of(latent, *entries, warnings=["A layer was “left out”.", "Another\nwarning."]), latent
