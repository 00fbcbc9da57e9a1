"""Head relevance from where heads look, as an alternative to votes.

The published vote asks which concept's words get most of a head's attention, and a head that spreads a word over the whole
picture can win it. This asks how well a head finds the place of a concept's words, by the score of hrv/auto_heads.py, which
needs no masks. docs/results.md compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from .layout import Layout
from .vectors import HeadRelevance


def agreement_relevance(scores: Mapping[str, Sequence[torch.Tensor]], layout: Layout) -> HeadRelevance:
    """h_c[n] = H · g_{n,c} / Σ_n g_{n,c}, with g_{n,c} the mean of max(0, s_n) over the words of concept c.

    scores: for each concept the scores s_n of its words, one tensor (head,) for each word in each picture. A head that
    was not recorded for a word counts as 0 there. Raises ValueError for a concept without any word.
    """
    rows = []
    for concept, found in scores.items():
        if not found:
            raise ValueError(f"No word of {concept} was seen, so nothing is known of its heads.")
        mean = torch.stack(list(found)).clamp(min=0).double().mean(0)
        total = mean.sum()
        rows.append(mean * layout.heads / total if total > 0 else torch.ones_like(mean))
    metadata = {"construction": '{"relevance": "agreement"}', "title": "Head relevance by agreement"}
    return HeadRelevance(tuple(scores), torch.stack(rows).float(), layout, None, metadata)
