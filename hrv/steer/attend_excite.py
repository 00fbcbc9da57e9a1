"""Attend and Excite: how much each word is looked at in its best place, and which way the latent has to go for more of it
(docs/formulas.md, "Attend and Excite").

Chefer et al. 2023 (arXiv 2301.13826); heads weighted by their relevance: Park et al. 2024 (arXiv 2412.02237).
Everything here is differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..heads.layout import Layout
from ..prompt import START, Prompt, WordNotFound
from ..prompt.phrases import phrases_of
from ..relevance.vectors import HeadRelevance

SHARPNESS = 100.0
STEP = 20.0
LAST_STEP = 0.5
"""The published settings: the factor before the softmax over tokens; the step at the start of the schedule, and the share of
it that is left at the end."""
GRID_PIXELS = 16 * 16
KERNEL, SIGMA = 3, 0.5


@dataclass(frozen=True, eq=False)
class Excitement:
    """What one Attend and Excite node does to the prompt.

    words: words and phrases of the prompt; none means its nouns. strength: 1 is the published step. Percentages are parts of
    the schedule (0 noise … 1 image). vectors, concept: heads count as they care about the concept; None: all alike.

    Raises ValueError for a concept that the vectors do not have, and for an empty part of the schedule.
    """

    words: tuple[str, ...] = ()
    strength: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 0.5
    vectors: HeadRelevance | None = None
    concept: str = ""
    smoothing: bool = True
    name: str = "Attend and Excite"

    def __post_init__(self):
        if self.vectors is not None:
            self.vectors.index(self.concept)
        if self.start_percent >= self.end_percent:
            raise ValueError(
                f"{self.name} would do nothing: start_percent ({self.start_percent:g}) must be smaller than end_percent "
                f"({self.end_percent:g})."
            )

    def step(self, part: float) -> float:
        """How far the latent moves along the gradient at this part of the schedule, 0 … 1; 0 where it is to stay.

        In units of the latent as the network sees it (variance 1). Linear in the part, from STEP to STEP · LAST_STEP.
        """
        if not self.start_percent <= part <= self.end_percent:
            return 0.0
        return self.strength * STEP * (1 - (1 - LAST_STEP) * part)

    def columns(self, prompt: Prompt) -> list[tuple[int, ...]]:
        """The columns of each word, of those that the prompt has."""
        if not self.words:
            things = [phrase for phrase in phrases_of(prompt) if not phrase.is_place and not phrase.is_manner]
            return [phrase.noun.columns for phrase in things]
        found = []
        for word in self.words:
            try:
                found.append(prompt.find(word).columns)
            except WordNotFound:
                continue
        return found


def grids_of(levels: Sequence[int], layout: Layout) -> tuple[int, ...]:
    """The levels whose maps may be used: those that are not the middle block's alone, which has too few heads.

    levels: how often the latent has been halved where each layer sits.
    """
    shared = {level for level, block in zip(levels, layout.blocks, strict=True) if block.part != "middle"}
    return tuple(sorted(shared or set(levels)))


def small_grid(layout: Layout, levels: Sequence[int], latent: tuple[int, int]) -> tuple[int, ...]:
    """Numbers of the layers whose maps are used: those on the grid nearest to 16 × 16 pixels, of `grids_of`.

    latent: (height, width). In SD 1.x at 512 × 512 this is the grid of Chefer et al.; in SDXL at 1024 × 1024 that of 32 × 32.
    """

    def distance(level: int) -> float:
        height, width = (-(-side // 2**level) for side in latent)
        return abs(math.log(height * width / GRID_PIXELS))

    nearest = min(grids_of(levels, layout), key=distance)
    return tuple(number for number, level in enumerate(levels) if level == nearest)


def weights_on(excitement: Excitement, layout: Layout, layers: Sequence[int]) -> torch.Tensor:
    """w_n, float32 (head of these layers, in order), adding up to 1: alike, or by relevance for the concept.

    Raises ValueError when none of them has any weight.
    """
    relevance = torch.ones(layout.heads)
    if excitement.vectors is not None:
        relevance = excitement.vectors.of(excitement.concept)
    weights = torch.cat([relevance[layout.span(number)] for number in layers])
    total = weights.sum()
    if not total > 0:
        raise ValueError(
            f"{excitement.name}: none of the {len(weights)} heads that it looks at has any relevance for this concept. Choose "
            "another concept, or leave vectors unconnected."
        )
    return weights / total


def weighted_map(q: torch.Tensor, k: torch.Tensor, weights: torch.Tensor, length: int) -> torch.Tensor:
    """Σ_n w_n · P_n of one layer: float32 or wider (choice, row, pixel, column).

    q: (row, pixel, heads · d); k: (row, token, heads · d); weights: float32 (choice, head). Repeats of the prompt's `length`
    columns, by which the host pads, are added up.
    """
    heads = weights.shape[1]
    wide = torch.promote_types(q.dtype, torch.float32)
    queries, keys = (t.to(wide).unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k))
    logits = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
    probabilities = torch.softmax(logits, dim=-1)  # (row, head, pixel, token)
    mean = torch.einsum("rhpt,ch->crpt", probabilities, weights.to(wide))
    return mean.unflatten(-1, (-1, length)).sum(-2)


def competing_maps(
    mean: torch.Tensor, prompt: Prompt, words: Sequence[Sequence[int]], grid: tuple[int, int], smoothing: bool
) -> torch.Tensor:
    """A_w[x], the word's share of each pixel when the tokens compete: (row, word, height, width), from 0 to 1.

    mean: (row, pixel, column), the weighted mean of the head maps. The start tokens take no part in the competition.
    """
    competing = [token.column for token in prompt.tokens if token.kind != START]
    place = {column: number for number, column in enumerate(competing)}
    shares = torch.softmax(SHARPNESS * mean[..., competing], dim=-1)
    maps = torch.stack([shares[..., [place[c] for c in word]].sum(-1) for word in words], dim=1)
    maps = maps.unflatten(-1, grid)
    return smoothed(maps) if smoothing else maps


def smoothed(maps: torch.Tensor) -> torch.Tensor:
    """(row, word, height, width) with a Gaussian of 3 × 3 pixels and sigma 0.5; what lies outside is mirrored."""
    offsets = torch.arange(KERNEL, dtype=maps.dtype, device=maps.device) - KERNEL // 2
    line = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    line = line / line.sum()
    kernel = (line[:, None] * line[None, :]).expand(maps.shape[1], 1, KERNEL, KERNEL)
    border = "reflect" if min(maps.shape[-2:]) > 1 else "replicate"
    padded = F.pad(maps, (KERNEL // 2,) * 4, mode=border)
    return F.conv2d(padded, kernel, groups=maps.shape[1])


def neglect(maps: torch.Tensor) -> torch.Tensor:
    """max over words of max(0, 1 − max_x A_w[x]), the loss of each row: (row,). maps: (row, word, height, width)."""
    best = maps.flatten(-2).amax(-1)
    return (1 - best).clamp(min=0).amax(-1)
