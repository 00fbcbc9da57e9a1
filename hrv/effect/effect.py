"""What a word did, by cause: how far the model's estimate moves when the word is left out of the text.

    D_s(c)     what the model makes of the latent x_s that the sampler held in evaluation s, given the conditioning c (latent units)
    c ∖ w      the same conditioning, its text encoded without the word w
    e_s(w)   = mean over pixels of Σ_channels (D_s(c) − D_s(c ∖ w))²
    share(w) = Σ_s √e_s(w) / Σ_s √e_s(whole),    whole: the text left out altogether

and of what two models, or two conditionings, make of the same latents:

    amount   = √( Σ_s e_s / Σ_s v_s ),    v_s = mean over pixels of Σ_channels (D_s − mean over pixels of D_s)²

docs/formulas.md, "What each word did" and "What a model change did". Related: Kong et al. 2023 (arXiv 2310.07972), which noises the finished image anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

IDLE = 0.05
"""Share of the whole prompt's effect below which a word can go: without it, the image hardly moves (docs/results.md)."""
NOTHING = 1e-5  # of the whole text's effect: below it a difference is rounding


@dataclass(frozen=True, eq=False)
class Effects:
    """names: what was left out, one by one. shares: float64 (name,), of the whole text's effect, 0 … 1 and, where words work
    against each other, beyond. maps: float32 (name, height, width), how far each pixel moves, as a share of `whole`.
    whole: the whole text's effect Σ_s √e_s, in latent units."""

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
    total = float(whole.mean((-2, -1)).sqrt().sum())
    if total <= 0:
        return Effects(tuple(names), torch.zeros(len(names)).double(), torch.zeros(changes.shape[1:]), 0.0)
    shares = changes.mean((-2, -1)).sqrt().sum(0) / total
    maps = changes.sqrt().sum(0) / total
    return Effects(tuple(names), torch.where(shares > NOTHING, shares, 0.0), maps.float(), total)


@dataclass(frozen=True, eq=False)
class ModelChange:
    """amount: how far the image moves, as a share of how much it varies by itself: 0 is the same image, 1 as far as to a flat one.
    map: float32 (height, width), how far each pixel moves, as a share of that. by_moment: the amount at each moment."""

    amount: float
    map: torch.Tensor
    by_moment: tuple[float, ...]


def spread(estimate: torch.Tensor) -> float:
    """How much an estimate (channel, …, height, width) varies over its pixels: Σ over channels of the variance."""
    flat = estimate.double().flatten(1)
    return float(flat.var(1, correction=0).sum())


def model_change(changes: torch.Tensor, spreads: Sequence[float]) -> ModelChange:
    """changes: (moment, height, width) as `change` gives them; spreads: of each moment's estimate."""
    totals, own = changes.mean((-2, -1)).tolist(), [max(one, 1e-30) for one in spreads]
    squared = changes.sum(0) / sum(own)
    by_moment = tuple((total / one) ** 0.5 for total, one in zip(totals, own, strict=True))
    share = float(squared.mean())
    if share <= NOTHING**2:
        return ModelChange(0.0, torch.zeros(squared.shape), tuple(0.0 for _ in own))
    return ModelChange(share**0.5, squared.sqrt().float(), by_moment)


def area_of_half(heat: torch.Tensor) -> float:
    """The smallest part of a map (height, width) in which half of its sum lies, 0 … 1."""
    ordered = heat.double().flatten().sort(descending=True).values.cumsum(0)
    total = float(ordered[-1])
    return float((ordered < total / 2).sum() + 1) / len(ordered) if total > 0 else 0.0
