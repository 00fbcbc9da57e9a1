"""What a word did, by cause: how far the model's estimate moves when the word is left out of the text.

    D_s(c)     what the model makes of the latent x_s that the sampler held in evaluation s, given the conditioning c (latent units)
    c ∖ w      the same conditioning, its text encoded without the word w
    e_s(w)   = mean over pixels of Σ_channels (D_s(c) − D_s(c ∖ w))²
    share(w) = Σ_s e_s(w) / Σ_s e_s(whole),    whole: the text left out altogether

docs/formulas.md, "What each word did". Related: Kong et al. 2023 (arXiv 2310.07972), which noises the finished image anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

NOTHING = 1e-12  # of the whole text's effect: below it a difference is rounding


@dataclass(frozen=True, eq=False)
class Effects:
    """names: what was left out, one by one. shares: float64 (name,), of the whole text's effect, 0 … 1 and, where words work
    against each other, beyond. maps: float32 (name, height, width), where the change falls, in shares of the whole text's mean.
    whole: the whole text's effect, in latent units squared."""

    names: tuple[str, ...]
    shares: torch.Tensor
    maps: torch.Tensor
    whole: float


def change(given: torch.Tensor, without: torch.Tensor) -> torch.Tensor:
    """Σ over channels of the squared difference of one image's estimates: (channel, …, height, width) → (height, width), float64;
    the mean over frames where there are any."""
    squared = (given.double() - without.double()).square().sum(0)
    return squared.flatten(0, -3).mean(0) if squared.ndim > 2 else squared


def effects(names: Sequence[str], changes: torch.Tensor, whole: torch.Tensor) -> Effects:
    """changes: (moment, name, height, width); whole: (moment, height, width), both as `change` gives them. Where the whole text
    changes nothing, all is zero."""
    total = float(whole.mean((-2, -1)).sum())
    if total <= 0:
        return Effects(tuple(names), torch.zeros(len(names)).double(), torch.zeros(changes.shape[1:]), 0.0)
    relative = changes.sum(0) / total
    shares = relative.mean((-2, -1))
    return Effects(tuple(names), torch.where(shares > NOTHING, shares, 0.0), relative.float(), total)
