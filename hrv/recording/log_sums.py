"""What fused attention sums up on its way, kept: with it, a few columns of P need no product with all the other keys."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_ATTENTION = torch.ops.aten.scaled_dot_product_attention.default
# PyTorch before 2.2 has no such kernel
_FUSED = getattr(
    getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None), "default", None
)


class LogSums(TorchDispatchMode):
    """While it is entered, keeps log Σ_j exp(logits) of the one attention that PyTorch's fused kernel computes on a CPU. Nothing that is
    computed changes.

    found: float32 (row, head, query); None where another kernel was chosen, or the fused one was called more than once.
    """

    def __init__(self):
        super().__init__()
        self._found: list[torch.Tensor] = []

    @property
    def found(self) -> torch.Tensor | None:
        return self._found[0] if len(self._found) == 1 else None

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is _ATTENTION:  # in inference mode it comes whole
            with self:
                return func.decompose(*args, **(kwargs or {}))
        given = func(*args, **(kwargs or {}))
        if func is _FUSED:
            self._found.append(given[1])
        return given
