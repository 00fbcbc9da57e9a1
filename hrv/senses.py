"""In which sense a word was taken: which concepts' heads look at it more than at the other words.

Formula: docs/formulas.md, "Prompt report". Needs head relevance vectors of the model (hrv/vectors.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .evidence import Evidence
from .findings import Finding
from .maps import Target
from .recording import Match
from .vectors import HeadRelevance

DOUBT = 0.85  # a second concept is a rival from this part of the first's share on
SHOWN = 5


@dataclass(frozen=True)
class Sense:
    """shares: the concepts that stand out for a word, largest first, of the sum over all concepts that do."""

    word: str
    shares: dict[str, float]


def senses_of(match: Match, evidence: Evidence, vectors: HeadRelevance) -> list[Sense]:
    """The concepts of every content word of a picture, in the order of the prompt.

    Raises ValueError for vectors of another model. A prompt of one word has nothing to compare with: no senses.
    """
    vectors.check(match.run.layout)
    activity = {name: _activity(match, target) for name, target in evidence.targets.items()}
    if len(activity) < 2:
        return []
    usual = torch.stack(list(activity.values())).mean(0)
    return [
        Sense(word.name, concept_shares(activity[word.name], usual, vectors))
        for word in evidence.words.values()
        if not word.filler
    ]


def concept_shares(activity: torch.Tensor, usual: torch.Tensor, vectors: HeadRelevance) -> dict[str, float]:
    """How much the heads of each concept look at a word more than heads do in general.

    activity, usual: mean attention of each head to the word, and to the prompt's words on average, (head,).
    r_n = activity_n / usual_n; score_c = Σ_n h_c[n] · r_n / Σ_n r_n, which is 1 where a concept's heads do as all do;
    share_c = max(0, score_c − 1) / Σ_c max(0, score_c − 1). Returns the largest SHOWN shares above zero.
    """
    ratio = torch.where(usual > 0, activity / usual.clamp(min=torch.finfo(torch.float32).tiny), 0.0)
    if not ratio.sum() > 0:
        return {}
    excess = (vectors.relevance @ ratio / ratio.sum() - 1).clamp(min=0)
    if not excess.sum() > 0:
        return {}
    shares = (excess / excess.sum()).tolist()
    order = sorted(range(len(shares)), key=lambda c: -shares[c])[:SHOWN]
    return {vectors.concepts[c]: shares[c] for c in order if shares[c] > 0}


def doubtful_senses(senses: Sequence[Sense]) -> list[Finding]:
    """Words whose two strongest concepts come near each other."""
    found = []
    for sense in senses:
        if len(sense.shares) < 2:
            continue
        (first, most), (second, next_most) = list(sense.shares.items())[:2]
        if next_most < DOUBT * most:
            continue
        text = (
            f"“{sense.word}” was taken for {first} ({most:.0%}) and for {second} ({next_most:.0%}) at once."
        )
        tip = (
            f"If only one is meant, run Adjust Concept on “{sense.word}”: wanted {first}, unwanted {second}, or the other "
            "way round; or add a word that tells which. Compare Concepts shows both."
        )
        numbers = {"first": most, "second": next_most}
        found.append(Finding("doubtful sense", (sense.word,), text, tip, numbers))
    return found


def _activity(match: Match, target: Target) -> torch.Tensor:
    """Mean attention over pixels, evaluations and the word's tokens of every head: (head,), 0 where not recorded."""
    layout = match.run.layout
    total = torch.zeros(layout.heads)
    tokens = sum(len(columns) for _, columns in target.places)
    for entry, columns in target.places:
        positions = [entry.columns.index(column) for column in columns]
        for block, maps in entry.maps.items():
            # (bin, head, column, h, w) → (head,)
            part = maps[match.element][:, :, positions].float()
            total[layout.span(block)] += part.mean((-2, -1)).sum((0, 2)) / (tokens * max(1, entry.count()))
    return total
