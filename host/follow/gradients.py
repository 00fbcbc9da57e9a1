"""Gradients through ComfyUI's UNet, which it runs in inference mode.

    with differentiable(unet, x.device):
        leaf = x.clone().requires_grad_()
        …                                             # run the UNet on leaf
        (gradient,) = torch.autograd.grad(loss, leaf)

Three things stand in the way, and each is dealt with here:

- Weights, prompts and what other packs hold are inference tensors, which take no part in gradients. `NormalTensors` hands every
  operation an ordinary tensor over the same memory: nothing is copied.
- Everything that a gradient needs would be kept from the first layer to the last. Blocks are checkpointed: kept is only what
  goes into a block, and the block runs again when its turn comes.
- Attention may be one that has no gradient (SageAttention). `DIFFERENTIABLE_ATTENTION` in transformer_options puts PyTorch's own
  in its place for the call.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from ...hrv.heads.layout import Block, Layout
from ..facts.network import BasicTransformerBlock, ResBlock, UNetModel, attention_pytorch, halves
from ..facts.options import BLOCK, OPTIMIZED_ATTENTION_OVERRIDE, OUTPUT_BLOCK_PATCH, PATCHES

WITH_WEIGHTS = (F.linear, F.conv2d, F.group_norm, F.layer_norm)


class NormalTensors(TorchFunctionMode):
    """Inside, every operation sees ordinary tensors in place of inference tensors, over the same memory.

    copy_weights: weights are copied for each operation. Needed where the host brings weights to the device when their turn
    comes: it reuses that memory for the next layer, and a gradient would be computed with the wrong weights.
    """

    def __init__(self, copy_weights: bool = False):
        super().__init__()
        self.copy_weights = copy_weights

    def __torch_function__(self, func, types, args=(), kwargs=None):
        args = tuple(_normal(a) for a in args)
        kwargs = {name: _normal(a) for name, a in (kwargs or {}).items()}
        if self.copy_weights and func in WITH_WEIGHTS:
            args = (*args[:1], *(_copied(a) for a in args[1:]))
            kwargs = {name: _copied(a) for name, a in kwargs.items()}
        return func(*args, **kwargs)


def _normal(value: Any) -> Any:
    if isinstance(value, (list, tuple)) and any(isinstance(v, torch.Tensor) for v in value):
        return type(value)(_normal(v) for v in value) if type(value) in (list, tuple) else value
    if type(value) not in (torch.Tensor, torch.nn.Parameter) or not value.is_inference():
        return value
    alias = torch.empty(0, dtype=value.dtype, device=value.device)
    return alias.set_(value.untyped_storage(), value.storage_offset(), value.shape, value.stride())


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) and not value.requires_grad else value


@contextlib.contextmanager
def differentiable(unet: UNetModel, device: torch.device):
    """Inside, what the UNet computes on this device from a tensor that requires a gradient leads back to it."""
    elsewhere = any(parameter.device != device for parameter in unet.parameters())
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        NormalTensors(elsewhere),
        _checkpointed(unet, elsewhere),
    ):
        yield


@contextlib.contextmanager
def _checkpointed(unet: UNetModel, copy_weights: bool):
    """Inside, residual and transformer blocks keep nothing but what goes into them."""
    blocks = [module for module in unet.modules() if isinstance(module, (ResBlock, BasicTransformerBlock))]
    before = [vars(block).get("forward") for block in blocks]  # of another pack, on this block alone
    try:
        for block in blocks:
            block.forward = _checkpoint(block.forward, copy_weights)
        yield
    finally:
        for block, forward in zip(blocks, before, strict=True):
            vars(block).pop("forward", None)
            if forward is not None:
                block.forward = forward


def _checkpoint(forward, copy_weights: bool):
    def modes():  # of the first run, and of the second: a function mode is suspended while autograd is at work
        return contextlib.nullcontext(), NormalTensors(copy_weights)

    def run(*args, **kwargs):
        # the UNet writes the place it has come to into its options; the second run needs that of the first
        args = [dict(a) if isinstance(a, dict) else a for a in args]
        kwargs = {name: dict(a) if isinstance(a, dict) else a for name, a in kwargs.items()}
        return checkpoint(
            forward, *args, use_reentrant=False, preserve_rng_state=False, context_fn=modes, **kwargs
        )

    return run


def _plain_attention(function, *args, **kwargs):
    return attention_pytorch(*args, **kwargs)


DIFFERENTIABLE_ATTENTION = {OPTIMIZED_ATTENTION_OVERRIDE: _plain_attention}


class Reached(Exception):
    """The UNet has computed what was wanted of it."""


def until_layer(block: Block, options: dict[str, Any]) -> dict[str, Any]:
    """A copy of a UNet's transformer_options with which it raises `Reached` before the first output block behind this
    cross-attention layer. Without a block behind it, it runs to its end."""
    last = block.index if block.part == "output" else -1
    patches = options.get(PATCHES, {})

    def stop(h, skip, transformer_options):
        if transformer_options[BLOCK][1] > last:
            raise Reached
        return h, skip

    stopping = {**patches, OUTPUT_BLOCK_PATCH: [stop, *patches.get(OUTPUT_BLOCK_PATCH, ())]}
    return {**options, PATCHES: stopping}


def levels_of(unet: UNetModel, layout: Layout) -> list[int]:
    """For each cross-attention layer of a UNet, how often the latent has been halved on the way to it."""
    levels, level = [], 0
    for stage in unet.input_blocks:
        level += halves(stage)
        levels.append(level)
    place = {
        "input": levels,
        "middle": [level],
        "output": levels[::-1],
    }  # an output block works on its skip's grid
    return [place[block.part][block.index] for block in layout.blocks]


def moved(x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """x + shift, both (image, channel, height, width): x itself, moved where it lies; a copy where x must not be written
    into, because images share its memory, gradients are taken of it, or it was made in inference mode and that has ended."""
    shares_memory = any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape))
    in_graph = x.requires_grad and torch.is_grad_enabled()
    # asked, not tried: of an inference tensor torch complains after it has written
    frozen = x.is_inference() and not torch.is_inference_mode_enabled()
    return x + shift if shares_memory or in_graph or frozen else x.add_(shift)
