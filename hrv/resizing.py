"""Maps on a coarser or finer grid by area."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def resize_maps(maps: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Maps (…, height, width) on another grid: each new pixel is the average over the area it covers.

    The mean over the grid, and so the meaning of a value as a probability, stays."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    rows = _shares(maps.shape[-2], size[0], maps)
    columns = _shares(maps.shape[-1], size[1], maps)
    return rows @ maps @ columns.T


def _shares(before: int, after: int, like: torch.Tensor) -> torch.Tensor:
    """(after, before): how much of each new pixel each old one covers; rows sum to one."""
    edges = torch.arange(after + 1, device=like.device, dtype=like.dtype) * (before / after)
    pixels = torch.arange(before, device=like.device, dtype=like.dtype)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return overlap.clamp(min=0) * (after / before)
