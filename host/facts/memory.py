"""How much memory is free."""

from __future__ import annotations

import comfy.model_management
import torch


def free_memory() -> int:
    """Bytes of the computer's own memory (not the graphics card's), as ComfyUI counts them."""
    return int(comfy.model_management.get_free_memory(torch.device("cpu")))
