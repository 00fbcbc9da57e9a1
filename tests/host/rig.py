"""What the recorder's tests share: small models in this process, one call to sample, and what the attention
really computed, found without any of the recorder's own code.

    rig.sample(model, positive, negative, seed=5, steps=2)        → latent, as node KSampler returns it
    with rig.watch(model) as calls: …                             → q, k, v, output and context of every call of the UNet
    rig.expected(calls, layout, embedding, columns)               → block → Σ P, the plainest way
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import comfy.model_management
import comfy.samplers
import models
import nodes
import torch
from comfy_extras import nodes_custom_sampler

from hrv_pack.host.follow.recorder import RecordOptions, attach

ON_GPU = comfy.model_management.get_torch_device().type == "cuda"
WIDTH = {"sd1": models.TINY_SD1["context_dim"], "sdxl": models.TINY_SDXL["context_dim"]}
CONFIG = {"sd1": models.TINY_SD1, "sdxl": models.TINY_SDXL}


@functools.cache
def tiny(kind: str):
    """A small random model of this shape (`sd1`, `sdxl`); shared, so leave it as you found it."""
    return models.random_model(CONFIG[kind])


@functools.cache
def clip(kind: str):
    """A small random text encoder whose embeddings fit `tiny(kind)`."""
    return models.random_clip(WIDTH[kind])


@torch.inference_mode()
def encode(clip, text: str) -> list:
    """What CLIPTextEncode gives; with a pooled output of the size that the small SDXL wants."""
    encoded = clip.encode_from_tokens_scheduled(clip.tokenize(text))
    return [[c, {**values, "pooled_output": torch.ones(1, 24)}] for c, values in encoded]


def empty(batch: int = 1, height: int = 16, width: int = 24) -> dict:
    """An empty latent, sizes in latent pixels."""
    return {"samples": torch.zeros(batch, 4, height, width)}


@torch.inference_mode()  # as the host runs nodes
def sample(
    model, positive, negative, latent=None, seed=5, steps=2, cfg=7.0, sampler="euler", **more
) -> torch.Tensor:
    """What node KSampler returns."""
    latent = empty() if latent is None else latent
    (out,) = nodes.common_ksampler(
        model, seed, steps, cfg, sampler, "normal", positive, negative, latent, **more
    )
    return out["samples"]


@torch.inference_mode()
def sample_custom(guider, latent=None, seed=5, steps=2, sampler="euler") -> torch.Tensor:
    """What node SamplerCustomAdvanced returns."""
    noise = nodes_custom_sampler.Noise_RandomNoise(seed)
    sigmas = comfy.samplers.calculate_sigmas(
        guider.model_patcher.get_model_object("model_sampling"), "normal", steps
    )
    node = nodes_custom_sampler.SamplerCustomAdvanced
    out = node.execute(noise, guider, comfy.samplers.sampler_object(sampler), sigmas, latent or empty())
    return out.result[0]["samples"]


@dataclass
class Studio:
    """A model, its recording clone, and two prompts encoded through the traced CLIP. latent: of its last sampling, if any."""

    model: object
    recorded: object
    clip: object
    recording: object
    positive: list
    negative: list
    latent: dict | None = None

    def sample(self, batch: int = 1) -> Studio:
        """Records one sampling."""
        self.latent = {"samples": sample(self.recorded, self.positive, self.negative, empty(batch))}
        return self


def studio(kind="sdxl", positive="a red cat on a mat", negative="ugly", model=None, **options) -> Studio:
    """Everything for one recorded sampling; `options` are those of the recorder (`negative`: record_negative)."""
    if "record_negative" in options:
        options["negative"] = options.pop("record_negative")
    model = tiny(kind) if model is None else model
    recorded, traced, recording = attach(model, clip(kind), RecordOptions(**options))
    made = Studio(model, recorded, traced, recording, encode(traced, positive), encode(traced, negative))
    warm(made.model, made.positive, made.negative)
    return made


def warm(model, positive, negative, latent=None) -> None:
    """On a graphics card the first sampling with a model differs from all later ones in the last digits, without the pack as well."""
    if model.load_device.type == "cuda":
        sample(model, positive, negative, latent, steps=1)


def last_run(recording):
    return recording.runs[-1]


def entry(recording, role="positive", index=0):
    """The only entry of this role and place in the newest run."""
    (found,) = [e for e in last_run(recording).entries if (e.role, e.index) == (role, index)]
    return found


@dataclass
class Call:
    """One call of the UNet: its context (row, token, channel), its latent's shape, and of each layer that ran, in execution
    order, its key, q, k and v and what the attention made of them, (row, pixel or token, heads · d)."""

    context: torch.Tensor
    shape: tuple[int, ...]
    keys: list[tuple[str, int, int]] = field(default_factory=list)
    q: list[torch.Tensor] = field(default_factory=list)
    k: list[torch.Tensor] = field(default_factory=list)
    v: list[torch.Tensor] = field(default_factory=list)
    out: list[torch.Tensor] = field(default_factory=list)


@contextlib.contextmanager
def watch(model) -> Iterator[list[Call]]:
    """Notes what goes into and comes out of every cross-attention, by hooks on the layers' own to_q, to_k, to_v, to_out."""
    unet, calls, handles = model.model.diffusion_model, [], []

    def called(module, args, kwargs):
        calls.append(Call(kwargs["context"].cpu().clone(), tuple(args[0].shape)))

    handles.append(unet.register_forward_pre_hook(called, with_kwargs=True))
    for name, module in unet.named_modules():
        if name.endswith("attn2.to_q"):
            note_key = lambda m, i, out, name=name: calls[-1].keys.append(key_of(name))  # noqa: E731
            handles.append(module.register_forward_hook(note_key))
        for part in ("q", "k", "v"):
            if name.endswith(f"attn2.to_{part}"):
                note = lambda m, i, out, part=part: getattr(calls[-1], part).append(out.cpu().clone())  # noqa: E731
                handles.append(module.register_forward_hook(note))
        if name.endswith("attn2.to_out"):
            handles.append(
                module.register_forward_pre_hook(lambda m, args: calls[-1].out.append(args[0].cpu().clone()))
            )
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def key_of(name: str) -> tuple[str, int, int]:
    """The key of the layer that a module of the UNet belongs to: input_blocks.4.1.transformer_blocks.0.attn2.to_q → input, 4, 0."""
    stage, block, *_, transformer, _, _ = name.split(".")
    part = stage.partition("_")[0]
    return part, 0 if part == "middle" else int(block), int(transformer)


def probabilities(call: Call, block: int, heads: int) -> torch.Tensor:
    """softmax(QKᵀ/√d) of one layer in float64: (row, head, pixel, token)."""
    q, k = (
        t.double().reshape(t.shape[0], t.shape[1], heads, -1).transpose(1, 2)
        for t in (call.q[block], call.k[block])
    )
    return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim=-1)


def expected(
    calls: list[Call], layout, embedding: torch.Tensor, columns, size: tuple[int, int] | None = None
) -> dict[int, torch.Tensor]:
    """Block → Σ P over all calls, for the rows whose context is `embedding` (1, token, channel), repeated or not:
    float64 (row, head, column, pixel). size: only calls on a latent, or a crop of it, of this size."""
    sums: dict[int, torch.Tensor] = {}
    length = embedding.shape[1]
    for call in calls:
        repeats, rest = divmod(call.context.shape[1], length)
        if rest or (size is not None and call.shape[-2:] != size):
            continue
        same = (call.context == embedding.to(call.context).repeat(1, repeats, 1)).flatten(1).all(dim=1)
        if not same.any():
            continue
        for number, block in enumerate(layout.blocks):
            if block.key not in call.keys:  # a cache skipped it
                continue
            p = probabilities(call, call.keys.index(block.key), block.heads)[same]
            folded = sum(p[..., r * length : (r + 1) * length] for r in range(repeats))
            kept = folded[..., list(columns)].transpose(-1, -2)
            sums[number] = sums.get(number, 0) + kept
    return sums


def assert_maps(
    found, calls: list[Call], layout, embedding: torch.Tensor, tolerance: float, size=None, layers=None
) -> None:
    """Every block and head of an entry holds the expected Σ P (one time bin, no crop). layers: the only ones that were
    recorded (None: all)."""
    layers = set(range(len(layout.blocks))) if layers is None else layers
    wanted = expected(calls, layout, embedding, found.columns, size)
    assert set(found.maps) == layers <= set(wanted)
    for number, block in enumerate(layout.blocks):
        if number not in layers:
            continue
        maps = found.maps[number].float().sum(1).flatten(-2).double()
        assert maps.shape[1] == block.heads
        assert maps.shape == wanted[number].shape, f"layer {block}"
        error = (maps - wanted[number]).abs().max().item()
        assert error <= tolerance, f"layer {block}: off by {error}"
