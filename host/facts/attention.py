"""ComfyUI's attention functions: what they are called with, and what they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import comfy.ldm.modules.attention
import torch

ATTENTION_GIVEN = ("q", "k", "v", "heads", "mask", "attn_precision", "skip_reshape")
"""What ComfyUI's attention functions, and with them an override, are called with, by place or by name; then names only."""


def attention_given(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Name → what an attention function was called with; q, k and v as (row, head, token, d). Keys may have fewer heads."""
    given = {**dict(zip(ATTENTION_GIVEN, args, strict=False)), **kwargs}
    if not given.get("skip_reshape"):
        width = (
            given["q"].shape[-1] // given["heads"]
        )  # (row, token, heads · d), or of v (row, token, head, d)
        for name in ("q", "k", "v"):
            given[name] = given[name].flatten(2).unflatten(-1, (-1, width)).transpose(1, 2)
    return given


def attend(
    attention, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, given: Mapping[str, Any]
) -> torch.Tensor:
    """What an attention function of ComfyUI gives for (row, head, token, d) of its own; as many heads in k and v as in q. given: what else
    a layer called it with; the form of what it gives is the layer's."""
    return attention(q, k, v, **{**given, "skip_reshape": True})


def of_tokens(output: torch.Tensor, given: Mapping[str, Any]) -> torch.Tensor:
    """A view of what an attention function gave with its rows and tokens in front. given: what it was called with."""
    return output.transpose(1, 2) if given.get("skip_output_reshape") else output


def calls_fused_kernel(attention) -> bool:
    """Whether an attention function, as an override is given it, hands queries and keys as they are to PyTorch's own attention."""
    name = (getattr(attention, "__module__", ""), getattr(attention, "__qualname__", ""))
    return name == ("comfy.ldm.modules.attention", "attention_pytorch")


def attention_chosen():
    """The attention function that ComfyUI has chosen for this machine and its options."""
    return comfy.ldm.modules.attention.optimized_attention
