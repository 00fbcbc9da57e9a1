"""Peaks that stand alone at the border of a map (docs/formulas.md, "Peaks at the border").

Large models often put a single token's attention into a corner, far above what it gets on the thing itself. Such a peak
would set the scale of a map and the level of its mask.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F

from ..wording import quoted, said
from .gathering import gathering, strength_and_mean

LEFT_OUT, KEPT = "left out", "kept"
BORDER_PEAKS = (LEFT_OUT, KEPT)
BORDER = 0.08  # of a side: the width of the border
HIGHER = 1.5  # times the highest value inside, above the minimum, from which a peak at the border would set the scale
SMALL = 0.03  # of the map: a larger part above all the inside is no lone peak
NOTE = (
    "A peak that stands alone at the edge of the map is left out for {words}: most likely it is not about the image. To see it, set "
    "`border_peaks` to kept."
)
GATHERS = 0.2  # what is left gathers at least so far: without a place inside, the border is the word's place


class Levelling:
    """Levels lone border peaks, or leaves them where `border_peaks` is KEPT; knows of which words."""

    def __init__(self, border_peaks: str):
        if border_peaks not in BORDER_PEAKS:
            raise ValueError(
                f"border_peaks is {border_peaks!r}; it must be one of {', '.join(BORDER_PEAKS)}."
            )
        self.border_peaks = border_peaks
        self._words: dict[str, None] = {}

    def __call__(self, words: Sequence[str], maps: torch.Tensor) -> torch.Tensor:
        """maps: (…, word, height, width)."""
        if self.border_peaks == KEPT:
            return maps
        flat = maps.reshape(-1, *maps.shape[-2:])
        levelled = without_border_peaks(flat)
        if levelled is not flat:
            changed = (levelled != flat).view(-1, len(words), *maps.shape[-2:]).any((0, 2, 3))
            self._words.update((word, None) for word, one in zip(words, changed.tolist(), strict=True) if one)
        return levelled.view(maps.shape)

    def note(self, shown: Iterable[str]) -> list[str]:
        """For the artist, about those of the shown words whose maps were changed."""
        names = [word for word in shown if word in self._words]
        return [said(NOTE, words=quoted(names))] if names else []


def without_border_peaks(maps: torch.Tensor) -> torch.Tensor:
    """Maps (word, height, width), each with its lone border peaks levelled to what surrounds them; the same tensor where there are none."""
    found = _lone(maps)
    if not found.any():
        return maps
    levelled = maps.clone()
    levelled[found] = _from_inside(maps[found])
    return levelled


def border_peaks(map: torch.Tensor) -> torch.Tensor:
    """Where (height, width) lone border peaks of one map are levelled: bool."""
    return without_border_peaks(map[None])[0] < map


def _lone(maps: torch.Tensor) -> torch.Tensor:
    """Which maps have lone border peaks: bool (word,)."""
    inside = _inside(maps)
    if not inside.numel():
        return torch.zeros(len(maps), dtype=torch.bool)
    low = maps.amin((-2, -1))
    highest = inside.amax((-2, -1))
    lone = maps.amax((-2, -1)) - low > HIGHER * (highest - low)
    if lone.any():
        some, top = maps[lone], highest[lone]
        above = (some > top[:, None, None]).flatten(1).float().mean(1)
        gathers = gathering(*strength_and_mean(_from_inside(some)))
        lone[lone.clone()] = (above <= SMALL) & (gathers >= GATHERS)
    return lone


def _inside(maps: torch.Tensor) -> torch.Tensor:
    rows, columns = (math.ceil(BORDER * side) for side in maps.shape[-2:])
    return maps[..., rows:-rows, columns:-columns]


def _from_inside(maps: torch.Tensor) -> torch.Tensor:
    """Each pixel as high as the highest way that leads to it from the inside without going lower: what hangs together with the inside
    stays, and a peak of its own is levelled to the pass before it."""
    reached = maps.amin((-2, -1), keepdim=True).expand_as(maps).clone()
    _inside(reached).copy_(_inside(maps))
    while True:
        further = torch.minimum(F.max_pool2d(reached[:, None], 3, 1, 1)[:, 0], maps)
        if torch.equal(further, reached):
            return reached
        reached = further
