"""How a mask is cut from a map (docs/formulas.md, "Mask")."""

from __future__ import annotations

import torch

from .normalize import low_and_span

MASK_THRESHOLD = 0.4  # where a mask begins unless asked otherwise


def threshold_mask(maps: torch.Tensor, threshold: float, out: torch.Tensor | None = None) -> torch.Tensor:
    """Where (map − min) / (max − min) ≥ threshold: float32 0 or 1, (word, height, width); a flat map gives 0.

    Maps should be at the size of the image already (see `resize`), as in DAAM. out: where to write it, if given.
    """
    low, span = low_and_span(maps)
    # nothing is as large as a threshold, or larger, that has been divided by "not a number"
    return torch.sub(maps, low, out=out).div_(torch.where(span > 0, span, torch.nan)).ge_(threshold)
