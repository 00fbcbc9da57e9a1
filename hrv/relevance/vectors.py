"""Head relevance vectors: how much each cross-attention head cares about each concept (socket HRV_VECTORS).

Park et al. 2024, "Cross-Attention Head Position Patterns Can Align with Human Visual Concepts in Text-to-Image
Generative Models" (arXiv 2412.02237). Formula: docs/formulas.md, "HRV".
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field

import torch

from ..heads.known_layouts import layout_in_words
from ..heads.layout import MAX_HEADS, Layout
from ..heads.selection import HeadSelection

MAX_CONCEPTS = 1000
MAX_NAME = 100
MAX_VOTES = 2**53  # up to here float64 counts without rounding
SUM_TOLERANCE = 1e-3  # of a row's sum; float32 rows of 1300 heads are off by 2e-6
VOTE_TOLERANCE = 1e-4
PERCENT = 23.0  # of all heads: 30 of 128, the best in Park et al. 2026
ORDERS = ("most relevant", "least relevant")
WEIGHTINGS = ("equal", "relevance", "balanced")
NONE_PUBLISHED = "Nobody has published vectors for models of this kind; Build Head Relevance builds some, with method set to agreement."


@dataclass(frozen=True, eq=False)
class HeadRelevance:
    """Relevance of every head for every concept.

    concepts: names, in row order. relevance: float32 (concept, head), not negative, each row summing to the
    number of heads, so that 1 is average. votes: int64 (concept, head) counts that `relevance` follows from, or
    None where only the relevance is known. metadata: strings under the keys model, source, construction (JSON)
    and title, each of which may be missing.

    Raises ValueError, in one line, when any of this does not hold.
    """

    concepts: tuple[str, ...]
    relevance: torch.Tensor
    layout: Layout
    votes: torch.Tensor | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        check_concepts(self.concepts)
        shape = (len(self.concepts), self.layout.heads)
        _check_relevance(self.relevance, shape, self.concepts)
        if self.votes is not None:
            _check_votes(self.votes, shape)
            difference = (self.relevance - relevance_of(self.votes)).abs()
            if (difference > VOTE_TOLERANCE * (1 + self.relevance)).any():
                raise ValueError("its relevance does not follow from its votes")

    @classmethod
    def from_votes(
        cls, concepts, votes: torch.Tensor, layout: Layout, metadata: dict[str, str]
    ) -> HeadRelevance:
        """Vectors with the relevance that `votes`, int64 (concept, head), give."""
        check_concepts(concepts)
        _check_votes(votes, (len(concepts), layout.heads))
        return cls(tuple(concepts), relevance_of(votes), layout, votes, dict(metadata))

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.layout.heads

    def index(self, concept: str) -> int:
        """Row of a concept, by name, without regard to case and spaces.

        Raises ValueError that names the nearest concept and lists all of them.
        """
        rows = {_folded(name): row for row, name in enumerate(self.concepts)}
        if (row := rows.get(_folded(concept))) is not None:
            return row
        near = difflib.get_close_matches(_folded(concept), rows, n=1)
        hint = f" Did you mean “{self.concepts[rows[near[0]]]}”?" if near else ""
        asked = f"have no concept “{concept.strip()}”." if concept.strip() else "need the name of a concept."
        raise ValueError(f"These vectors {asked}{hint} They have: {', '.join(self.concepts)}.")

    def of(self, concept: str) -> torch.Tensor:
        """Relevance of all heads for one concept: float32 (head,)."""
        return self.relevance[self.index(concept)]

    def ranking(self, concept: str, order: str = ORDERS[0]) -> torch.Tensor:
        """Head numbers, the most (or least) relevant first: int64 (head,).

        Equally relevant heads keep their order, and "least relevant" is exactly the reverse of "most relevant".
        """
        if order not in ORDERS:
            raise ValueError(f"The order of heads is {order!r}; it must be one of {', '.join(ORDERS)}.")
        heads = torch.sort(self.of(concept), descending=True, stable=True).indices
        return heads if order == ORDERS[0] else heads.flip(0)

    def select(
        self, concept: str, percent: float, order: str = ORDERS[0], weighting: str = WEIGHTINGS[0]
    ) -> HeadSelection:
        """The `percent` of heads that come first in the ranking, weighted equally, by their relevance, or balanced."""
        if weighting not in WEIGHTINGS:
            raise ValueError(f"The weighting is {weighting!r}; it must be one of {', '.join(WEIGHTINGS)}.")
        chosen = self.ranking(concept, order)[: heads_of_percent(percent, self.heads)]
        weights = torch.zeros(self.heads)
        weights[chosen] = self.of(concept)[chosen] if weighting == "relevance" else 1.0
        if not weights.any():
            raise ValueError(
                f"None of these {len(chosen)} heads has any relevance for {concept}, so they cannot be weighted by it. "
                "Set weighting to equal."
            )
        name = self.concepts[self.index(concept)]
        balanced = weighting == "balanced"
        label = f"{name}, {order} {percent:g} %" + (", balanced" if balanced else "")
        return HeadSelection(self.layout, weights, label, balanced)

    def check(self, layout: Layout) -> None:
        """Raises ValueError unless the vectors were made for a network of this layout."""
        if self.layout == layout:
            return
        which = "made for this model" if self.heads == layout.heads else f"for {layout.heads} heads"
        remedy = f"Pick vectors {which} in Load Head Relevance." if layout.is_unet else NONE_PUBLISHED
        if self.heads == layout.heads:
            raise ValueError(
                f"These vectors and this model both have {self.heads} heads, but in other parts of the network. {remedy}"
            )
        raise ValueError(
            f"These vectors are for {layout_in_words(self.layout)}; this model has {layout_in_words(layout, unit='')}. {remedy}"
        )


def relevance_of(votes: torch.Tensor) -> torch.Tensor:
    """h_c[n] = H · V̂_{n,c} / Σ_n V̂_{n,c} with V̂_{n,c} = V_{n,c} / Σ_c V_{n,c} (docs/formulas.md, "HRV").

    votes: int64 (concept, head). Returns float32 of the same shape, each row summing to the number of heads. A
    head without any vote counts as 0 for every concept; a concept without any vote gets 1 for every head: nothing
    is known of it yet, so no head stands out.
    """
    votes = votes.to(torch.float64)
    per_head = votes.sum(0)  # (head,)
    share = torch.where(per_head > 0, votes / per_head.clamp(min=1), 0.0)
    per_concept = share.sum(1, keepdim=True)  # (concept, 1)
    heads = votes.shape[1]
    known = per_concept > 0
    relevance = torch.where(known, heads * share / torch.where(known, per_concept, 1.0), 1.0)
    return relevance.to(torch.float32)


def heads_of_percent(percent: float, heads: int) -> int:
    """heads · percent / 100, rounded up so that 23 % of 128 are the 30 of Park et al. 2026; at least 1."""
    if not 0 <= percent <= 100:
        raise ValueError(f"percent is {percent:g}; it must be between 0 and 100.")
    return max(1, math.ceil(round(heads * percent / 100, 6)))


def check_concepts(concepts) -> None:
    """Raises ValueError unless these are 1 to 1000 different, short, printable names."""
    if not 0 < len(concepts) <= MAX_CONCEPTS:
        raise ValueError(f"it has {len(concepts)} concepts; 1 to {MAX_CONCEPTS} can be read")
    seen = set()
    for name in concepts:
        if (
            not isinstance(name, str)
            or not 0 < len(name) <= MAX_NAME
            or not name.isprintable()
            or name != name.strip()
        ):
            raise ValueError(f"a concept must be a name of 1 to {MAX_NAME} letters, found {name!r:.80}")
        if _folded(name) in seen:
            raise ValueError(f"the concept {name!r:.80} is there twice")
        seen.add(_folded(name))


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _check_relevance(relevance: torch.Tensor, shape: tuple[int, int], concepts) -> None:
    if relevance.dtype != torch.float32 or tuple(relevance.shape) != shape:
        raise ValueError(
            f"its relevance is {relevance.dtype} {tuple(relevance.shape)}; expected float32 {shape} (concept, head)"
        )
    if shape[1] > MAX_HEADS:
        raise ValueError(f"it has {shape[1]} heads; at most {MAX_HEADS} can be read")
    if not relevance.isfinite().all():
        raise ValueError("its relevance has values that are not numbers")
    if (relevance < 0).any():
        raise ValueError("its relevance has negative values")
    sums = relevance.sum(1, dtype=torch.float64)
    wrong = ((sums - shape[1]).abs() > SUM_TOLERANCE * shape[1]).nonzero().flatten()
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"the relevance of {concepts[row]!r:.80} adds up to {float(sums[row]):.6g}; expected the number of heads, "
            f"{shape[1]}"
        )


def _check_votes(votes: torch.Tensor, shape: tuple[int, int]) -> None:
    if votes.dtype != torch.int64 or tuple(votes.shape) != shape:
        raise ValueError(
            f"its votes are {votes.dtype} {tuple(votes.shape)}; expected int64 {shape} (concept, head)"
        )
    if (votes < 0).any():
        raise ValueError("it has negative votes")
    if float(votes.sum(dtype=torch.float64)) > MAX_VOTES:
        raise ValueError(f"it has more than {MAX_VOTES} votes")
