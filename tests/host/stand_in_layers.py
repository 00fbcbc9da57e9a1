"""Stand-ins (stand_ins.py) for packs that exchange layers, or let them run less often."""

from __future__ import annotations

import comfy.ldm.modules.attention
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from stand_ins import WRAPPERS, wrapped

attention = comfy.ldm.modules.attention


def object_patched(model):
    """A pack that exchanges the forward of one cross-attention layer by an object patch."""
    clone = model.clone()
    name = "diffusion_model.middle_block.1.transformer_blocks.0.attn2"
    layer = clone.get_model_object(name)

    def forward(x, context=None, value=None, mask=None, transformer_options=None):
        return 0.9 * attention.CrossAttention.forward(layer, x, context, value, mask)

    clone.add_object_patch(f"{name}.forward", forward)
    return clone


class SubTransformer(attention.SpatialTransformer):
    """A pack's own class for the layers that hold transformers."""


class SubUNet(UNetModel):
    """A pack's own class for the whole network."""


class OtherUNet(torch.nn.Module):
    """The same, not derived from the host's."""

    forward, _forward = UNetModel.forward, UNetModel._forward


class OwnWayBlock(attention.BasicTransformerBlock):
    """A pack's own class for the transformers, which looks at no replacement."""

    def forward(self, x, context=None, transformer_options=None):
        x = x + self.attn1(self.norm1(x))
        x = x + 0.9 * self.attn2(self.norm2(x), context=context)
        return x + self.ff(self.norm3(x))


class Dimmer(torch.nn.Module):
    """What a pack puts in the place of a layer."""

    def forward(self, x):
        return 0.9 * x


def places(model, part: str) -> list[str]:
    """The paths, as object patches name them, of all modules that have such a part: `transformer_blocks`, `attn2`."""
    return [name for name, module in model.model.named_modules() if hasattr(module, part)]


def exchanged(model, cls: type, paths):
    """A clone in which modules get another class by object patches."""
    clone = model.clone()
    for path in paths:
        clone.add_object_patch(f"{path}.__class__", cls)
    return clone


def put_in_place(model, path: str, module):
    """A clone in which another module stands in this place."""
    clone = model.clone()
    clone.add_object_patch(path, module)
    return clone


def cached_layers(model, every: int = 3):
    """Like a first-block cache: of the layers with transformers only the first runs in each call of the UNet, the others in every
    third; in between they give their last output again."""
    calls = []

    def counted(executor, *args, **kwargs):
        calls.append(1)
        return executor(*args, **kwargs)

    def cached(layer):
        kept = {}

        def forward(x, context=None, transformer_options=None):
            if len(calls) % every == 1:
                kept["out"] = attention.SpatialTransformer.forward(layer, x, context, transformer_options)
            return kept["out"].clone()

        return forward

    clone = wrapped(model, WRAPPERS.DIFFUSION_MODEL, counted)
    for path in places(model, "transformer_blocks")[1:]:
        clone.add_object_patch(f"{path}.forward", cached(clone.get_model_object(path)))
    return clone
