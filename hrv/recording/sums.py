"""Running sums of attention maps while a sampler runs, kept within a memory budget."""

from __future__ import annotations

import contextlib
import math
import threading
from typing import cast

import torch

from ..resizing import resize_maps
from .coming_to_rest import Arrival, bring
from .kernel import Form, Launches, Piece
from .recording import Entry, Run

AT_REST = torch.float16
BYTES_AT_REST = 2
SMALLEST_SIDE = 8


class Accumulator:
    """Sums P over evaluations, in float32 on the device where P is computed, and hands the sums to `Entry.maps` when all is done.

        sums = Accumulator(run, bins=1, memory_limit=512 * 2**20)
        room = sums.room(entry, block=0, time_bin=0, shape=(1, 10, 20, 64, 64), device=q.device)
        room += p                        # in place, where P has the grid of the sums; or, where `room` is None,
        sums.add(entry, 0, 0, p)         # float32 (batch, head, column, height, width)
        sums.finish()                    # half precision, on the CPU

    Only the bin that is being filled is kept so; when the next one begins, the others come to rest in half precision on the CPU, so
    that bins cost no memory of the device. When the maps at rest would take more than `memory_limit` bytes, the largest are averaged
    over 2 × 2 pixels until they fit, and the run carries a warning that says so.
    """

    def __init__(self, run: Run, bins: int, memory_limit: int):
        self.run = run
        self.bins = bins
        self.memory_limit = memory_limit
        self._layers: dict[tuple[int, int], _Layer] = {}
        self._filled = 0
        self._launches = Launches()
        self._preparing: threading.Thread | None = None
        self._prepared = 0  # layers
        self.generation = 0
        """Another number means that rooms which were given before may be gone."""
        self.is_finite = True
        """Whether all that came to rest are numbers; known when all is done."""
        self._pooled: set[int] = set()
        self._dropped: set[tuple[int, int]] = set()

    def room(
        self, entry: Entry, block: int, time_bin: int, shape: tuple[int, ...], device: torch.device
    ) -> torch.Tensor | None:
        """The sums of one layer, to add P of this shape (batch, head, column, height, width) to in place; None where they
        have another grid or are on another device."""
        sums = self._sums(entry, block, time_bin, (shape, device))
        return sums if sums is not None and sums.shape == shape and sums.device == device else None

    def launch(self, form: Form, piece: Piece) -> None:
        """Has P added to a layer's room on a graphics card in the next `flush`."""
        self._launches.add(form, piece)

    def prepare(self) -> None:
        """Has the memory that maps of a graphics card will rest in made ready, beside the sampling: new memory is slow to write to."""
        if self._prepared == len(self._layers):
            return
        self._prepared = len(self._layers)
        layers = [layer for layer in self._layers.values() if layer.is_on_a_card]
        if layers:
            self._wait()
            self._preparing = threading.Thread(target=_prepare, args=(layers,), name="hrv-memory")
            self._preparing.start()

    def _wait(self) -> None:
        if self._preparing is not None:
            self._preparing.join()
            self._preparing = None

    def flush(self) -> None:
        """Adds what still waits to be added."""
        self._launches.flush()

    def add(self, entry: Entry, block: int, time_bin: int, probabilities: torch.Tensor) -> None:
        """Adds one evaluation of one layer: float32 (batch, head, column, height, width)."""
        # the layer's grid may differ from the kept one: the kept one was pooled, or the layer's size changes
        # during the run (Deep Shrink)
        form = (tuple(probabilities.shape), probabilities.device)
        sums = self._sums(entry, block, time_bin, form)
        if sums is not None:
            sums += resize_maps(probabilities, sums.shape[-2:]).to(sums.device)

    def drop(self, entry: Entry, block: int) -> None:
        """Leaves a layer out of this run, what was summed so far included."""
        self.flush()
        self.generation += 1
        self._dropped.add((id(entry), block))
        self._layers.pop((id(entry), block), None)

    def free(self) -> None:
        """Lets go of all sums."""
        self.generation += 1
        self._launches.clear()
        self._layers.clear()

    def finish(self) -> None:
        """Moves all maps to the CPU in half precision, pixel next to pixel, into their entries."""
        self.flush()
        self._rest()
        extremes = [value for layer in self._layers.values() for value in layer.extremes]
        self.is_finite = all(abs(value) <= torch.finfo(AT_REST).max for value in _numbers(extremes))
        for (_, block), layer in self._layers.items():
            layer.entry.maps[block] = layer.at_rest()
        self._layers.clear()

    def _rest(self) -> None:
        """Brings what is being filled to rest, the smallest first, so that what is at rest already takes hardly more than what was freed."""
        self.generation += 1
        self._wait()
        filling = [layer for layer in self._layers.values() if layer.is_filling]
        bring([layer.rest() for layer in sorted(filling, key=lambda layer: layer.numel)])

    def _sums(
        self, entry: Entry, block: int, time_bin: int, form: tuple[tuple[int, ...], torch.device]
    ) -> torch.Tensor | None:
        """The sums of one bin of one layer, made if there are none yet; None for a layer that was left out."""
        key = (id(entry), block)
        if key in self._dropped:
            return None
        if time_bin != self._filled:
            self.flush()
            self._rest()
            self._filled = time_bin
        if key not in self._layers:
            self._layers[key] = _Layer(entry, form[0], self.bins)
            self._make_room()
        return self._layers[key].awake(time_bin, form[1])

    def bytes_at_rest(self) -> int:
        """What the sums will take when all is done."""
        return sum(layer.numel for layer in self._layers.values()) * BYTES_AT_REST

    def _make_room(self) -> None:
        """Pools the largest maps until all fit, or nothing is left to pool."""
        while self.bytes_at_rest() > self.memory_limit:
            kept = {key: layer for key, layer in self._layers.items() if min(layer.grid) > SMALLEST_SIDE}
            if not kept:
                return
            self.flush()  # what waits would be added to sums that are no longer there
            self.generation += 1
            largest = max(math.prod(layer.grid) for layer in kept.values())
            for (_, block), layer in kept.items():
                if math.prod(layer.grid) == largest:
                    layer.pool()
                    self._pooled.add(block)

    @property
    def pooled_blocks(self) -> int:
        """Number of layers whose maps were made smaller to stay within the budget."""
        return len(self._pooled)


class _Layer:
    """The sums of one layer for one conditioning. shape: (batch, head, column, height, width) of one bin.

    One bin is being filled, in float32; the others rest, in half precision on the CPU: (batch, bin, head, column, height, width).
    """

    def __init__(self, entry: Entry, shape: tuple[int, ...], bins: int):
        self.entry, self.shape, self._bins = entry, shape, bins
        self._filling: tuple[int, torch.Tensor] | None = None
        self._resting: torch.Tensor | None = None
        self._ready: torch.Tensor | None = None  # to be `_resting`
        self._rested: set[int] = set()  # bins
        self.extremes: list[torch.Tensor] = []  # smallest and largest values of what came to rest

    @property
    def grid(self) -> tuple[int, ...]:
        """(height, width)."""
        return self.shape[-2:]

    @property
    def is_filling(self) -> bool:
        return self._filling is not None

    @property
    def is_on_a_card(self) -> bool:
        return self._filling is not None and self._filling[1].is_cuda

    @property
    def numel(self) -> int:
        """Values of all bins."""
        return math.prod(self.shape) * self._bins

    def awake(self, time_bin: int, device: torch.device) -> torch.Tensor:
        """The sums of a bin, ready to be added to. Columns lie next to each other in memory, as P is computed."""
        if self._filling is None:
            batch, heads, columns, height, width = self.shape
            sums = torch.zeros((batch, heads, height, width, columns), device=device).movedim(-1, 2)
            if self._resting is not None and time_bin in self._rested:
                sums.copy_(self._resting[:, time_bin])
            self._filling = time_bin, sums
        return self._filling[1]

    def rest(self) -> Arrival:
        """What is being filled, to be brought to rest."""
        time_bin, _ = cast(tuple[int, torch.Tensor], self._filling)
        resting, self._ready = self._ready if self._resting is None else self._resting, None
        if resting is None or resting.shape != self._shape_at_rest:
            resting = torch.empty(self._shape_at_rest, dtype=AT_REST)
        self._resting = resting
        self._rested.add(time_bin)
        return Arrival(self._taken, resting[:, time_bin])

    @property
    def _shape_at_rest(self) -> tuple[int, ...]:
        batch, *rest = self.shape
        return batch, self._bins, *rest

    def prepare(self) -> None:
        """Makes the memory ready that it will rest in."""
        with contextlib.suppress(RuntimeError):  # where there is none, that is said when it is needed
            if self._resting is None and self._ready is None:
                self._ready = torch.zeros(self._shape_at_rest, dtype=AT_REST)

    def _taken(self) -> torch.Tensor:
        """Made small and straight where it is, so that little has to be sent."""
        (_, sums), self._filling = cast(tuple[int, torch.Tensor], self._filling), None
        as_they_lie = sums.movedim(2, -1)
        self.extremes += as_they_lie.aminmax()  # no numbers where one of them is none
        return sums.to(dtype=AT_REST, memory_format=torch.contiguous_format)

    def pool(self) -> None:
        """Averages over 2 × 2 pixels."""
        half = tuple(-(-side // 2) for side in self.grid)
        self.shape = (*self.shape[:3], *half)
        if self._filling is not None:
            self._filling = self._filling[0], resize_maps(self._filling[1], half)
        if self._resting is not None:
            self._resting = resize_maps(self.at_rest().float(), half).to(AT_REST)

    def at_rest(self) -> torch.Tensor:
        """(batch, bin, head, column, height, width), half precision, on the CPU; 0 in bins in which nothing was seen."""
        resting = cast(torch.Tensor, self._resting)
        for time_bin in set(range(self._bins)) - self._rested:
            resting[:, time_bin] = 0
        return resting


def _prepare(layers: list[_Layer]) -> None:
    for layer in layers:
        layer.prepare()


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


def _numbers(values: list[torch.Tensor]) -> list[float]:
    """Of single values on any devices; each device is waited for once."""
    on = {value.device for value in values}
    return [
        number for device in on for number in torch.stack([v for v in values if v.device == device]).tolist()
    ]
