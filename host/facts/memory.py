"""How much memory is free, and what latents are kept in."""

from __future__ import annotations

import comfy.model_management
import torch


def free_memory() -> int:
    """Bytes of the computer's own memory (not the graphics card's), as ComfyUI counts them."""
    return int(comfy.model_management.get_free_memory(torch.device("cpu")))


def empty_cache() -> None:
    """Gives the graphics card's memory that is not in use back to others."""
    comfy.model_management.soft_empty_cache()


def intermediate_dtype(otherwise: torch.dtype) -> torch.dtype:
    """What sampler nodes hand latents on in. Older releases (0.16) have no say in it."""
    return getattr(comfy.model_management, "intermediate_dtype", lambda: otherwise)()
