"""What a word did, by cause: how far the image would come to lie from itself without the word.

    D_s(x, c)  what the model makes of a latent x in evaluation s, guided as in the run, given the conditioning c (latent units)
    x_s        the latent that the sampler held in evaluation s, at the noise level σ_s
    c ∖ w      the same conditioning, its text encoded without the word w
    Δ_s(w)   = D_s(x_s + δ_s, c ∖ w) − D_s(x_s, c)
    δ_{s+1}  = Δ_s + (δ_s − Δ_s) · σ_{s+1} / σ_s,    δ_0 = 0,    σ after the last evaluation asked = 0
    share(w) = rms of the last δ(w) / rms of the last δ(whole),    whole: the text left out altogether

δ is what Euler's method makes of the difference of two samplings, dx/dσ = (x − D) / σ, with steps from one evaluation asked to the next: with
every step of an Euler sampling it is that difference itself. What two models, or two conditionings, make of the same run:

    amount   = rms of the last δ / √v,    v = mean over pixels of Σ_channels (D − mean over pixels of D)² in the last evaluation asked

docs/formulas.md, "What each word did" and "What a model change did".
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
    whole: the whole text's effect, rms of its δ, in latent units."""

    names: tuple[str, ...]
    shares: torch.Tensor
    maps: torch.Tensor
    whole: float


def carried(
    deviation: torch.Tensor, difference: torch.Tensor, sigma: float, following: float
) -> torch.Tensor:
    """How far two samplings lie apart at the following noise level: Δ + (δ − Δ) · following / sigma. deviation: δ, at this level; difference: Δ,
    of what the model makes of both. A level that rises changes nothing: noise that a sampler adds moves both alike."""
    return difference + (deviation - difference) * (following / sigma if following < sigma else 1.0)


def change(deviation: torch.Tensor) -> torch.Tensor:
    """Σ over channels of the square: (channel, …, height, width) → (height, width), float64; the mean over frames where there are any."""
    squared = deviation.double().square().sum(0)
    return squared.flatten(0, -3).mean(0) if squared.ndim > 2 else squared


def effects(names: Sequence[str], changes: torch.Tensor, whole: torch.Tensor) -> Effects:
    """changes: (name, height, width); whole: (height, width), both as `change` gives them. Where the whole text changes nothing, all
    is zero."""
    total = float(whole.mean()) ** 0.5
    if total <= 0:
        return Effects(tuple(names), torch.zeros(len(names)).double(), torch.zeros(changes.shape), 0.0)
    shares = changes.mean((-2, -1)).sqrt() / total
    maps = changes.sqrt() / total
    return Effects(tuple(names), torch.where(shares > NOTHING, shares, 0.0), maps.float(), total)


@dataclass(frozen=True, eq=False)
class ModelChange:
    """amount: how far the image moves, as a share of how much it varies by itself: 0 is the same image, 1 as far as to a flat one.
    map: float32 (height, width), how far each pixel moves, as a share of that. by_moment: how far the model's estimate moves at each moment."""

    amount: float
    map: torch.Tensor
    by_moment: tuple[float, ...]


def spread(estimate: torch.Tensor) -> float:
    """How much an estimate (channel, …, height, width) varies over its pixels: Σ over channels of the variance."""
    flat = estimate.double().flatten(1)
    return float(flat.var(1, correction=0).sum())


def model_change(moved: torch.Tensor, own: float, by_moment: Sequence[float]) -> ModelChange:
    """moved: (height, width) as `change` gives it; own: the `spread` of the image; by_moment: of each moment √(mean of Δ² / spread)."""
    squared = moved / max(own, 1e-30)
    share = float(squared.mean())
    if share <= NOTHING**2:
        return ModelChange(0.0, torch.zeros(squared.shape), tuple(0.0 for _ in by_moment))
    return ModelChange(share**0.5, squared.sqrt().float(), tuple(by_moment))


def area_of_half(heat: torch.Tensor) -> float:
    """The smallest part of a map (height, width) in which half of its sum lies, 0 … 1."""
    ordered = heat.double().flatten().sort(descending=True).values.cumsum(0)
    total = float(ordered[-1])
    return float((ordered < total / 2).sum() + 1) / len(ordered) if total > 0 else 0.0
