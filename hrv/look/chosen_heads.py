"""What Select Heads by Concept, Select Heads for a Word and Filter Heads give: a choice of heads, in numbers, as a chart and in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from ..heads.chart import head_chart
from ..heads.filter import all_heads, combine, filter_heads, heads_in_words
from ..heads.selection import HeadSelection
from ..maps.lookup import names_of
from ..maps.pairing import warnings_of
from ..prompt import Prompt
from ..recording.recording import Recording
from ..relevance.heads_for_word import choose_heads
from ..relevance.vectors import HeadRelevance


@dataclass(frozen=True)
class ChosenHeads:
    """heads: the choice. chart: float32 (1, height, width, 3), where the heads sit in the network. text: the same in words.
    names: of the prompt's words, where one was asked for; warnings: in plain words."""

    heads: HeadSelection
    chart: torch.Tensor
    text: str
    names: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def heads_by_concept(
    vectors: HeadRelevance, concept: str, *, percent: float, order: str, weighting: str
) -> ChosenHeads:
    """As `HeadRelevance.select` takes and raises it."""
    heads = vectors.select(concept, percent, order, weighting)
    text = heads_said(heads)
    return ChosenHeads(heads, head_chart(heads, vectors.of(concept), text)[None], text)


def heads_by_word(
    recording: Recording,
    latent: torch.Tensor,
    word: str,
    percent: float,
    *,
    prompt_text: str = "",
    tokenize: Callable[[str], Prompt] | None = None,
) -> ChosenHeads:
    """As `choose_heads` takes and raises it, from the images of a latent (batch, channel, height, width)."""
    matches = recording.match(latent)
    found = choose_heads(matches, word, percent, prompt_text, tokenize)
    text = heads_said(found.heads)
    return ChosenHeads(
        found.heads,
        head_chart(found.heads, found.relevance, text)[None],
        text,
        names=names_of(matches, prompt_text=prompt_text, tokenize=tokenize),
        warnings=warnings_of(matches),
    )


def filtered_heads(
    heads: HeadSelection | None,
    recording: Recording | None,
    *,
    other: HeadSelection | None,
    combination: str,
    part: str,
    grid: str,
    indices: str,
) -> HeadSelection:
    """A choice, or else all heads of a recorded model, combined with another choice, then filtered.

    combination: as `combine` takes it; part, grid, indices: as `filter_heads` does. Raises NoRecording, and ValueError where there is
    nothing to start from, no head is left, or the choices are for different models.
    """
    if recording is not None:
        layout = recording.known_layout()
        heads = all_heads(layout) if heads is None else heads
        heads.check(layout)
    if heads is None:
        raise ValueError(
            "Filter Heads has nothing to start from. Connect heads, or attention from Record Attention."
        )
    if other is not None:
        heads = combine(heads, other, combination)
    return filter_heads(heads, part, grid, indices)


def heads_said(heads: HeadSelection) -> str:
    """The label of a choice, and how many heads it has."""
    return f"{heads.label}: {heads_in_words(heads)}"
