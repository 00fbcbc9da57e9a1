"""How much a word looks like each concept, told from the attention of the concept's heads.

Every score takes WordEvidence and gives float32 (concept,), not negative, larger for the likelier concept. They are
alternatives; hrv/compare.py uses one of them. docs/formulas.md, "Which concept"; docs/results.md compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .head_scores import LOWEST, compactness

TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class WordEvidence:
    """word: maps of the word, (head, h, w); usual: the mean of the maps of all words of the prompt, (head, h, w).

    chosen: weights of the heads that stand for each concept, (concept, head), each row summing to 1.
    recorded: bool (head,); maps of other heads are 0, and their weights must be 0 too.
    """

    word: torch.Tensor
    usual: torch.Tensor
    chosen: torch.Tensor
    recorded: torch.Tensor

    @property
    def everyone(self) -> torch.Tensor:
        """Weights of all recorded heads alike, (1, head)."""
        return self.recorded.float()[None] / self.recorded.sum()


def level(evidence: WordEvidence) -> torch.Tensor:
    """Mean of the word's map in the concept's heads, over the mean in all heads."""
    activity = evidence.word.mean((1, 2))
    return evidence.chosen @ activity / (evidence.everyone @ activity).clamp(min=TINY)


def level_among_words(evidence: WordEvidence) -> torch.Tensor:
    """The same over the mean of all words of the prompt: heads that look hard at every word gain nothing."""
    activity, usual = evidence.word.mean((1, 2)), evidence.usual.mean((1, 2))
    ratio = (evidence.chosen @ activity) / (evidence.chosen @ usual).clamp(min=TINY)
    return ratio / ((evidence.everyone @ activity) / (evidence.everyone @ usual).clamp(min=TINY)).clamp(
        min=TINY
    )


def preference(evidence: WordEvidence) -> torch.Tensor:
    """Mean over the concept's heads of r_n = activity of the word / usual activity, over its mean in all heads."""
    activity, usual = evidence.word.mean((1, 2)), evidence.usual.mean((1, 2))
    ratio = torch.where(usual > 0, activity / usual.clamp(min=TINY), 0.0)
    return evidence.chosen @ ratio / (evidence.everyone @ ratio).clamp(min=TINY)


def peak(evidence: WordEvidence) -> torch.Tensor:
    """Largest value above the lowest of the concept's map, over that of the map of all heads."""
    return _range(evidence.chosen, evidence.word) / _range(evidence.everyone, evidence.word).clamp(min=TINY)


def peak_among_words(evidence: WordEvidence) -> torch.Tensor:
    """The same, over the concept's map of all words of the prompt together."""
    own = _range(evidence.chosen, evidence.word) / _range(evidence.chosen, evidence.usual).clamp(min=TINY)
    every = _range(evidence.everyone, evidence.word) / _range(evidence.everyone, evidence.usual).clamp(
        min=TINY
    )
    return own / every.clamp(min=TINY)


def focus(evidence: WordEvidence) -> torch.Tensor:
    """Spatial variance of the map of all heads over that of the concept's map: above 1 where it is more compact."""
    variance = -compactness(_mean(evidence.chosen, evidence.word))
    every = -compactness(_mean(evidence.everyone, evidence.word))
    ratio = every / variance.clamp(min=1e-6)
    return torch.where((variance < -LOWEST) & (every < -LOWEST), ratio, torch.zeros_like(ratio))


SCORES = {
    score.__name__: score for score in (level, level_among_words, preference, peak, peak_among_words, focus)
}


def _mean(weights: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Weighted means of maps: (concept, head) × (head, h, w) → (concept, h, w)."""
    return (weights @ maps.flatten(1)).unflatten(1, maps.shape[1:])


def _range(weights: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    mean = weights @ maps.flatten(1)
    return mean.amax(1) - mean.amin(1)
