"""Maps at another size by bicubic interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F


def resize(maps: torch.Tensor, size: Sequence[int], out: torch.Tensor | None = None) -> torch.Tensor:
    """Maps (word, h, w) at `size` (height, width), bicubic without clamping, as `F.interpolate` computes it.
    out: where to write them, if given."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps if out is None else out.copy_(maps)
    rows, columns = bicubic_matrix(maps.shape[-2], size[0]), bicubic_matrix(maps.shape[-1], size[1])
    return torch.bmm(rows.expand(len(maps), *rows.shape), maps @ columns.T, out=out)


def moved(maps: torch.Tensor, cells: tuple[float, float]) -> torch.Tensor:
    """Maps (word, height, width) moved up and left by a part of a cell, (rows, columns), each from 0 to 1; the border is repeated."""
    if not any(cells):
        return maps
    rows, columns = (moving_matrix(side, by) for side, by in zip(maps.shape[-2:], cells, strict=True))
    return rows @ maps @ columns.T


@lru_cache(maxsize=64)
def moving_matrix(side: int, t: float) -> torch.Tensor:
    """The move of one axis by t cells as a matrix (side, side): cubic convolution with a = −½ (Keys 1981), which leaves a slope a slope, where that of
    `F.interpolate` (a = −¾) would move it too far."""
    weights = (
        (-t + 2 * t**2 - t**3) / 2,
        (2 - 5 * t**2 + 3 * t**3) / 2,
        (t + 4 * t**2 - 3 * t**3) / 2,
        (t**3 - t**2) / 2,
    )
    matrix = torch.zeros(side, side)
    for row in range(side):
        for place, weight in enumerate(weights, row - 1):
            matrix[row, min(max(place, 0), side - 1)] += weight
    return matrix


@lru_cache(maxsize=64)
def bicubic_matrix(source: int, target: int) -> torch.Tensor:
    """Bicubic interpolation of one axis as a matrix (target, source), taken from `F.interpolate` itself.

    Interpolation is linear and separable, so enlarge(x) = rows @ x @ columns.T exactly; as matrix products it
    takes a quarter of the time.
    """
    identity = torch.eye(source)[None, None]
    return F.interpolate(identity, (target, source), mode="bicubic", align_corners=False)[0, 0].contiguous()
