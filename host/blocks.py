"""Which cross-attention layers a ComfyUI model has."""

from __future__ import annotations

from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from ..hrv.layout import Block, Layout

SUPPORTED = "Stable Diffusion 1.x and 2.x, SDXL, and models derived from them (Pony, Illustrious, SSD-1B, …)"


class UnsupportedModel(ValueError):
    """The model has no cross-attention of the kind this pack records."""


def layout_of(diffusion_model) -> Layout:
    """Cross-attention layers of a UNet in execution order.

    Raises UnsupportedModel, naming what is supported, for anything but a UNet with plain spatial
    transformers (SD3, Flux, video models …).
    """
    if not isinstance(diffusion_model, UNetModel):
        raise UnsupportedModel(
            f"This model ({type(diffusion_model).__name__}) has no cross-attention layers that can be recorded. "
            f"Supported are {SUPPORTED}."
        )
    stages = [("input", i, block) for i, block in enumerate(diffusion_model.input_blocks)]
    if diffusion_model.middle_block is not None:
        stages.append(("middle", 0, diffusion_model.middle_block))
    stages += [("output", i, block) for i, block in enumerate(diffusion_model.output_blocks)]
    blocks = [
        Block(part, index, number, transformer.n_heads)
        for part, index, stage in stages
        for layer in stage
        if type(layer) is SpatialTransformer
        for number, transformer in enumerate(layer.transformer_blocks)
        if transformer.attn2 is not None
    ]
    if not blocks:
        raise UnsupportedModel(f"This model has no plain cross-attention layers. Supported are {SUPPORTED}.")
    return Layout(tuple(blocks))
