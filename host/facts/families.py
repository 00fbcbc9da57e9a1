"""Transformers that ComfyUI samples, whose attention goes through `optimized_attention` and can be recorded there.

A family is a row of FAMILIES: which class its network is, where its layers and their heads are, and in which order the tokens of its
attention stand. Where joint, image and text are tokens of one sequence,

    [registers, text, padding, image, padding, reference images]

and where not, the queries are the image's tokens and the keys the text's; attention of the image alone then comes first in each block.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...hrv.heads.layout import Block, Layout
from ...hrv.prompt import Prompt
from ...hrv.wording import said
from .layers import SUPPORTED, UnsupportedModel, class_of, layout_of_model, uncompiled
from .network import UNET
from .options import BLOCK_INDEX, BLOCK_TYPE
from .patcher import network_of, object_patches_backup_of, object_patches_of

REFERENCES = "ref_latents"
"""What a model is given reference images as: a list of latents (row, channel, …, height, width)."""


@dataclass(frozen=True)
class Segments:
    """Where the tokens of one call stand. queries, keys: how many there are; grid: (height, width) of the image in tokens; frames: of a video,
    one behind the other."""

    queries: int
    keys: int
    image: slice
    text: slice
    grid: tuple[int, int]
    is_joint: bool = True
    frames: int = 1

    @property
    def is_plain(self) -> bool:
        """Whether attention of the image alone has other sizes: in a cross-attention with as many tokens of the text as of the image it has
        the same, and comes before each."""
        return self.is_joint or self.queries != self.keys


@dataclass(frozen=True)
class Family:
    """name: as artists call such models; network: its class, "module:class".

    stages: (part of the layout, list of its blocks, attribute of a block that says how many heads it has), in execution order.
    kinds: the host's block_type ("" for none) → part, where the host says which block it is in; empty: layers are counted as they come.
    width: attribute of the network: values of a token. patch: attribute of the network: latent pixels of a token along each axis. joint: whether text and image are one sequence. registers:
    tokens before the text. multiple: attribute of the network: text and image are each filled up to a multiple of it. references:
    whether reference images stand behind the image. padding: where the model fills a short text up: "before" or "behind" it.
    """

    name: str
    network: str
    stages: tuple[tuple[str, str, str], ...]
    kinds: Mapping[str, str] = field(default_factory=dict)
    width: str = "hidden_size"
    patch: str = "patch_size"
    joint: bool = True
    registers: int = 0
    multiple: str = ""
    references: bool = False
    padding: str = ""

    def layout(self, network) -> Layout:
        """The layers in which the image looks at the text."""
        found = []
        for part, blocks, heads in self.stages:
            for index, block in enumerate(getattr(network, blocks)):
                found.append(Block(part, index, 0, int(operator.attrgetter(heads)(block))))
        return Layout(tuple(found))

    def segments(self, network, latent: Sequence[int], tokens: int, given: Mapping[str, Any]) -> Segments:
        """latent: (height, width) in latent pixels of what is evaluated, or (frame, height, width); tokens: of the text; given: what else the model is called
        with."""
        grid = self._grid(network, latent)
        pixels = grid[0] * grid[1]
        if not self.joint:
            frames = latent[0] if len(latent) > 2 else 1
            image = slice(0, pixels * frames)
            return Segments(image.stop, tokens, image, slice(0, tokens), grid, is_joint=False, frames=frames)
        multiple = (getattr(network, self.multiple, None) or 1) if self.multiple else 1
        first = self.registers + -(-tokens // multiple) * multiple
        references = sum(map(int, self._references(network, given)))
        total = first + -(-pixels // multiple) * multiple + references
        text = slice(self.registers, self.registers + tokens)
        return Segments(total, total, slice(first, first + pixels), text, grid)

    def filled(self, prompt: Prompt, length: int) -> Prompt:
        """A prompt of as many columns as the model makes of a shorter text; any other as it is."""
        if not self.padding or prompt.length >= length:
            return prompt
        return prompt.filled(length, self.padding == "before")

    def layer(self, layout: Layout, options: Mapping[str, Any], taken: int) -> int | None:
        """The number of the layer that attends now; None for none of the layout's. options: transformer_options; taken: how many layers
        have attended in this call of the model."""
        kind, index = options.get(BLOCK_TYPE, ""), options.get(BLOCK_INDEX)
        if self.kinds and index is not None:
            return layout.numbers.get((self.kinds.get(kind, ""), index, 0))
        return taken if taken < len(layout.blocks) else None

    def _grid(self, network, latent: Sequence[int]) -> tuple[int, int]:
        patch = getattr(network, self.patch)
        height, width = (patch, patch) if isinstance(patch, int) else patch[-2:]
        return -(-latent[-2] // height), -(-latent[-1] // width)

    def _references(self, network, given: Mapping[str, Any]):
        """Tokens of each reference image."""
        for latent in given.get(REFERENCES) or () if self.references else ():
            height, width = self._grid(network, latent.shape)
            yield height * width * (latent.shape[2] if latent.ndim == 5 else 1)


FLUX_STAGES = (("double", "double_blocks", "num_heads"), ("single", "single_blocks", "num_heads"))
FLUX_KINDS = {"double": "double", "single": "single"}
COSMOS_STAGES = (("cross", "blocks", "cross_attn.n_heads"),)

FAMILIES = (
    Family(
        "Lumina 2 and Z-Image", "comfy.ldm.lumina.model:NextDiT", (("single", "layers", "attention.n_local_heads"),),
        {"double": "single"}, width="dim", multiple="pad_tokens_multiple",
    ),
    Family("Flux", "comfy.ldm.flux.model:Flux", FLUX_STAGES, FLUX_KINDS, references=True, padding="before"),
    Family("Chroma", "comfy.ldm.chroma.model:Chroma", FLUX_STAGES, FLUX_KINDS),
    Family(
        "Qwen-Image", "comfy.ldm.qwen_image.model:QwenImageTransformer2DModel",
        (("double", "transformer_blocks", "attn.heads"),), {"double": "double"}, width="inner_dim", references=True,
    ),
    Family(
        "Stable Diffusion 3", "comfy.ldm.modules.diffusionmodules.mmdit:OpenAISignatureMMDITWrapper",
        (("double", "joint_blocks", "x_block.attn.num_heads"),),
    ),
    Family(
        "AuraFlow", "comfy.ldm.aura.mmdit:MMDiT",
        (("double", "double_layers", "attn.n_heads"), ("single", "single_layers", "attn.n_heads")),
        width="cond_seq_linear.out_features", registers=8,
    ),
    Family(
        "Krea 2", "comfy.ldm.krea2.model:SingleStreamDiT", (("single", "blocks", "attn.heads"),), {"single": "single"},
        width="first.out_features", patch="patch", references=True,
    ),
    Family(
        "Cosmos-Predict2", "comfy.ldm.cosmos.predict2:MiniTrainDIT", COSMOS_STAGES, {"": "cross"}, width="model_channels",
        patch="patch_spatial", joint=False,
    ),
    Family(
        "Anima", "comfy.ldm.anima.model:Anima", COSMOS_STAGES, {"": "cross"}, width="model_channels", patch="patch_spatial",
        joint=False, padding="behind",
    ),
    Family(
        "Wan", "comfy.ldm.wan.model:WanModel", (("cross", "blocks", "cross_attn.num_heads"),), {"double": "cross"}, width="dim",
        joint=False,
    ),
)  # fmt: skip


def family_of(network) -> Family | None:
    """The family of a network; None for one that is not in the table."""
    cls = type(uncompiled(network))
    name = f"{cls.__module__}:{cls.__qualname__}"
    return next((family for family in FAMILIES if family.network == name), None)


def network_sampled(patcher) -> Any:
    """The network that a ModelPatcher will have sampled, whatever lies there now."""
    patches = {**object_patches_backup_of(patcher), **object_patches_of(patcher)}
    return patches.get(UNET, network_of(patcher))


def network_of_model(model) -> Any:
    """The network of a model that is being evaluated."""
    return getattr(model, UNET)


def attention_share(network, tokens: int) -> float:
    """What joint attention takes, as a part of what the network takes. tokens: of its sequence.

    Of a layer: a token is multiplied with about 12 · width² weights (4 of attention, 8 of what follows it), and twice with every token.
    """
    width = operator.attrgetter(family_of(network).width)(network)
    return tokens / (6 * width + tokens)


def is_family(patcher) -> bool:
    """Whether the model that a ModelPatcher will have sampled belongs to one."""
    return family_of(network_sampled(patcher)) is not None


def followed_layout_of(patcher, done: str) -> Layout:
    """The layers in which an image looks at its text: of a UNet or of a family. done: what is done with them, "recorded". Raises
    UnsupportedModel, naming what is supported."""
    network = network_sampled(patcher)
    family = family_of(network)
    if family is not None:
        return family.layout(network)
    try:
        return layout_of_model(patcher)
    except UnsupportedModel:
        names = ", ".join(family.name for family in FAMILIES)
        raise UnsupportedModel(
            said(
                "The attention of this model ({kind}) cannot be {done}. Supported: {supported}.",
                kind=class_of(network),
                done=done,
                supported=f"{SUPPORTED}; {names}",
            )
        ) from None
