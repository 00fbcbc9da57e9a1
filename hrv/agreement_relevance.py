"""Head relevance from the words of drawn prompts, as alternatives to the published vote. docs/results.md compares them.

The vote asks which concept's words, each standing alone, get most of a head's attention; a head that spreads a word over the
whole picture can win it. *Agreement* asks how well a head finds the place of a concept's words, by the score of
hrv/auto_heads.py, which needs no masks: for clean maps. *Preference* asks how much more a head looks at a concept's words than
at the other words of the same prompt: for telling concepts apart.
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


def preference_relevance(ratios: Mapping[str, Sequence[torch.Tensor]], layout: Layout) -> HeadRelevance:
    """h_c[n] = H · v_{n,c} / Σ_n v_{n,c}, with v_{n,c} = r_{n,c} / Σ_c r_{n,c}: the vote's formula with shares for votes.

    ratios: for each concept one tensor (head,) for each of its words in each picture: the head's mean attention to the word
    over its mean attention to the words of that prompt; r_{n,c} is their mean. Raises ValueError for a concept without any.
    """
    for concept, found in ratios.items():
        if not found:
            raise ValueError(f"No word of {concept} was seen, so nothing is known of its heads.")
    mean = torch.stack([torch.stack(list(found)).double().mean(0) for found in ratios.values()])
    share = mean / mean.sum(0).clamp(min=torch.finfo(torch.float32).tiny)
    total = share.sum(1, keepdim=True)
    relevance = torch.where(total > 0, share * layout.heads / total.clamp(min=1e-12), 1.0)
    metadata = {"construction": '{"relevance": "preference"}', "title": "Head relevance by preference"}
    return HeadRelevance(tuple(ratios), relevance.float(), layout, None, metadata)
