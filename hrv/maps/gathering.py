"""Whether a word's attention gathers anywhere (docs/formulas.md, "Prompt report" and "Lens score")."""

from __future__ import annotations

import numpy as np
import torch

TOP = 0.1  # share of the image that counts as the place where a word is looked at most
HIGHEST_GATHERING = 1 - TOP
FLAT = 1e-12  # below this, differences are rounding


def strength_and_mean(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What each word gets in its own place, and everywhere: maps (word, height, width) → float64 (word,) twice.

    strength: the mean over the tenth of the image that gets most; mean: over the whole image.
    """
    flat = maps.flatten(1)
    most = max(1, round(TOP * flat.shape[1]))
    # three times as quick as torch.topk, which puts them into order as well
    top = torch.from_numpy(np.partition(flat.numpy(), -most, axis=1)[:, -most:])
    return top.mean(1).double(), flat.mean(1).double()


def gathering(strength: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """1 − mean / strength: 0 where the attention is the same everywhere, 0.9 where all of it lies within a tenth."""
    return torch.where(strength > FLAT, 1 - mean / strength.clamp(min=FLAT), 0.0).clamp(min=0)


def lens_score(maps: torch.Tensor) -> torch.Tensor:
    """The same from 0 to 100, as the lens shows it: maps (word, height, width) → float64 (word,)."""
    return (100 * gathering(*strength_and_mean(maps)) / HIGHEST_GATHERING).clamp(max=100)
