"""Lenses that may still be asked, by an id that tells nothing about them."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict

from ..wording import said
from .lens import Lens, LensGone

CAPACITY = 64


class LensShelf:
    """Keeps the lenses used last. A lens holds its run weakly, so the recording's own memory limit stays in force.

    number = shelf.add(lens)        # "5f0c…", 32 hexadecimal digits
    shelf.get(number).answer(…)
    """

    def __init__(self, capacity: int = CAPACITY):
        self._capacity = capacity
        self._lenses: OrderedDict[str, Lens] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, lens: Lens) -> str:
        """Returns the new lens's id; the one unused for longest makes room."""
        name = secrets.token_hex(16)
        with self._lock:
            self._lenses[name] = lens
            while len(self._lenses) > self._capacity:
                self._lenses.popitem(last=False)
        return name

    def get(self, name: str) -> Lens:
        """Raises LensGone."""
        with self._lock:
            if name not in self._lenses:
                raise LensGone(
                    said(
                        "This image comes from an earlier session, or many others came after it. Run the workflow again."
                    )
                )
            self._lenses.move_to_end(name)
            return self._lenses[name]

    def __len__(self) -> int:
        return len(self._lenses)
