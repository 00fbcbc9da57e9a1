"""How well each head has found a word's thing, told from the heads' maps of that word alone.

Every score takes maps, float32 (head, height, width) in shares of attention, and gives float32 (head,), larger for
better; a map that is the same everywhere gets the lowest value that there is. None of them needs a mask, another
image or head relevance vectors. docs/formulas.md, "Heads for a word"; docs/results.md has what each is worth.
"""

from __future__ import annotations

import torch

LOWEST = -torch.inf


def compactness(maps: torch.Tensor) -> torch.Tensor:
    """− Σ_x u[x] · |x − x̄|², with u = (M − min M)² / Σ (M − min M)² and x̄ = Σ u[x] · x.

    The spatial variance of where the head looks, in units of the grid's longer side, squared. Squaring lets the
    strong part of a map decide over a faint rest that lies everywhere.
    """
    heads, height, width = maps.shape
    side = max(height, width)
    y, x = torch.meshgrid(torch.arange(height) / side, torch.arange(width) / side, indexing="ij")
    places = torch.stack([torch.ones_like(x), x, y, x * x + y * y]).flatten(1)  # (moment, pixel)
    weights = _from_minimum(maps).square_()
    # (head, moment): in float64, because the variance is a small difference of large numbers
    total, x, y, squares = (weights @ places.T).double().unbind(1)
    safe = total.clamp(min=torch.finfo(torch.float32).tiny)
    variance = squares / safe - (x / safe) ** 2 - (y / safe) ** 2
    return torch.where(total > 0, -variance.float(), LOWEST)


def agreement(maps: torch.Tensor, reference: torch.Tensor | None = None) -> torch.Tensor:
    """Pearson correlation over pixels of each head's map with a reference, (height, width); None: the mean of all."""
    flat = maps.flatten(1)
    reference = flat.mean(0) if reference is None else reference.flatten()
    reference = reference - reference.mean()
    deviation = (flat.square().mean(1) - flat.mean(1).square()).clamp(min=0).sqrt() * len(reference) ** 0.5
    length = deviation * reference.norm()
    flat_map = flat.amax(1) == flat.amin(1)
    correlation = flat @ reference / length.clamp(min=torch.finfo(torch.float32).tiny)
    return torch.where(flat_map | (length <= 0), LOWEST, correlation)


def low_entropy(maps: torch.Tensor) -> torch.Tensor:
    """Σ_x u[x] · ln u[x], with u = (M − min M) / Σ (M − min M): 0 for a single pixel, −ln(pixels) for all alike."""
    weights = _from_minimum(maps)
    total = weights.sum(1, keepdim=True)
    share = weights / total.clamp(min=torch.finfo(torch.float32).tiny)
    entropy = torch.special.xlogy(share, share).sum(1)
    return torch.where(total[:, 0] > 0, entropy, LOWEST)


def peak_over_mean(maps: torch.Tensor) -> torch.Tensor:
    """max M / mean M."""
    flat = maps.flatten(1)
    high, low, mean = flat.amax(1), flat.amin(1), flat.mean(1)
    return torch.where(high > low, high / mean.clamp(min=torch.finfo(torch.float32).tiny), LOWEST)


def _from_minimum(maps: torch.Tensor) -> torch.Tensor:
    """M − min M, (head, pixel)."""
    flat = maps.flatten(1)
    return flat - flat.amin(1, keepdim=True)
