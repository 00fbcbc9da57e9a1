"""Which cross-attention layers a ComfyUI model has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import comfy.ldm.modules.attention
import comfy.patcher_extension
import torch
from comfy.ldm.modules.attention import BasicTransformerBlock, CrossAttention, SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from ..hrv.layout import Block, Layout

SUPPORTED = "Stable Diffusion 1.x and 2.x, SDXL, and models derived from them (Pony, Illustrious, SSD-1B, …)"


class UnsupportedModel(ValueError):
    """The model has no cross-attention of the kind this pack works with."""


def layout_of(diffusion_model) -> Layout:
    """Cross-attention layers of a UNet in execution order.

    Raises UnsupportedModel, naming what is supported, for anything but a UNet with plain spatial
    transformers (SD3, Flux, video models …).
    """
    diffusion_model = _uncompiled(diffusion_model)
    if not isinstance(diffusion_model, UNetModel):
        raise UnsupportedModel(
            f"This model ({type(diffusion_model).__name__}) has no cross-attention layers that can be recorded or steered. "
            f"Supported are {SUPPORTED}."
        )
    blocks = tuple(block for block, _ in cross_attention_layers(diffusion_model))
    if not blocks:
        raise UnsupportedModel(f"This model has no plain cross-attention layers. Supported are {SUPPORTED}.")
    return Layout(blocks)


def cross_attention_layers(unet: UNetModel) -> Iterator[tuple[Block, CrossAttention]]:
    """Every plain cross-attention layer of a UNet, in execution order."""
    for block, transformer in transformers(unet):
        yield block, transformer.attn2


def transformers(unet: UNetModel) -> Iterator[tuple[Block, BasicTransformerBlock]]:
    """Every transformer that has such a layer, in the same order."""
    stages = [("input", i, stage) for i, stage in enumerate(unet.input_blocks)]
    if unet.middle_block is not None:
        stages.append(("middle", 0, unet.middle_block))
    stages += [("output", i, stage) for i, stage in enumerate(unet.output_blocks)]
    for part, index, stage in stages:
        for layer in map(_uncompiled, _uncompiled(stage)):
            if type(layer) is not SpatialTransformer:
                continue
            for number, transformer in enumerate(layer.transformer_blocks):
                if transformer.attn2 is not None:
                    yield Block(part, index, number, transformer.n_heads), transformer


def has_foreign_forward(layer: CrossAttention) -> bool:
    """Whether another pack has put its own `forward` on the layer. A replacement of ours would silence it."""
    return layer.forward.__module__ != CrossAttention.__module__


def is_compiled(patcher) -> bool:
    """Whether torch.compile acts on a ModelPatcher's UNet or on parts of it.

    ComfyUI's node has compiled code kept whatever transformer_options hold. Blocks of one shape then share the code of the first,
    and with it an entry that was made for that one.
    """
    if patcher.get_wrappers(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "torch.compile"):
        return True
    unet = patcher.get_model_object("diffusion_model")
    return any(
        "_orig_mod" in part._modules or part._compiled_call_impl is not None for part in unet.modules()
    )


def _uncompiled(module):
    """The module that torch.compile was given."""
    return getattr(module, "_orig_mod", module)


def attend(
    occupant,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    extra_options: dict[str, Any],
    options: dict[str, Any],
) -> torch.Tensor:
    """What the layer would do without our entry: the replacement that was there before (`occupant`), or the host's
    attention. q, k, v: (row, pixel or token, heads · d); options: the UNet's transformer_options."""
    if occupant is not None:
        return occupant(q, k, v, extra_options)
    # looked up now, as CrossAttention.forward does: other packs put their own in its place
    return comfy.ldm.modules.attention.optimized_attention(
        q,
        k,
        v,
        extra_options["n_heads"],
        attn_precision=extra_options["attn_precision"],
        transformer_options={**options, **extra_options},
    )
