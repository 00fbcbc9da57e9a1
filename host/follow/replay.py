"""Runs the UNet once more on what it was given in an earlier sampling, and takes the queries and keys of its layers."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from ...hrv.heads.layout import Block, Layout
from ...hrv.steer.source_run import Frame
from ..facts.layers import attend, has_foreign_forward, transformers

Kind = Literal["attn1", "attn2"]
"""The host's names: self-attention and cross-attention."""
Attention = Callable[..., torch.Tensor]
"""(q, k, v, extra_options) → what the layer gives, each (row, pixel or token, heads · d)."""
QK = tuple[torch.Tensor, torch.Tensor]


@dataclass
class Taken:
    """Queries and keys of one run of the UNet by layer, (picture, pixel or token, heads · d), and its output."""

    layers: dict[Kind, dict[int, QK]] = field(default_factory=lambda: {"attn1": {}, "attn2": {}})
    pixels: dict[int, int] = field(default_factory=dict)
    output: torch.Tensor | None = None

    def only_smaller_grids(self) -> None:
        """Lets go of the self-attention of the layers with the largest grid."""
        largest = max(self.pixels.values(), default=0)
        kept = {n: qk for n, qk in self.layers["attn1"].items() if self.pixels[n] < largest}
        self.layers["attn1"] = kept


def replay(
    executor,
    layout: Layout,
    frame: Frame,
    kinds: tuple[Kind, ...],
    present: torch.Tensor,
    control,
    rows: slice,
    options,
) -> Taken:
    """The UNet's own forward, without the wrappers of any pack, on a remembered frame.

    executor: of a DIFFUSION_MODEL wrapper. layout: by which layers are numbered. present, control, options: the latents (row, channel, height, width), control
    signals and transformer_options of the present call; patches in the options act. rows: those that stand for the frame's
    pictures.
    """
    taken = Taken()
    x, context = frame.x.to(present), frame.context.to(present)
    timesteps, y = (None if t is None else t.to(present.device) for t in (frame.timesteps, frame.y))
    number = options["cond_or_uncond"][rows.start // len(frame.x)]
    # the id is nobody's, so that no pack takes these rows for those of a prompt it follows
    options = {**options, "uuids": [uuid.uuid4()], "cond_or_uncond": [number]}
    for kind in ("attn1", "attn2"):
        options = with_entries(executor.class_obj, layout, options, kind, _taking(taken, kind, kind in kinds))
    taken.output = executor.original(
        x, timesteps, context, y, signals_of(control, rows, len(present)), options
    )
    return taken


def with_entries(unet, layout: Layout, options: dict[str, Any], kind: Kind, entry_for) -> dict[str, Any]:
    """A copy of transformer_options with replacements for the layers of one kind; it dies with the call.

    entry_for(number, block, module, occupant, options) → an `Attention`, or None to leave the layer as it is. occupant: the
    replacement that was there before.
    """
    replace = options.get("patches_replace", {})
    entries = dict(replace.get(kind, {}))
    for block, transformer in transformers(unet):
        number = layout.numbers.get(block.key)
        if number is None or (kind == "attn1" and transformer.disable_self_attn):
            continue
        occupant = entries.get(block.key, entries.get(block.key[:2]))
        entry = entry_for(number, block, getattr(transformer, kind), occupant, options)
        if entry is not None:
            entries[block.key] = entry
    return {**options, "patches_replace": {**replace, kind: entries}}


def signals_of(control, rows: slice, batch: int):
    """The control signals of some rows of a call of `batch` rows, in lists of their own: the UNet empties them."""
    if control is None:
        return None
    return {
        part: [s[rows] if torch.is_tensor(s) and s.shape[0] == batch else s for s in signals]
        for part, signals in control.items()
    }


def _taking(taken: Taken, kind: Kind, wanted: bool):
    def entry_for(number: int, block: Block, module, occupant, options) -> Attention | None:
        if not wanted or (occupant is None and has_foreign_forward(module)):
            return None

        def entry(q, k, v, extra_options):
            taken.layers[kind][number] = q, k
            taken.pixels[number] = q.shape[1]
            return attend(occupant, q, k, v, extra_options, options)

        return entry

    return entry_for
