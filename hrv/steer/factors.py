"""Steering: multiplying how much chosen heads attend to chosen words (docs/formulas.md, "Steering").

Park et al. 2024 (arXiv 2412.02237), "Concept strengthening", "concept adjusting" and "ordered weakening".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..heads.layout import Layout
from ..heads.selection import HeadSelection
from ..prompt import Prompt, WordNotFound, concatenate, split_names
from ..relevance.vectors import HeadRelevance
from ..wording import said

MANY_HEADS = 1000
AUTOMATIC_BOUND = 9.0


@dataclass(frozen=True, eq=False)
class Steering:
    """What one steering node does to the prompt.

    name: the node's title, for messages. factors: float32 (head,), r_n; 1 leaves a head as it is. words: words and
    phrases of the prompt; none means every word. Percentages are parts of the schedule (0 noise … 1 image).
    made_from: the vectors or heads that the factors follow from; they know which model they fit. recorded: whether
    Record Attention keeps the attention after the multiplication.
    """

    name: str
    factors: torch.Tensor
    made_from: HeadRelevance | HeadSelection
    words: tuple[str, ...] = ()
    start_percent: float = 0.0
    end_percent: float = 1.0
    recorded: bool = False

    @property
    def acts(self) -> bool:
        """Whether any head is changed at all."""
        return bool((self.factors != 1).any())

    def check(self, layout: Layout) -> None:
        """Raises ValueError, with both numbers of heads, unless it was made for a network of this layout."""
        self.made_from.check(layout)


@dataclass(frozen=True)
class Where:
    """The inputs that all steering nodes share, by their names. words: as typed, separated by commas or lines."""

    words: str = ""
    start_percent: float = 0.0
    end_percent: float = 1.0
    record_steered: bool = False

    def steering(self, name: str, factors: torch.Tensor, made_from) -> Steering:
        """Raises ValueError for an empty part of the schedule."""
        if self.start_percent >= self.end_percent:
            raise ValueError(
                f"{name} would do nothing: start_percent ({self.start_percent:g}) must be smaller than end_percent "
                f"({self.end_percent:g})."
            )
        words = tuple(split_names(self.words))
        return Steering(
            name,
            factors,
            made_from,
            words=words,
            start_percent=self.start_percent,
            end_percent=self.end_percent,
            recorded=self.record_steered,
        )


def strengthen(vectors: HeadRelevance, concept: str, strength: float, clamp: float, where: Where) -> Steering:
    """r_n = 1 + strength · (min(h_c[n], b) − 1): heads above average look more at the words, others less."""
    relevance = vectors.of(concept).clamp(max=bound(vectors.heads, clamp))
    return where.steering("Strengthen Concept", 1 + strength * (relevance - 1), vectors)


def adjust(
    vectors: HeadRelevance, wanted: str, unwanted: str, *, strength: float, clamp: float, where: Where
) -> Steering:
    """r_n = 1 + strength · (2 · min(h_wanted[n], b) − min(h_unwanted[n], b) − 1)."""
    limit = bound(vectors.heads, clamp)
    want, avoid = (vectors.of(concept).clamp(max=limit) for concept in (wanted, unwanted))
    return where.steering("Adjust Concept", 1 + strength * (2 * want - avoid - 1), vectors)


def scale(heads: HeadSelection, factor: float, where: Where) -> Steering:
    """r_n = factor for every chosen head, 1 for the others. A head's weight does not matter, only whether it has one."""
    factors = torch.where(heads.weights > 0, float(factor), 1.0)
    return where.steering("Scale Heads", factors, heads)


def bound(heads: int, clamp: float) -> float:
    """The bound b on relevance. clamp 0 is automatic: 9 for networks of more than 1000 heads, where single heads
    reach 66, and none below."""
    if clamp > 0:
        return clamp
    return AUTOMATIC_BOUND if heads > MANY_HEADS else math.inf


@dataclass(frozen=True, eq=False)
class TokenFactors:
    """Factors of one prompt's tokens: float32 (column, head) for these columns of the conditioning; 1 elsewhere."""

    columns: tuple[int, ...]
    factors: torch.Tensor

    def of(self, columns: Sequence[int], heads: slice) -> torch.Tensor:
        """float32 (column, head) of some columns and heads."""
        table = torch.ones(len(columns), self.factors.shape[1])
        for row, column in enumerate(columns):
            if column in self.columns:
                table[row] = self.factors[self.columns.index(column)]
        return table[:, heads]


def token_factors(steerings: Sequence[Steering], prompt: Prompt, heads: int) -> TokenFactors:
    """The product of all factors for each token and head. Words that the prompt does not have are left out."""
    table = torch.ones(prompt.length, heads)
    touched: set[int] = set()
    for steering in steerings:
        columns = sorted({column for word in _found(steering, prompt) for column in word})
        table[columns] *= steering.factors
        touched.update(columns)
    columns = tuple(sorted(touched))
    return TokenFactors(columns, table[list(columns)])


def missing_words(steering: Steering, prompts: Sequence[Prompt]) -> list[str]:
    """For each word that is in none of the prompts, a sentence that names the words that are."""
    complaints = []
    for word in steering.words:
        if any(_columns(prompt, word) is not None for prompt in prompts):
            continue
        texts = [text for prompt in prompts for text in prompt.each_text]
        try:  # all texts in one, for a message that knows all words
            concatenate([text.tokens for text in texts]).find(word)
            complaints.append(
                said(
                    "“{word}” is not complete in any one of the {count} prompts.",
                    word=word,
                    count=len(prompts),
                )
            )
        except WordNotFound as error:
            complaints.append(str(error))
    return complaints


def scale_values(values: torch.Tensor, rows: slice, columns: torch.Tensor, factors: torch.Tensor) -> None:
    """Multiplies, in place, the values of some tokens: what head n reads from token j is multiplied by its factor.

    values: (row, token, heads · d), as they enter the attention; rows: the batch rows meant. columns: int64 (column,);
    factors: float32 (column, head), both on the device of `values`. The product is taken in float32.

    A head gives Σ_j P[x, j] · V[j]. Multiplying V[j] by r is multiplying P[x, j] by r after the softmax, to the
    last term of the sum; so the fused attention is left to do what it always does, and nothing else is computed.
    """
    heads = factors.shape[1]
    part = values[rows].index_select(1, columns)
    scaled = part.float().unflatten(-1, (heads, -1)) * factors[:, :, None]
    values[rows].index_copy_(1, columns, scaled.flatten(-2).to(values.dtype))


def added_values(values: torch.Tensor, columns: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """(r − 1) · V for some tokens and 0 for all others: what attention reads from such values is what `scale_values` would have changed.

    values: (row, head, token, d), heads that share values as one; columns, factors: as there. Returns (row, head, token, d), of as many
    heads as the factors, in the type of `values`; the product is taken in float32.
    """
    shared = factors.shape[1] // values.shape[1]
    part = values.index_select(2, columns).repeat_interleave(shared, 1).float()
    more = values.new_zeros((values.shape[0], factors.shape[1], *values.shape[2:]))
    return more.index_copy_(2, columns, (part * (factors.T[:, :, None] - 1)).to(values.dtype))


def _found(steering: Steering, prompt: Prompt) -> list[tuple[int, ...]]:
    """The columns of each word, of those that are there."""
    if not steering.words:
        return [word.columns for word in prompt.words()]
    columns = (_columns(prompt, word) for word in steering.words)
    return [found for found in columns if found is not None]


def _columns(prompt: Prompt, word: str) -> tuple[int, ...] | None:
    try:
        return prompt.find(word).columns
    except WordNotFound:
        return None
