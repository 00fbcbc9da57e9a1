"""Memories that forget what was put in or asked for longest ago."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

Key, Value = TypeVar("Key"), TypeVar("Value")
KEPT = 1024


def remember(store: OrderedDict[Key, Value], key: Key, value: Value, most: int = KEPT) -> None:
    """Puts a value into a store of at most so many."""
    store[key] = value
    store.move_to_end(key)
    while len(store) > most:
        store.popitem(last=False)
