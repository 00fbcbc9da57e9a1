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

WAITING_BYTES = 48 * 2**20
"""Queries and keys that are kept until their launch."""
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
    """A layer that waits for its launch. q, k, sums: addresses of what stands first; kept: the tensors that they lie in; plain: adds the same
    to the sums in the plain way."""

    q: int
    k: int
    sums: int
    kept: tuple[torch.Tensor, ...]
    plain: Callable[[], Any]


class Launches:
    """Layers one after the other, launched together where their form is the same."""

    def __init__(self):
        self._form: Form | None = None
        self._waiting: list[Piece] = []
        self._bytes = 0

    def add(self, form: Form, piece: Piece) -> None:
        """Adds P = softmax(Q Kᵀ · scale) of a layer to its sums, now or with later layers, at the latest in `flush`. Until then its queries
        and keys may not be changed."""
        if form != self._form:
            self.flush()
            self._form = form
        self._waiting.append(piece)
        self._bytes += sum(tensor.nbytes for tensor in piece.kept[:2])
        if self._bytes >= WAITING_BYTES:
            self.flush()

    def flush(self) -> None:
        """Launches what waits."""
        form, pieces = self._form, self._waiting
        self.clear()
        if form is None or kernel_source is None:
            return
        global _works
        try:
            with torch.cuda.device(form.device):
                kernel_source.launch(form, pieces)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever Triton finds missing, it finds before it launches
            _works = False
            logging.info("[HRV] Recording without Triton, which takes longer: %s", error)
            for piece in pieces:
                piece.plain()

    def clear(self) -> None:
        """Lets go of what waits."""
        self._form, self._waiting, self._bytes = None, [], 0


_works = kernel_source is not None


def is_usable(q: torch.Tensor) -> bool:
    """Whether layers with such queries can be launched. A machine without a C compiler, or a card that Triton does not know, cannot; it is
    found out once."""
    return _works and q.is_cuda and q.dtype in TYPES
