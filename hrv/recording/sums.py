"""Running sums of attention maps while a sampler runs, kept within a memory budget."""

from __future__ import annotations

import torch

from ..resizing import resize_maps
from .recording import Entry, Run

BYTES_AT_REST = 2
SMALLEST_SIDE = 8


class Accumulator:
    """Sums P over evaluations into `Entry.maps`, in float32 on the device where P is computed.

        sums = Accumulator(run, bins=1, memory_limit=512 * 2**20)
        room = sums.room(entry, block=0, time_bin=0, shape=(1, 10, 20, 64, 64), device=q.device)
        room += p                        # in place, where P has the grid of the sums; or, where `room` is None,
        sums.add(entry, 0, 0, p)         # float32 (batch, head, column, height, width)
        sums.finish()                    # half precision, on the CPU

    When the maps at rest would take more than `memory_limit` bytes, the largest are averaged over 2 × 2
    pixels until they fit, and the run carries a warning that says so.
    """

    def __init__(self, run: Run, bins: int, memory_limit: int):
        self.run = run
        self.bins = bins
        self.memory_limit = memory_limit
        self._pooled: set[int] = set()
        self._dropped: set[tuple[int, int]] = set()

    def room(
        self, entry: Entry, block: int, time_bin: int, shape: tuple[int, ...], device: torch.device
    ) -> torch.Tensor | None:
        """The sums of one layer, to add P of this shape (batch, head, column, height, width) to in place; None where they
        have another grid or are on another device."""
        sums = self._sums(entry, block, shape, device)
        if sums is None or sums.shape[-2:] != shape[-2:] or sums.device != device:
            return None
        return sums[:, time_bin]

    def add(self, entry: Entry, block: int, time_bin: int, probabilities: torch.Tensor) -> None:
        """Adds one evaluation of one layer: float32 (batch, head, column, height, width)."""
        # the layer's grid may differ from the kept one: the kept one was pooled, or the layer's size changes
        # during the run (Deep Shrink)
        sums = self._sums(entry, block, tuple(probabilities.shape), probabilities.device)
        if sums is not None:
            sums[:, time_bin] += resize_maps(probabilities, sums.shape[-2:]).to(sums.device)

    def _sums(
        self, entry: Entry, block: int, shape: tuple[int, ...], device: torch.device
    ) -> torch.Tensor | None:
        """The sums of one layer, made if there are none yet; None for a layer that was left out.

        Columns lie next to each other in memory, as P is computed."""
        if (id(entry), block) in self._dropped:
            return None
        if block not in entry.maps:
            batch, heads, columns, height, width = shape
            sums = torch.zeros((batch, self.bins, heads, height, width, columns), device=device)
            entry.maps[block] = sums.movedim(-1, 3)
            self._make_room()
        return entry.maps[block]

    def drop(self, entry: Entry, block: int) -> None:
        """Leaves a layer out of this run, what was summed so far included."""
        self._dropped.add((id(entry), block))
        entry.maps.pop(block, None)

    def finish(self) -> None:
        """Moves all maps to the CPU in half precision, pixel next to pixel. One at a time, the smallest first, so that
        what is at rest already takes hardly more than what was freed."""
        waiting = [
            (maps.numel(), entry, block) for entry in self.run.entries for block, maps in entry.maps.items()
        ]
        for _, entry, block in sorted(waiting, key=lambda one: one[0]):
            entry.maps[block] = _at_rest(entry.maps[block])

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


def _at_rest(sums: torch.Tensor) -> torch.Tensor:
    return sums.to(dtype=torch.float16, memory_format=torch.contiguous_format).to("cpu")


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
