"""How much a word looks like each concept, told from the heads that paint it.

Formula: docs/formulas.md, "Which concept". It was chosen by measurement; docs/results.md compares it with others, which are in
benchmarks/truth_candidates.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .vectors import HeadRelevance

TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class WordEvidence:
    """What tells the sense of one word in one image.

    word: how strongly each head paints the word, `head_spreads` of it, (head,). usual: the sum of the same over all words
    of the prompt, (head,). leaning: `leanings` of the asked concepts, (concept, head).
    """

    word: torch.Tensor
    usual: torch.Tensor
    leaning: torch.Tensor


def leanings(vectors: HeadRelevance, concepts: Sequence[str]) -> torch.Tensor:
    """ln(q_{n,c} + 1 / 2C) with q_{n,c} = h_c[n] / Σ_c h_c[n], c over all C concepts of the vectors: float32 (concept, head),
    one row for each of the asked concepts."""
    shares = vectors.relevance / vectors.relevance.sum(0).clamp(min=TINY)
    rows = [vectors.index(name) for name in concepts]
    return (shares[rows] + 0.5 / len(vectors.concepts)).log()


def painted(evidence: WordEvidence) -> torch.Tensor:
    """score_c = exp Σ_n (p_n − u_n) · ln(q_{n,c} + 1 / 2C): float32 (concept,), above 1 where the heads that paint this word
    lean to the concept more than those that paint the prompt's words in general.

    p and u are `word` and `usual`, each divided by its sum. All 1 for a word that no head paints.
    """
    if not evidence.word.any():
        return torch.ones(len(evidence.leaning))
    p, u = (strength / strength.sum() for strength in (evidence.word, evidence.usual))
    return (evidence.leaning @ (p - u)).exp()
