"""Errors in a few words, and whether memory ran out."""

from __future__ import annotations

import torch

OUT_OF_MEMORY = (MemoryError, torch.cuda.OutOfMemoryError)


def ran_out_of_memory(error: Exception) -> bool:
    """Whether memory was the cause. Where torch has no class of its own for it (the CPU, other accelerators), its words say so."""
    if isinstance(error, OUT_OF_MEMORY):
        return True
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    return "out of memory" in text or "allocate memory" in text


def cause_of(error: Exception) -> str:
    """An error in a few words."""
    return "memory ran out" if ran_out_of_memory(error) else f"{type(error).__name__}: {error}"
