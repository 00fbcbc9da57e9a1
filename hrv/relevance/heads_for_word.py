"""Choosing heads for one word from the recording alone, without head relevance vectors.

Formula: docs/formulas.md, "Heads for a word". How it was chosen, and what it is worth: docs/results.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..heads.selection import HeadSelection
from ..maps.border_peaks import border_peaks
from ..maps.gathering import gathering, strength_and_mean
from ..maps.head_maps import HeadMaps, head_maps
from ..maps.lookup import find_in_run, prompts_of
from ..maps.word_maps import Target, balance, ranges
from ..prompt import Prompt
from ..recording.recording import Match
from ..recording.schedule import LATE, Part
from .head_scores import LOWEST, agreement
from .vectors import heads_of_percent

COMPARED_SIDE = 32  # the longer side of the grid on which heads are compared, at most
SHARPNESS = 6  # the power of a head's agreement in its weight, chosen on tuning scenes (docs/results.md)
GATHERING = 4  # the power of a head's gathering in its weight, chosen on tuning scenes of two networks


@dataclass(frozen=True)
class WordHeads:
    """heads: the choice. score: float32 (head,), g⁴ s⁶ of docs/formulas.md, from 0; −inf for heads that were not recorded or look
    everywhere alike."""

    heads: HeadSelection
    score: torch.Tensor

    @property
    def relevance(self) -> torch.Tensor:
        """The sixth roots of the scores (s · g^⅔), scaled to a mean of 1, as charts draw relevance: float32 (head,)."""
        positive = self.score.clamp(min=0) ** (1 / SHARPNESS)
        return positive * len(positive) / positive.sum().clamp(min=torch.finfo(torch.float32).tiny)


@dataclass(frozen=True)
class Opinions:
    """What the heads of one image make of a word, each float32 (head,): how far its map gathers (0 to 0.9), how well it agrees with
    those that gather (−1 to 1; −inf for heads that were not recorded or look everywhere alike), and the range of its map."""

    gathering: torch.Tensor
    agreement: torch.Tensor
    range: torch.Tensor

    @property
    def score(self) -> torch.Tensor:
        """g⁴ s⁶; −inf for heads without a say."""
        found = self.gathering**GATHERING * self.agreement.clamp(min=0) ** SHARPNESS
        return torch.where(self.agreement > LOWEST, found, LOWEST)

    @property
    def weights(self) -> torch.Tensor:
        """The score by 1 / √range; 0 for heads without a say."""
        return balance(self.range) * self.score.clamp(min=0)


def opinions(found: HeadMaps) -> Opinions:
    """Of the heads whose maps these are. Pixels of a lone border peak do not count."""
    made, reference = _opinions(found.maps, found.recorded)
    peaks = border_peaks(reference)
    return _opinions(found.maps[:, None, ~peaks], found.recorded)[0] if peaks.any() else made


def _opinions(maps: torch.Tensor, recorded: torch.Tensor) -> tuple[Opinions, torch.Tensor]:
    """What the heads make of a word, and the reference, (height, width)."""
    flat = maps.flatten(1)
    span = ranges(flat)
    gathers = gathering(*strength_and_mean(maps)).float()
    reference = ((gathers**GATHERING * balance(span)) @ flat).view(maps.shape[1:])
    agrees = torch.where(recorded, agreement(maps, reference), LOWEST)
    return Opinions(gathers, agrees, span), reference


def choose_heads(
    matches: Sequence[Match],
    word: str,
    percent: float,
    prompt_text: str = "",
    tokenize: Callable[[str], Prompt] | None = None,
) -> WordHeads:
    """The `percent` of heads that found the word's thing best, and their weights.

    matches: one or several images, of the same model; what heads make of the word is a mean over them. prompt_text, read by
    `tokenize`, stands in where the text of a conditioning is not known.
    Raises NoRecording, WordNotFound, and ValueError when no head tells any place from another.
    """
    pictures = {(id(match.run), match.element): match for match in matches}.values()
    found = []
    for match in pictures:
        entries = match.run.of_role("positive")
        prompts = prompts_of(entries, "positive", prompt_text, tokenize)
        found.append(opinions(compared_maps(match, find_in_run(word, match.run, entries, prompts), LATE)))
    layout = matches[0].run.layout
    mean = Opinions(
        torch.stack([one.gathering for one in found]).mean(0),
        torch.stack([one.agreement for one in found]).mean(0),
        torch.stack([one.range for one in found]).mean(0),
    )
    if not mean.score.max() > 0:
        raise ValueError(
            f"“{word}” has no clear location: every head looks for it everywhere alike, so none can be "
            "preferred. Choose heads by concept instead."
        )
    label = f"heads for {' '.join(word.split())}, best {percent:g} %"
    weights = torch.zeros(layout.heads)
    chosen = _best(mean.score, percent, layout.heads)
    weights[chosen] = mean.weights[chosen]
    weights /= weights[chosen].mean()
    return WordHeads(HeadSelection(layout, weights, label, late=True), mean.score)


def compared_maps(match: Match, target: Target, time_bin: Part = None) -> HeadMaps:
    """The maps of all heads on the grid on which they are compared."""
    return head_maps(match, target, compared_grid(match), time_bin)


def compared_grid(match: Match) -> tuple[int, int]:
    """(height, width) of the grid on which heads are compared: the working grid, made smaller if it has too many pixels a side."""
    height, width = match.run.grid
    smaller = min(1.0, COMPARED_SIDE / max(height, width))
    return max(1, round(height * smaller)), max(1, round(width * smaller))


def scores_of_heads(found: HeadMaps) -> torch.Tensor:
    """How well every head agrees with the weighted mean of all: float32 (head,), −1 to 1; −inf for heads that were not recorded or
    look everywhere alike. docs/formulas.md, "Relevance by agreement"."""
    score = torch.full((len(found.maps),), LOWEST)
    maps = found.maps if bool(found.recorded.all()) else found.maps[found.recorded]
    reference = (balance(ranges(maps.flatten(1))) @ maps.flatten(1)).view(maps.shape[1:])
    score[found.recorded] = agreement(maps, reference)
    return score


@dataclass(frozen=True)
class Consent:
    """What the heads that found a word's thing best say together. level: the mean of their scores, −1 to 1; map: their
    weighted mean, float32 (height, width), in shares of attention."""

    level: float
    map: torch.Tensor


def consent(found: HeadMaps, percent: float) -> Consent | None:
    """How well the best `percent` of heads agree on where a word is; None where every head looks everywhere alike."""
    score = scores_of_heads(found)
    best = _best(score, percent, len(score))
    if not len(best):
        return None
    weights = balance(ranges(found.maps[best].flatten(1)))
    together = (weights @ found.maps[best].flatten(1) / weights.sum()).view(found.maps.shape[1:])
    return Consent(float(score[best].mean()), together)


def _best(score: torch.Tensor, percent: float, heads: int) -> torch.Tensor:
    """Numbers of the heads with the largest scores: so many percent of all `heads`, but none with the lowest score."""
    count = min(len(score), heads_of_percent(percent, heads))
    best = torch.sort(score, descending=True, stable=True).indices[:count]
    return best[score[best] > LOWEST]
