"""What ComfyUI's UNet of Stable Diffusion is made of: names of modules, and classes."""

from __future__ import annotations

import contextlib
from typing import Any

import comfy.ldm.modules.attention
import torch
from comfy.ldm.modules.attention import BasicTransformerBlock, CrossAttention, attention_pytorch
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, ResBlock, UNetModel

from .options import ATTN_PRECISION, N_HEADS

__all__ = [
    "BasicTransformerBlock",
    "CrossAttention",
    "Downsample",
    "ResBlock",
    "UNetModel",
    "attention_pytorch",
]

UNET = "diffusion_model"
"""What a model calls its network; paths of object patches and names of weights begin with it."""
STAGES = (("input", "input_blocks"), ("middle", "middle_block"), ("output", "output_blocks"))
"""(part, as in a layer's key; module of the UNet), in execution order. The middle is one block."""
TRANSFORMER_BLOCKS = "transformer_blocks"
TIME_STACK = "time_stack"
"""Beside TRANSFORMER_BLOCKS in video models only."""
PROJECTIONS = {"to_q", "to_k", "to_v"}
"""Modules of an attention; what else has them works on q, k and v."""
HEADS = "heads"
"""Attribute of an attention: how many."""
COMPILED_FROM = "_orig_mod"
"""The module that torch.compile was given, in what it made."""
KEYED_WEIGHTS = ("attn2.to_q.weight", "attn2.to_k.weight")
"""Endings of the names of the weights that a checkpoint is known by."""


def has_no_self_attention(transformer) -> bool:
    """Whether a transformer's attn1 is a second cross-attention."""
    return transformer.disable_self_attn


def is_compiled(module: torch.nn.Module) -> bool:
    """Whether torch.compile acts on a module itself."""
    return COMPILED_FROM in module._modules or module._compiled_call_impl is not None


@contextlib.contextmanager
def without_compiled_code():
    """A context in which what torch.compile was given runs as it was written."""
    with torch.compiler.set_stance("force_eager"):
        yield


def halves(stage) -> bool:
    """Whether a stage of the UNet halves the latent."""
    return any(isinstance(layer, Downsample) or getattr(layer, "updown", False) for layer in stage)


def has_foreign_forward(attention: CrossAttention) -> bool:
    """Whether another pack has put its own `forward` on an attention. A replacement of ours would silence it."""
    return attention.forward.__module__ != CrossAttention.__module__


def attention_in_layer(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict[str, Any], options: dict[str, Any]
) -> torch.Tensor:
    """The host's attention, as a layer calls it. options: the UNet's transformer_options.

    Looked up now, as CrossAttention.forward does: other packs put their own in its place.
    """
    return comfy.ldm.modules.attention.optimized_attention(
        q,
        k,
        v,
        extra_options[N_HEADS],
        attn_precision=extra_options[ATTN_PRECISION],
        transformer_options={**options, **extra_options},
    )
