"""What the tests of Edit Prompt share: a first picture that is remembered, and what every attention layer of the second was
given and gave.

    scene = first("a red cat", "a blue cat")
    with watch(model) as calls: scene.draw_second(edited)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import rig
import torch

from hrv_pack.host.facts.layers import layout_of
from hrv_pack.host.follow.editor import EditOptions, edit
from hrv_pack.host.follow.rememberer import remember

TOLERANCE = 1e-5
LENGTH = 77
SAME = {column: [column] for column in range(LENGTH)}


@dataclass
class Scene:
    """A model that remembers, the latent of its first picture, and both prompts. settings: those of both samplers."""

    model: object
    remembering: object
    clip: object
    memory: object
    first: list
    second: list
    negative: list
    settings: dict
    latent: torch.Tensor = None

    def edited(self, model=None, **options):
        """The model of the second sampler. options: those of `EditOptions`."""
        options = {"cross_percent": 1.0, "self_percent": 1.0, "smaller_grids": False} | options
        return edit(model or self.model, self.memory, self.latent, EditOptions(**options))

    def draw(self, model, positive=None, **changes) -> torch.Tensor:
        """The second picture."""
        positive = self.second if positive is None else positive
        return rig.sample(model, positive, self.negative, **(self.settings | changes))


def scene(
    kind="sdxl",
    first="a red cat on a mat",
    second="a blue cat on a mat",
    negative="ugly",
    model=None,
    **settings,
):
    model = rig.tiny(kind) if model is None else model
    settings.setdefault("latent", rig.empty(1, 8, 12))
    remembering, traced, memory = remember(model, rig.clip(kind), 2**26)
    texts = [rig.encode(traced, text) for text in (first, second, negative)]
    made = Scene(model, remembering, traced, memory, *texts, settings)
    made.latent = rig.sample(remembering, made.first, made.negative, **settings)
    return made


def layout(scene):
    return layout_of(scene.model.model.diffusion_model)


def complaints(caplog) -> list[str]:
    return [record.message for record in caplog.records if "[HRV]" in record.message]


def repeats_and_calls(passes, pictures: int):
    """[(repeated pass of the first picture, present pass)]: the first has one row for each picture."""
    assert len(passes) % 2 == 0 and all(p.rows == pictures for p in passes[::2])
    return list(zip(passes[::2], passes[1::2], strict=True))


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """The same to within float error; latents of random networks are large."""
    return bool((a - b).norm() <= 1e-4 * b.norm())


@dataclass
class Layer:
    """One attention layer of one run of the UNet: (row, pixel or token, heads · d) each."""

    q: torch.Tensor = None
    k: torch.Tensor = None
    v: torch.Tensor = None
    out: torch.Tensor = None


@dataclass
class Pass:
    """One run of the UNet's blocks: layers in execution order, by kind."""

    rows: int
    attn1: list[Layer] = field(default_factory=list)
    attn2: list[Layer] = field(default_factory=list)


@contextlib.contextmanager
def watch(model) -> Iterator[list[Pass]]:
    """Notes every run of the UNet, the repeated ones of Edit Prompt too, by hooks on the layers' projections."""
    unet, passes, handles = model.model.diffusion_model, [], []
    handles.append(
        unet.time_embed.register_forward_hook(lambda m, args, out: passes.append(Pass(out.shape[0])))
    )
    for name, module in unet.named_modules():
        parts = name.split(".")
        if len(parts) < 2 or parts[-2] not in ("attn1", "attn2"):
            continue
        kind, part = parts[-2:]
        if part == "to_q":

            def note_q(m, args, out, kind=kind):
                getattr(passes[-1], kind).append(Layer(q=out.clone()))

            handles.append(module.register_forward_hook(note_q))
        elif part in ("to_k", "to_v"):

            def note(m, args, out, kind=kind, letter=part[-1]):
                setattr(getattr(passes[-1], kind)[-1], letter, out.clone())

            handles.append(module.register_forward_hook(note))
        elif part == "to_out":

            def note_out(m, args, kind=kind):
                getattr(passes[-1], kind)[-1].out = args[0].clone()

            handles.append(module.register_forward_pre_hook(note_out))
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()


def probabilities(q: torch.Tensor, k: torch.Tensor, heads: int) -> torch.Tensor:
    """softmax(QKᵀ/√d) in float64: (row, head, pixel, token)."""
    q, k = (t.double().unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k))
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1)


def apply(p: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """P · V: (row, pixel, heads · d)."""
    return (p @ v.double().unflatten(-1, (p.shape[1], -1)).transpose(1, 2)).transpose(1, 2).flatten(-2)


def assert_cross(layout, repeated: Pass, present: Pass, rows: slice, pairs: dict, factors=None) -> None:
    """The present pass gave P' · r · V in these rows and P · V in the others, in every layer.

    pairs: target column → source columns whose shares it takes, None for its own. factors: {column: (head,)}.
    """
    for number, block in enumerate(layout.blocks):
        layer, source = present.attn2[number], repeated.attn2[number]
        own = probabilities(layer.q, layer.k, block.heads)
        theirs = probabilities(source.q, source.k, block.heads)
        length = len(pairs)
        p = own.clone()
        for column, sources in pairs.items():
            if sources is not None:
                p[rows][..., column] = theirs[..., sources].sum(-1)
                p[rows][..., column + length :: length] = 0  # repeats: what they had is in the first
            if factors is not None and column in factors:
                r = factors[column][layout.span(number)].double()
                p[rows][..., column::length] *= r[None, :, None, None]
        error = (layer.out.double() - apply(p, layer.v)).abs().max().item()
        assert error <= TOLERANCE, f"cross-attention of {block}: off by {error}"


def assert_self(layout, repeated: Pass, present: Pass, rows: slice, edited: set[int]) -> None:
    """In these rows the layers `edited` used the repeated pass's queries and keys, in all else their own."""
    for number, block in enumerate(layout.blocks):
        layer, source = present.attn1[number], repeated.attn1[number]
        p = probabilities(layer.q, layer.k, block.heads)
        if number in edited:
            p[rows] = probabilities(source.q, source.k, block.heads)
        error = (layer.out.double() - apply(p, layer.v)).abs().max().item()
        assert error <= TOLERANCE, f"self-attention of {block}: off by {error}"
