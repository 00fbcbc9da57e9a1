"""What is known of runs after they were forgotten: that there was one."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from .latents import Looks, Traces

MAX_NAMES = 4096
MAX_LOOKS = 256


@dataclass(frozen=True)
class Gone:
    """A run that was forgotten. number: how many were made before it; crowded: because of the number of runs, not of their
    memory."""

    number: int
    crowded: bool


class Forgotten:
    """The last MAX_NAMES images that were forgotten, by fingerprint, and the last MAX_LOOKS runs, by thumbnails."""

    def __init__(self):
        self._names: OrderedDict[str, Gone] = OrderedDict()
        self._looks: deque[tuple[Gone, Traces]] = deque(maxlen=MAX_LOOKS)

    def add(self, gone: Gone, names: Iterable[str], traces: Traces | None) -> None:
        """names: fingerprints that lead to it; traces: what it is known by when a node has changed its latent, None for nothing."""
        if traces is not None:
            self._looks.append((gone, traces))
        for name in names:
            self._names[name] = gone
        while len(self._names) > MAX_NAMES:
            self._names.popitem(last=False)

    def remove(self, name: str) -> None:
        """A run has left this latent again."""
        self._names.pop(name, None)

    def of(self, names: Iterable[str]) -> Gone | None:
        """The run that left a latent of one of these names."""
        return next((self._names[name] for name in names if name in self._names), None)

    def most_alike(self, looks: Looks, least: float) -> Gone | None:
        """The run whose image this one is most like, if it is more like it than `least`."""
        found = None
        for gone, traces in self._looks:
            score, _ = looks.like(traces)
            if score > least:
                least, found = score, gone
        return found
