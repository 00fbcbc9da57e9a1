"""Ways to tell from attention which concept a word was drawn as: the one that the pack uses, and what was tried beside it.

Every score takes Evidence and gives float32 (concept,), not negative, larger for the likelier concept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hrv_pack.hrv.look.compare import evidence_of as painting_of
from hrv_pack.hrv.maps.head_maps import head_maps
from hrv_pack.hrv.maps.word_maps import Target
from hrv_pack.hrv.relevance import concept_scores
from hrv_pack.hrv.relevance.concept_scores import WordEvidence
from hrv_pack.hrv.relevance.head_scores import LOWEST, compactness

TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Evidence:
    """word: maps of the word, (head, h, w); usual: the mean of the maps of all words of the prompt, (head, h, w).

    chosen: weights of the heads that stand for each concept, (concept, head), each row summing to 1. painting: what the
    pack's own score reads.
    """

    word: torch.Tensor
    usual: torch.Tensor
    chosen: torch.Tensor
    painting: WordEvidence

    @property
    def everyone(self) -> torch.Tensor:
        """Weights of all heads alike, (1, head)."""
        return torch.full((1, len(self.word)), 1 / len(self.word))


def evidence_of(
    match, target: Target, words: list[Target], vectors, concepts: list[str], percent: float
) -> Evidence:
    """words: all words of the prompt, the asked one among them."""
    places: dict[int, tuple] = {}
    for one in words:
        for entry, columns in one.places:
            places.setdefault(id(entry), (entry, {}))[1].update(dict.fromkeys(columns))
    every = Target(tuple((entry, tuple(columns)) for entry, columns in places.values()))
    chosen = torch.stack([vectors.select(name, percent).weights for name in concepts])
    return Evidence(
        head_maps(match, target).maps,
        head_maps(match, every).maps,
        chosen / chosen.sum(1, keepdim=True),
        painting_of(match, target, words, vectors, concepts),
    )


def level(evidence: Evidence) -> torch.Tensor:
    """Mean of the word's map in the concept's heads, over the mean in all heads."""
    activity = evidence.word.mean((1, 2))
    return evidence.chosen @ activity / (evidence.everyone @ activity).clamp(min=TINY)


def level_among_words(evidence: Evidence) -> torch.Tensor:
    """The same over the mean of all words of the prompt: heads that look hard at every word gain nothing."""
    activity, usual = evidence.word.mean((1, 2)), evidence.usual.mean((1, 2))
    ratio = (evidence.chosen @ activity) / (evidence.chosen @ usual).clamp(min=TINY)
    return ratio / ((evidence.everyone @ activity) / (evidence.everyone @ usual).clamp(min=TINY)).clamp(
        min=TINY
    )


def preference(evidence: Evidence) -> torch.Tensor:
    """Mean over the concept's heads of r_n = activity of the word / usual activity, over its mean in all heads."""
    activity, usual = evidence.word.mean((1, 2)), evidence.usual.mean((1, 2))
    ratio = torch.where(usual > 0, activity / usual.clamp(min=TINY), 0.0)
    return evidence.chosen @ ratio / (evidence.everyone @ ratio).clamp(min=TINY)


def peak(evidence: Evidence) -> torch.Tensor:
    """Largest value above the lowest of the concept's map, over that of the map of all heads."""
    return _range(evidence.chosen, evidence.word) / _range(evidence.everyone, evidence.word).clamp(min=TINY)


def peak_among_words(evidence: Evidence) -> torch.Tensor:
    """The same, over the concept's map of all words of the prompt together."""
    own = _range(evidence.chosen, evidence.word) / _range(evidence.chosen, evidence.usual).clamp(min=TINY)
    every = _range(evidence.everyone, evidence.word) / _range(evidence.everyone, evidence.usual).clamp(
        min=TINY
    )
    return own / every.clamp(min=TINY)


def focus(evidence: Evidence) -> torch.Tensor:
    """Spatial variance of the map of all heads over that of the concept's map: above 1 where it is more compact."""
    variance = -compactness(_mean(evidence.chosen, evidence.word))
    every = -compactness(_mean(evidence.everyone, evidence.word))
    ratio = every / variance.clamp(min=1e-6)
    return torch.where((variance < -LOWEST) & (every < -LOWEST), ratio, torch.zeros_like(ratio))


def painted(evidence: Evidence) -> torch.Tensor:
    """The score of hrv/relevance/concept_scores.py."""
    return concept_scores.painted(evidence.painting)


def painted_alone(evidence: Evidence) -> torch.Tensor:
    """The same without comparing with the other words of the prompt."""
    word = evidence.painting.word
    return (evidence.painting.leaning @ (word / word.sum().clamp(min=TINY))).exp()


SCORES = {
    score.__name__: score
    for score in (painted, painted_alone, level, level_among_words, preference, peak, peak_among_words, focus)
}


def _mean(weights: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Weighted means of maps: (concept, head) × (head, h, w) → (concept, h, w)."""
    return (weights @ maps.flatten(1)).unflatten(1, maps.shape[1:])


def _range(weights: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    mean = weights @ maps.flatten(1)
    return mean.amax(1) - mean.amin(1)
