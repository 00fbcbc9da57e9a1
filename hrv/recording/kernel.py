"""Post-softmax probabilities on a graphics card: those of several layers in one launch, where the plain way takes many a layer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

try:
    from . import kernel_source
except ImportError:  # Triton comes with PyTorch on Linux only
    kernel_source = None

TYPES = (torch.float32, torch.float16, torch.bfloat16)
Strides = tuple[int, int, int, int]
"""Of row, head, token and channel."""


class Form(NamedTuple):
    """What layers of one launch have in common. q: (row, head, query, channel); k: (row, head or fewer, key, channel); sums: (row, head,
    query, column), the column being its channel.

    columns: the kept ones of a conditioning of `length` columns, which stands among the keys from `start` on, `repeats` times over. mass:
    whether the text mass is kept too, behind the columns.
    """

    device: torch.device
    dtype: torch.dtype
    rows: int
    heads: int
    key_heads: int
    queries: int
    keys: int
    width: int
    q_strides: Strides
    k_strides: Strides
    sums_strides: Strides
    scale: float
    columns: tuple[int, ...]
    length: int
    start: int = 0
    repeats: int = 1
    mass: bool = False


class Piece(NamedTuple):
    """A layer that waits for its launch. q, k, sums: addresses of what stands first; kept: what holds the memory that they lie in; plain: called
    with that, adds the same to the sums in the plain way."""

    q: int
    k: int
    sums: int
    kept: tuple[Any, ...]
    plain: Callable[..., Any]


class Launches:
    """Layers that wait, those of one form being launched together."""

    def __init__(self):
        self._waiting: dict[Form, list[Piece]] = {}
        self._form: Form | None = None  # of the last one
        self._last: list[Piece] = []  # those of its form

    def add(self, form: Form, piece: Piece) -> None:
        """Has P = softmax(Q Kᵀ · scale) of a layer added to its sums in `flush`. Until then its queries and keys may not be changed."""
        if form is not self._form:  # looking a form up takes longer than all else
            self._form, self._last = form, self._waiting.setdefault(form, [])
        self._last.append(piece)

    def flush(self) -> None:
        """Launches what waits."""
        waiting = self._waiting
        self.clear()
        for form, pieces in waiting.items():
            _launch(form, pieces)

    def clear(self) -> None:
        """Lets go of what waits."""
        self._waiting, self._form, self._last = {}, None, []


def _launch(form: Form, pieces: list[Piece]) -> None:
    """Launches layers of one form; in the plain way where Triton turns out not to work."""
    global _works
    if kernel_source is None:
        return
    try:
        with torch.cuda.device(form.device):
            kernel_source.launch(form, pieces)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever Triton finds missing, it finds before it launches
        _works = False
        logging.info("[HRV] Recording without Triton, which takes longer: %s", error)
        for piece in pieces:
            piece.plain(*piece.kept)


_works = kernel_source is not None


def is_usable(q: torch.Tensor) -> bool:
    """Whether layers with such queries can be launched. A machine without a C compiler, or a card that Triton does not know, cannot; it is
    found out once."""
    return _works and q.is_cuda and q.dtype in TYPES
