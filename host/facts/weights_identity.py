"""Tells checkpoints apart by their weights, so that votes of one are never added to those of another."""

from __future__ import annotations

import hashlib

import torch

from .network import KEYED_WEIGHTS
from .patcher import original_weights

SAMPLED = 64  # values looked at in each weight


@torch.inference_mode()
def weights_identity(model) -> str:
    """16 hex digits that follow from a checkpoint's cross-attention weights, without LoRAs and other patches; from all its matrices where
    it has no UNet's cross-attention.

    model: ModelPatcher. The SHA-256 of the names and shapes of all to_q and to_k of the cross-attention, and of 64 evenly
    spaced values of each in half precision. It is the same before and after the model was loaded, on any device.
    """
    digest, weights = hashlib.sha256(), original_weights(model)
    keyed = {name: weight for name, weight in weights.items() if name.endswith(KEYED_WEIGHTS)}
    for name, weight in sorted(keyed.items() or [one for one in weights.items() if one[1].ndim > 1]):
        flat = weight.detach().flatten()
        values = flat[:: max(1, len(flat) // SAMPLED)][:SAMPLED].float().cpu().half()
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()[:16]
