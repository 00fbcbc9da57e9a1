"""Older runs kept with smaller maps, so that more of them fit into memory."""

from __future__ import annotations

import dataclasses

import torch

from ..resizing import resize_maps
from .latents import Size

SMALLEST_SIDE = 16
AT_ONCE = 2**20  # values made smaller at a time: 4 MB


def finest(entries) -> int:
    """Pixels of the largest maps that could be made smaller; 0 where none could."""
    grids = {tuple(maps.shape[-2:]) for entry in entries for maps in entry.maps.values()}
    return max((height * width for height, width in grids if min(height, width) > SMALLEST_SIDE), default=0)


def pooled(entries) -> list:
    """The same conditionings with their largest maps averaged over 2 × 2 pixels, or as far as leaves 16 pixels to the shorter
    side. New entries: who still reads the old ones goes on doing so."""
    most = finest(entries)
    made = []
    for entry in entries:
        maps = {
            block: _smaller(one) if one.shape[-2] * one.shape[-1] == most else one
            for block, one in entry.maps.items()
        }
        made.append(dataclasses.replace(entry, maps=maps))
    return made


def _half(height: int, width: int) -> Size:
    """Half of each side, rounded up; or less far, so that the shorter side has SMALLEST_SIDE pixels, the shape being kept."""
    part = max(0.5, SMALLEST_SIDE / min(height, width))
    if part == 0.5:
        return -(-height // 2), -(-width // 2)
    return round(height * part), round(width * part)


def _smaller(maps: torch.Tensor) -> torch.Tensor:
    """Half precision in and out, summed in float32: (batch, bin, head, column, height, width)."""
    grid = (maps.shape[-2], maps.shape[-1])
    size = _half(*grid)
    flat = maps.reshape(-1, 1, *grid)
    out = torch.empty(len(flat), 1, *size, dtype=maps.dtype)
    at_once = max(1, AT_ONCE // (grid[0] * grid[1]))
    for first in range(0, len(flat), at_once):
        part = flat[first : first + at_once].float()
        even = grid[0] == 2 * size[0] and grid[1] == 2 * size[1]
        out[first : first + at_once] = _of_four(part) if even else resize_maps(part, size)
    return out.view(*maps.shape[:-2], *size)


def _of_four(maps: torch.Tensor) -> torch.Tensor:
    """Means over 2 × 2 pixels, in a third of the time that avg_pool2d takes on a CPU."""
    upper, lower = maps[..., ::2, :], maps[..., 1::2, :]
    return (upper[..., ::2] + upper[..., 1::2] + lower[..., ::2] + lower[..., 1::2]) / 4
