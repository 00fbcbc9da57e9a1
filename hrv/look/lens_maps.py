"""Maps of words as Attention Lens sends them to the browser: bytes, on a grid that fits into one payload."""

from __future__ import annotations

import base64

import torch

from ..maps.gathering import lens_score
from ..recording.sums import resize_maps

PAYLOAD_BYTES = 750_000  # of maps in one payload; base64 makes 1 MB of them
SMALLEST_GRID = 8


def pack(maps: torch.Tensor, grid: tuple[int, int]) -> dict:
    """Maps (word, height, width) for the browser: 8 bits from each map's lowest to its highest value.

    maps: base64 of bytes q (word, grid height, grid width), value = low + q / 255 · (high − low); low, high: shares of
    attention; score: `lens_score`. A grid smaller than the maps' is reached by averaging over area.
    """
    small = resize_maps(maps, grid)
    low, high = small.amin((1, 2), keepdim=True), small.amax((1, 2), keepdim=True)
    span = high - low
    steps = torch.where(span > 0, (small - low) / torch.where(span > 0, span, 1.0), 0.0)
    return {
        "maps": base64.b64encode((steps * 255).round().to(torch.uint8).numpy().tobytes()).decode("ascii"),
        "low": _six_digits(low),
        "high": _six_digits(high),
        "score": _six_digits(lens_score(maps)),
    }


def payload_grid(grid: tuple[int, int], words: int) -> tuple[int, int]:
    """The working grid, made smaller in equal parts where the maps of so many words would not fit one payload."""
    height, width = grid
    while words * height * width > PAYLOAD_BYTES and min(height, width) > SMALLEST_GRID:
        factor = max((PAYLOAD_BYTES / (words * height * width)) ** 0.5, SMALLEST_GRID / min(height, width))
        height, width = max(1, int(height * factor)), max(1, int(width * factor))
    return height, width


def _six_digits(values: torch.Tensor) -> list[float]:
    """Six digits of each: bytes saved, nothing lost that 8-bit maps could show."""
    return [float(f"{value:.6g}") for value in values.flatten().tolist()]
