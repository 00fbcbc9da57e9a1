"""Maps as heat from 0 to 1."""

from __future__ import annotations

import torch

NORMALIZE = ("shared", "per word")


def normalize_maps(
    maps: torch.Tensor, how: str, peak: float | None = None, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Maps (word, height, width) as heat from 0 to 1 for showing.

    "shared" divides by `peak`, the largest value over all words of the prompt (None: over these maps), so that
    an ignored word stays dark; "per word" takes each map from its own minimum to its own maximum, as DAAM's
    images do, and makes a flat map 0. out: where to write it, if given; `maps` itself may be.
    """
    if how == "shared":
        top = float(maps.max()) if peak is None and maps.numel() else peak
        if top and top > 0:
            return torch.div(maps, top, out=out).clamp_(0, 1)
        return torch.zeros_like(maps) if out is None else out.zero_()
    if how == "per word":
        low, span = low_and_span(maps)
        return torch.sub(maps, low, out=out).div_(torch.where(span > 0, span, 1.0))
    raise ValueError(f"normalize is {how!r}; it must be one of {', '.join(NORMALIZE)}.")


def low_and_span(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """min and max − min of each map, (word, 1, 1)."""
    low = maps.amin((-2, -1), keepdim=True)
    return low, maps.amax((-2, -1), keepdim=True) - low
