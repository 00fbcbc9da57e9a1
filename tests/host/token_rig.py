"""Small transformers with random weights in ComfyUI's own classes, and what their attention really computed, in float64.

model, prompt, latent = token_rig.tiny("Flux")
with token_rig.watch(model) as (watched, calls): …       → every attention of the model, as the kernel is called
token_rig.witness(calls, place, columns)                 → Σ P and Σ mass of each layer, the plainest way
with token_rig.heard() as calls: …                       → every attention, and what its layer was given
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from unittest import mock

import comfy.ldm.modules.attention as attention
import comfy.model_base
import comfy.supported_models
import rig
import torch
from stand_in_models import ModelType, shaped

from hrv_pack.host.follow.recorder import RecordOptions, attach
from hrv_pack.hrv.prompt import PAD, TEXT
from hrv_pack.hrv.prompt.pieces import prompt_of

WIDTH = 24  # of the text's embedding
LUMINA = {
    "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 48, "n_layers": 3, "n_refiner_layers": 1, "n_heads": 4,
    "n_kv_heads": 2, "qk_norm": True, "cap_feat_dim": WIDTH, "axes_dims": [4, 4, 4], "axes_lens": [300, 512, 512], "multiple_of": 16,
}  # fmt: skip
Z_IMAGE = {
    **LUMINA, "dim": 256, "n_kv_heads": 4, "axes_dims": [16, 24, 24], "z_image_modulation": True, "time_scale": 1000.0,
    "pad_tokens_multiple": 32,
}  # fmt: skip
FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 24, "context_in_dim": WIDTH, "hidden_size": 48,
    "mlp_ratio": 2.0, "num_heads": 2, "depth": 2, "depth_single_blocks": 3, "axes_dim": [8, 8, 8], "theta": 10000, "patch_size": 2,
    "qkv_bias": True, "guidance_embed": True, "txt_ids_dims": [],
}  # fmt: skip
CHROMA = {
    "image_model": "chroma", "in_channels": 64, "out_channels": 64, "context_in_dim": WIDTH, "hidden_size": 48, "mlp_ratio": 2.0,
    "num_heads": 2, "depth": 2, "depth_single_blocks": 3, "axes_dim": [8, 8, 8], "theta": 10000, "patch_size": 2, "qkv_bias": True,
    "in_dim": 64, "out_dim": 48, "hidden_dim": 32, "n_layers": 1, "txt_ids_dims": [], "vec_in_dim": None,
}  # fmt: skip
QWEN = {
    "image_model": "qwen_image", "patch_size": 2, "in_channels": 64, "out_channels": 16, "num_layers": 3, "attention_head_dim": 24,
    "num_attention_heads": 2, "joint_attention_dim": WIDTH, "axes_dims_rope": [8, 8, 8],
}  # fmt: skip
SD3 = {
    "in_channels": 16, "patch_size": 2, "depth": 2, "num_blocks": 3, "num_patches": 256, "pos_embed_max_size": 16, "adm_in_channels": 24,
    "pos_embed_scaling_factor": None, "input_size": None, "x_block_self_attn_layers": [0, 1],
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": WIDTH, "out_features": 128}},
}  # fmt: skip
FLUX2 = {
    **FLUX, "image_model": "flux2", "vec_in_dim": None, "patch_size": 1, "in_channels": 128, "out_channels": 128, "axes_dim": [4, 4, 8, 8],
    "global_modulation": True, "mlp_silu_act": True, "qkv_bias": False, "ops_bias": False, "default_ref_method": "index",
    "ref_index_scale": 10.0, "txt_ids_dims": [3],
}  # fmt: skip
AURA = {"in_channels": 4, "out_channels": 4, "dim": 48, "n_layers": 5, "n_double_layers": 2, "n_heads": 3, "global_conddim": 48,
        "cond_seq_dim": WIDTH, "max_seq": 256}  # fmt: skip
COSMOS = {
    "image_model": "cosmos_predict2", "max_img_h": 240, "max_img_w": 240, "max_frames": 128, "in_channels": 16, "out_channels": 16,
    "patch_spatial": 2, "patch_temporal": 1, "concat_padding_mask": True, "crossattn_emb_channels": WIDTH, "pos_emb_cls": "rope3d",
    "pos_emb_learnable": True, "pos_emb_interpolation": "crop", "min_fps": 1, "max_fps": 30, "use_adaln_lora": True, "adaln_lora_dim": 16,
    "model_channels": 48, "num_blocks": 3, "num_heads": 2, "extra_per_block_abs_pos_emb": False, "rope_h_extrapolation_ratio": 4.0,
    "rope_w_extrapolation_ratio": 4.0, "rope_t_extrapolation_ratio": 1.0,
}  # fmt: skip
WAN = {
    "image_model": "wan2.1", "model_type": "t2v", "patch_size": (1, 2, 2), "text_len": 16, "in_dim": 16, "dim": 48, "ffn_dim": 48,
    "freq_dim": 16, "text_dim": WIDTH, "out_dim": 16, "num_heads": 2, "num_layers": 3,
}  # fmt: skip
ADAPTER = {"source_dim": WIDTH, "target_dim": WIDTH, "model_dim": WIDTH, "num_layers": 1, "num_heads": 2}
"""Anima's, which is of one size."""
KREA = {
    "image_model": "krea2", "features": 64, "heads": 4, "kvheads": 2, "layers": 3, "multiplier": 2, "channels": 16, "txtlayers": 3,
    "txtdim": WIDTH // 3, "txtheads": 2, "txtkvheads": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A family's small model. layers: (part, heads) of each that looks at the text. patch: latent pixels of a token; multiple: text and
    image are filled up to it; frames: whether its latents have an axis for them; values: what its conditioning holds beside the text."""

    config: dict
    supported: str
    base: str
    layers: tuple[tuple[str, int], ...]
    kind: ModelType = ModelType.FLOW
    channels: int = 16
    patch: int = 2
    multiple: int = 1
    registers: int = 0
    frames: bool = False
    values: tuple = ()
    references: int = 0
    fills: int = 0  # the model fills a shorter text up with zeros
    fills_behind: bool = False
    joint: bool = True

    def first(self, tokens: int) -> int:
        """The column of the first of so many tokens."""
        return 0 if self.fills_behind else max(self.fills - tokens, 0)

    def place(self, tokens: int, height: int, width: int, frames: int = 1) -> Place:
        """Where text and image stand in a call."""
        grid = (-(-height // self.patch), -(-width // self.patch))
        pixels = grid[0] * grid[1]

        def filled(count: int) -> int:
            return -(-count // self.multiple) * self.multiple

        tokens = max(tokens, self.fills)
        if not self.joint:
            return Place(pixels * frames, tokens, range(tokens), range(pixels * frames), grid)
        first = self.registers + filled(tokens)
        total = first + filled(pixels) + self.references
        return Place(
            total, total, range(self.registers, self.registers + tokens), range(first, first + pixels), grid
        )


@dataclass(frozen=True)
class Place:
    queries: int
    keys: int
    text: range
    image: range
    grid: tuple[int, int]

    def has(self, call: Call) -> bool:
        """Whether it is one of text and image."""
        return (call.q.shape[2], call.k.shape[2]) == (self.queries, self.keys)


GUIDED = (("pooled_output", 24), ("guidance", 3.5))
_FLUX = Shape(
    FLUX, "Flux", "Flux", (("double", 2),) * 2 + (("single", 2),) * 3, ModelType.FLUX, values=GUIDED
)
_QWEN = Shape(QWEN, "QwenImage", "QwenImage", (("double", 2),) * 3, frames=True)
SHAPES = {
    "Lumina 2": Shape(LUMINA, "Lumina2", "Lumina2", (("single", 4),) * 3),
    "Z-Image": Shape(Z_IMAGE, "ZImage", "Lumina2", (("single", 4),) * 3, multiple=32),
    "Flux": _FLUX,
    "Flux Kontext": replace(_FLUX, values=(*GUIDED, ("reference_latents", (10, 6))), references=5 * 3),
    "Chroma": Shape(CHROMA, "Chroma", "Chroma", (("double", 2),) * 2 + (("single", 2),) * 3, ModelType.FLUX, values=GUIDED),
    "Qwen-Image": _QWEN,
    "Qwen-Image with a mask": replace(_QWEN, values=(("attention_mask", 3),)),
    "Qwen-Image with a reference": replace(_QWEN, values=(("reference_latents", (1, 6, 10)),), references=3 * 5),
    "Flux 2": replace(_FLUX, config=FLUX2, supported="Flux2", base="Flux2", channels=128, patch=1, fills=512),
    "AuraFlow": Shape(AURA, "AuraFlow", "AuraFlow", (("double", 3),) * 2 + (("single", 3),) * 3, channels=4, registers=8),
    "Cosmos-Predict2": Shape(
        COSMOS, "CosmosT2IPredict2", "CosmosPredict2", (("cross", 2),) * 3, ModelType.FLOW_COSMOS, frames=True, joint=False
    ),
    "Anima": Shape(
        {**COSMOS, "image_model": "anima"}, "Anima", "Anima", (("cross", 2),) * 3, frames=True, joint=False, fills=512,
        fills_behind=True, values=(("t5xxl_ids", None), ("t5xxl_weights", None)),
    ),
    "Wan": Shape(WAN, "WAN21_T2V", "WAN21", (("cross", 2),) * 3, frames=True, joint=False),
    "Krea 2": Shape(KREA, "Krea2", "Krea2", (("single", 4),) * 3, frames=True),
    "Stable Diffusion 3": Shape(SD3, "SD3", "SD3", (("double", 2),) * 3, values=(("pooled_output", 24),)),
}  # fmt: skip


def known() -> list[str]:
    """Families that this release of ComfyUI has."""
    return [
        name
        for name, shape in SHAPES.items()
        if hasattr(comfy.supported_models, shape.supported) and hasattr(comfy.model_base, shape.base)
    ]


@functools.cache
def tiny(family: str):
    """A small random model; shared, so leave it as you found it."""
    shape = SHAPES[family]
    if family != "Anima":
        return shaped(shape.config, shape.supported, shape.base, shape.kind)
    module = importlib.import_module("comfy.ldm.anima.model")
    with mock.patch.object(module, "LLMAdapter", functools.partial(module.LLMAdapter, **ADAPTER)):
        return shaped(shape.config, shape.supported, shape.base, shape.kind)


def prompt(family: str, tokens: int = 9, seed: int = 0) -> list:
    """A conditioning that no text encoder made."""
    generator = torch.Generator().manual_seed(seed)
    values: dict = {}
    for name, value in SHAPES[family].values:
        if name == "pooled_output":
            values[name] = torch.randn(1, value, generator=generator)
        elif name == "reference_latents":
            values[name] = [torch.randn(1, 16, *value, generator=generator)]
        elif name == "attention_mask":
            values[name] = (torch.arange(tokens)[None] >= value).long()
        elif name == "t5xxl_ids":
            values[name] = torch.randint(0, 32128, (tokens,), generator=generator, dtype=torch.int)
        elif name == "t5xxl_weights":
            values[name] = torch.ones(tokens)
        else:
            values[name] = value
    return [[torch.randn(1, tokens, WIDTH, generator=generator), values]]


TYPED = "a red star"
PIECES = {1: "a", 2: "red", 3: "st", 4: "ar"}
"""Where its words stand."""


def worded(family: str, tokens: int = 9, seed: int = 0) -> list:
    """The same as `prompt`, of a text that is known."""
    ((embedding, values),) = prompt(family, tokens, seed)
    columns = [
        (TEXT, PIECES[column], 1.0) if column in PIECES else (PAD, "", 1.0) for column in range(tokens)
    ]
    return [[embedding, {**values, "hrv_prompt": prompt_of(columns, TYPED, "t5xxl")}]]


def empty(family: str, batch: int = 1, height: int = 10, width: int = 14, frames: int = 1) -> dict:
    shape = SHAPES[family]
    return {
        "samples": torch.zeros(batch, shape.channels, *((frames,) if shape.frames else ()), height, width)
    }


@dataclass
class Studio:
    family: str
    model: object
    recorded: object
    recording: object

    @property
    def run(self):
        return self.recording.runs[-1]


def studio(family: str, **options) -> Studio:
    """A model beside its recording clone."""
    model = tiny(family)
    recorded, _, recording = attach(model, None, RecordOptions(**{"every": 1, **options}))
    return Studio(family, model, recorded, recording)


@dataclass
class Call:
    """One attention, as the kernel was called: (row, head, token, d)."""

    q: torch.Tensor
    k: torch.Tensor
    mask: torch.Tensor | None
    chunks: list


@contextlib.contextmanager
def watch(model) -> Iterator[tuple[object, list[Call]]]:
    """A clone of the model with an override that another pack might have put there, and every attention it saw."""
    calls: list[Call] = []
    clone = model.clone()
    options = clone.model_options["transformer_options"] = dict(clone.model_options["transformer_options"])

    def override(func, q, k, v, heads, mask=None, *args, **kwargs):
        shaped_q, shaped_k = q, k
        if not kwargs.get("skip_reshape"):
            shaped_q, shaped_k = (one.unflatten(-1, (heads, -1)).transpose(1, 2) for one in (q, k))
        chunks = kwargs["transformer_options"]["cond_or_uncond"]
        calls.append(
            Call(
                shaped_q.cpu().clone(),
                shaped_k.cpu().clone(),
                None if mask is None else mask.cpu().clone(),
                chunks,
            )
        )
        return func(q, k, v, heads, mask, *args, **kwargs)

    options["optimized_attention_override"] = override
    yield clone, calls


def witness(calls: list[Call], place: Place, rows: slice, layers: int) -> list[torch.Tensor]:
    """For each layer Σ P over its calls in float64: (row, head, text column + mass, height, width), of a video the mean over its frames."""
    joint = [call for call in calls if place.has(call)]
    sums: list[torch.Tensor] = []
    for number, call in enumerate(joint):
        q, k = call.q[rows].double(), call.k[rows].double()
        k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
        logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if call.mask is not None:
            logits = logits + call.mask[rows].double()[:, None]
        p = logits.softmax(-1)[:, :, list(place.image)][..., list(place.text)]
        p = (
            torch.cat([p, p.sum(-1, keepdim=True)], -1)
            .movedim(-1, 2)
            .unflatten(-1, (-1, *place.grid))
            .mean(-3)
        )
        if number < layers:
            sums.append(p)
        else:
            sums[number % layers] = sums[number % layers] + p
    return sums


@dataclass
class Heard(Call):
    """An attention as a network called it. v: as q; out: what the network was given, plain: what ComfyUI's own attention gives, both
    (row, token, head, d); heads: of the queries."""

    v: torch.Tensor
    out: torch.Tensor
    plain: torch.Tensor


@contextlib.contextmanager
def heard() -> Iterator[list[Heard]]:
    """Every attention of ComfyUI's networks, and what came out of it in the end."""
    calls: list[Heard] = []
    own = attention.optimized_attention

    def noting(q, k, v, heads, *args, **kwargs):
        out = own(q, k, v, heads, *args, **kwargs)
        options = kwargs.get("transformer_options") or {}
        plain = own(q, k, v, heads, *args, **{**kwargs, "transformer_options": {}})
        given = (q, k, v)
        if not kwargs.get("skip_reshape"):
            width = q.shape[-1] // heads
            given = [one.flatten(2).unflatten(-1, (-1, width)).transpose(1, 2) for one in given]
        out, plain = (
            one.transpose(1, 2).clone() if kwargs.get("skip_output_reshape") else one.unflatten(-1, (heads, -1)).clone()
            for one in (out, plain)
        )  # fmt: skip
        mask = kwargs.get("mask", args[0] if args else None)
        calls.append(Heard(*given[:2], mask, options.get("cond_or_uncond", []), given[2], out, plain))
        return out.transpose(1, 2) if kwargs.get("skip_output_reshape") else out.flatten(-2)

    named = [
        (module, name)
        for module in list(sys.modules.values())
        for name in ("optimized_attention", "optimized_attention_masked")
        if getattr(module, "__name__", "").startswith("comfy.ldm") and hasattr(module, name)
    ]
    before = [getattr(module, name) for module, name in named]
    for module, name in named:
        setattr(module, name, noting)
    try:
        yield calls
    finally:
        for (module, name), one in zip(named, before, strict=True):
            setattr(module, name, one)


def steered_witness(call: Heard, place: Place, rows: slice, factors: torch.Tensor) -> torch.Tensor:
    """Σ_j P[x, j] · r[j] · V[j] of the image's queries of some rows in float64: (row, pixel, head, d). factors: (text column, head)."""
    q, k, v = (one[rows].double() for one in (call.q, call.k, call.v))
    k, v = (one.repeat_interleave(q.shape[1] // one.shape[1], 1) for one in (k, v))
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if call.mask is not None:
        logits = logits + (call.mask[rows] if len(call.mask) > 1 else call.mask).double()[:, None]
    p = logits.softmax(-1)[:, :, list(place.image)]
    p[..., list(place.text)] *= factors.double().T[:, None]
    return (p @ v).transpose(1, 2)


def draw(model, positive, negative, latent, steps: int = 2, cfg: float = 3.0, **more) -> torch.Tensor:
    return rig.sample(model, positive, negative, latent, steps=steps, cfg=cfg, **more)
