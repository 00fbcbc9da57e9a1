"""Running sums of attention maps while a sampler runs, kept within a memory budget."""

from __future__ import annotations

import torch

from .recording import Entry, Run

BYTES_AT_REST = 2
SMALLEST_SIDE = 8


class Accumulator:
    """Sums P over evaluations into `Entry.maps`, in float32 on the device where P was computed.

        sums = Accumulator(run, bins=1, memory_limit=512 * 2**20)
        sums.add(entry, block=0, time_bin=0, probabilities=p)   # (batch, head, column, height, width)
        sums.finish()                                           # half precision, on the CPU

    When the maps at rest would take more than `memory_limit` bytes, the largest are averaged over 2 × 2
    pixels until they fit, and the run carries a warning that says so.
    """

    def __init__(self, run: Run, bins: int, memory_limit: int):
        self.run = run
        self.bins = bins
        self.memory_limit = memory_limit
        self._pooled: set[int] = set()
        self._dropped: set[tuple[int, int]] = set()

    def add(self, entry: Entry, block: int, time_bin: int, probabilities: torch.Tensor) -> None:
        """Adds one evaluation of one layer: float32 (batch, head, column, height, width)."""
        if (id(entry), block) in self._dropped:
            return
        if block not in entry.maps:
            batch, heads, columns, height, width = probabilities.shape
            entry.maps[block] = probabilities.new_zeros((batch, self.bins, heads, columns, height, width))
            self._make_room()
        # the layer's grid may differ from the kept one: the kept one was pooled, or the layer's size changes
        # during the run (Deep Shrink)
        sums = entry.maps[block]
        sums[:, time_bin] += resize_maps(probabilities, sums.shape[-2:]).to(sums.device)

    def drop(self, entry: Entry, block: int) -> None:
        """Leaves a layer out of this run, what was summed so far included."""
        self._dropped.add((id(entry), block))
        entry.maps.pop(block, None)

    def finish(self) -> None:
        """Moves all maps to the CPU in half precision, one at a time."""
        for entry in self.run.entries:
            for block in list(entry.maps):
                entry.maps[block] = entry.maps[block].to(device="cpu", dtype=torch.float16)

    def _bytes_at_rest(self) -> int:
        return sum(m.numel() for e in self.run.entries for m in e.maps.values()) * BYTES_AT_REST

    def _make_room(self) -> None:
        """Pools the largest maps until all fit, or nothing is left to pool."""
        while self._bytes_at_rest() > self.memory_limit:
            kept = [
                (e, b, m)
                for e in self.run.entries
                for b, m in e.maps.items()
                if min(m.shape[-2:]) > SMALLEST_SIDE
            ]
            if not kept:
                return
            side = max(m.shape[-2] * m.shape[-1] for _, _, m in kept)
            for entry, block, sums in kept:
                height, width = sums.shape[-2:]
                if height * width == side:
                    half = (-(-height // 2), -(-width // 2))
                    entry.maps[block] = resize_maps(sums, half)
                    self._pooled.add(block)

    @property
    def pooled_blocks(self) -> int:
        """Number of layers whose maps were made smaller to stay within the budget."""
        return len(self._pooled)


def resize_maps(maps: torch.Tensor, size: tuple[int, int] | torch.Size) -> torch.Tensor:
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


def place_crop(maps: torch.Tensor, crop: tuple[int, int, int, int], latent: tuple[int, int]) -> torch.Tensor:
    """Puts maps of an area conditioning back where the area lies; zero outside it.

    maps: (…, h, w), computed on a crop of the latent. crop: (height, width, y, x) of the area and
    latent: (height, width) of the whole, both in latent pixels. Each halving in a UNet rounds up, so the
    whole grid of the layer is found by the same halvings.
    """
    height, width, y, x = crop
    if (height, width) == tuple(latent):
        return maps
    full_h, full_w, halvings = *latent, 0
    crop_h, crop_w = height, width
    while (crop_h, crop_w) != tuple(maps.shape[-2:]):
        if crop_h < maps.shape[-2] or crop_w < maps.shape[-1] or halvings > 8:
            grid = "×".join(map(str, maps.shape[-2:]))
            raise ValueError(f"a map of {grid} pixels does not fit an area of {height}×{width} latent pixels")
        crop_h, crop_w = -(-crop_h // 2), -(-crop_w // 2)
        full_h, full_w = -(-full_h // 2), -(-full_w // 2)
        halvings += 1
    top = min(round(y / 2**halvings), full_h - crop_h)
    left = min(round(x / 2**halvings), full_w - crop_w)
    out = maps.new_zeros((*maps.shape[:-2], full_h, full_w))
    out[..., top : top + crop_h, left : left + crop_w] = maps
    return out
