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
from dataclasses import dataclass
from types import SimpleNamespace
from unittest import mock

import comfy.ldm.modules.attention as attention
import comfy.model_base
import comfy.sd
import comfy.supported_models
import models
import rig
import torch
from stand_in_models import shaped
from token_shapes import ADAPTER, SHAPES, WIDTH, Place

from hrv_pack.host.follow.recorder import RecordOptions, attach
from hrv_pack.hrv.prompt import PAD, TEXT
from hrv_pack.hrv.prompt.pieces import prompt_of

VISION_WIDTH = 1280  # of what CLIP Vision gives


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


def text_encoder(model, tokenizer, config: dict, **options):
    """A CLIP of ComfyUI's with the family's real tokenizer and a small random Qwen. config: option that the model takes its sizes by → those
    that differ from family to family; options: more of them."""
    ((name, own),) = config.items()
    target = type("Target", (), {"params": {}, "clip": model, "tokenizer": tokenizer})
    sizes = {
        "hidden_size": WIDTH,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 32,
        **own,
    }
    made = comfy.sd.CLIP(target, model_options={**options, name: sizes})
    models.fill(made.cond_stage_model, 1)
    return made


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
        elif name == "clip_vision_output":
            seen = torch.randn(1, value, VISION_WIDTH, generator=generator)
            values[name] = SimpleNamespace(penultimate_hidden_states=seen)
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


def choose(backend: str, monkeypatch) -> None:
    """What ComfyUI's networks attend with, as an option of its command line chooses it."""
    chosen = getattr(attention, backend)
    for module in list(sys.modules.values()):
        for name in ("optimized_attention", "optimized_attention_masked"):
            if getattr(module, "__name__", "").startswith("comfy.ldm") and hasattr(module, name):
                monkeypatch.setattr(module, name, chosen)


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
