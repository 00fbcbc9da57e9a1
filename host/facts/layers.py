"""Which cross-attention layers a ComfyUI model has.

A layer is known by what it is made of, not by its class, and by its key (part of the UNet, block, transformer): packs exchange
classes and modules by object patches. ComfyUI leaves the object patches of a model on the network that all its clones share, until
another clone is sampled; so what lies on the network now tells nothing about the clone at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ...hrv.heads.layout import PARTS, Block, Layout
from ...hrv.wording import said
from . import network, wrappers
from .network import UNET, BasicTransformerBlock, CrossAttention
from .options import ATTN2
from .patcher import network_of, object_patches_backup_of, object_patches_of

SUPPORTED = "Stable Diffusion 1.x, 2.x, SDXL (Pony, Illustrious, SSD-1B, …)"
Patches = Mapping[str, Any]
"""Path → what stands there in place of what lies on the network."""
AS_IT_LIES: Patches = {}


class UnsupportedModel(ValueError):
    """The model has no cross-attention of the kind this pack works with."""


def layout_of(unet) -> Layout:
    """Cross-attention layers of a network as it lies there, in execution order.

    Raises UnsupportedModel, naming what is supported, for anything but a UNet with plain spatial
    transformers (SD3, Flux, video models …).
    """
    return _layout({block.key: block for block, _ in transformers(unet)}, unet)


def layout_of_model(patcher) -> Layout:
    """Cross-attention layers of the model that a ModelPatcher will have sampled, whatever lies on its network now.

    A layer in whose place the patcher puts something of another kind keeps its place here, so that heads keep their numbers.
    Raises UnsupportedModel as `layout_of` does.
    """
    before, own = object_patches_backup_of(patcher), object_patches_of(patcher)
    unet, found = None, {}
    for patches in (before, {**before, **own}) if own else (before,):
        unet = patches.get(UNET, network_of(patcher))
        found.update({block.key: block for block, _ in transformers(unet, patches)})
    return _layout(found, unet)


def _layout(blocks: dict[tuple[str, int, int], Block], unet) -> Layout:
    if not blocks:
        raise UnsupportedModel(unsupported(unet))
    return Layout(tuple(sorted(blocks.values(), key=_execution_order)))


def unsupported(network) -> str:
    """What to say of a network without such layers."""
    return said(
        "This model ({kind}) is not a UNet with cross-attention, which this node needs. Supported: {supported}.",
        kind=class_of(network),
        supported=SUPPORTED,
    )


def class_of(network) -> str:
    """What a network's class is called."""
    return type(uncompiled(network)).__name__


def _execution_order(block: Block) -> tuple[int, int, int]:
    return PARTS.index(block.part), block.index, block.transformer


def cross_attention_layers(unet) -> Iterator[tuple[Block, CrossAttention]]:
    """Every plain cross-attention layer of a UNet as it lies there, in execution order."""
    for block, transformer in transformers(unet):
        yield block, transformer.attn2


def transformers(unet, patches: Patches = AS_IT_LIES) -> Iterator[tuple[Block, BasicTransformerBlock]]:
    """Every transformer that has such a layer, in the same order, where these patches lie on the network."""
    for part, index, stage, path in _stages(uncompiled(unet), patches):
        for name in _parts(stage):
            layer, layer_path = _part(stage, name, path, patches)
            blocks, blocks_path = _part(layer, network.TRANSFORMER_BLOCKS, layer_path, patches)
            if blocks is None or network.TIME_STACK in _parts(layer):
                continue  # a video model's layers take its frames together
            for number, name_in_blocks in enumerate(_parts(blocks)):
                transformer, its_path = _part(blocks, name_in_blocks, blocks_path, patches)
                attention, _ = _part(transformer, ATTN2, its_path, patches)
                heads = getattr(attention, network.HEADS, None)
                if network.PROJECTIONS <= _parts(attention).keys() and heads is not None:
                    yield Block(part, index, number, heads), transformer


def _stages(unet, patches: Patches) -> Iterator[tuple[str, int, Any, str]]:
    """(part, block number, module, its path) of each stage of a UNet; none for another kind of network."""
    for part, name in network.STAGES:
        found, path = _part(unet, name, UNET, patches)
        if part == "middle":
            yield part, 0, found, path
        else:
            for index, number in enumerate(_parts(found)):
                yield part, index, *_part(found, number, path, patches)


def _part(parent, name: str, path: str, patches: Patches) -> tuple[Any, str]:
    """The module of this name in the one at `path`, where these patches lie on the network, and its own path; None if there is
    none. Paths are only needed for patches."""
    found = _parts(parent).get(name)
    if patches:
        path = f"{path}.{name}"
        found = patches.get(path, found)
    return _parts(found).get(network.COMPILED_FROM, found), path


def _parts(module) -> Mapping[str, Any]:
    """The modules in a module, by name; looked up like this because it is done often."""
    return getattr(module, "_modules", AS_IT_LIES)


def is_compiled(patcher) -> bool:
    """Whether torch.compile acts on the UNet that a ModelPatcher will have sampled, or on parts of it.

    ComfyUI's node has compiled code kept whatever transformer_options hold. Blocks of one shape then share the code of the first,
    and with it an entry that was made for that one.
    """
    if wrappers.has(patcher, wrappers.APPLY_MODEL, wrappers.TORCH_COMPILE):
        return True
    patches = {**object_patches_backup_of(patcher), **object_patches_of(patcher)}
    unet = patches.get(UNET, network_of(patcher))
    return any(map(network.is_compiled, _modules(unet, UNET, patches)))


def _modules(module, path: str, patches: Patches) -> Iterator[torch.nn.Module]:
    """A module and all modules in it, where these patches lie on the network."""
    waiting = [(module, path)]
    while waiting:
        module, path = waiting.pop()
        if isinstance(module, torch.nn.Module):
            yield module
            for name, child in module._modules.items():
                place = f"{path}.{name}"
                waiting.append((patches.get(place, child), place))


def uncompiled(module):
    """The module that torch.compile was given."""
    return getattr(module, network.COMPILED_FROM, module)
