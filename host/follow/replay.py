"""Runs the UNet once more on what it was given in an earlier sampling, and takes the queries and keys of its layers."""

from __future__ import annotations

import functools
import uuid
from dataclasses import dataclass, field

import torch

from ...hrv.heads.layout import Layout
from ...hrv.steer.source_run import Frame
from ..facts.options import ATTN1, ATTN2, COND_OR_UNCOND, UUIDS
from ..facts.wrappers import unwrapped
from .base.calls import UnetCall
from .base.layer_entries import Attention, Kind, Layer, LayerCall, layers_of, with_entries

QK = tuple[torch.Tensor, torch.Tensor]


@dataclass
class Taken:
    """Queries and keys of one run of the UNet by layer, (image, pixel or token, heads · d), and its output."""

    layers: dict[Kind, dict[int, QK]] = field(default_factory=lambda: {ATTN1: {}, ATTN2: {}})
    pixels: dict[int, int] = field(default_factory=dict)
    output: torch.Tensor | None = None

    def only_smaller_grids(self) -> None:
        """Lets go of the self-attention of the layers with the largest grid."""
        largest = max(self.pixels.values(), default=0)
        kept = {n: qk for n, qk in self.layers[ATTN1].items() if self.pixels[n] < largest}
        self.layers[ATTN1] = kept


def replay(call: UnetCall, layout: Layout, frame: Frame, kinds: tuple[Kind, ...], rows: slice) -> Taken:
    """The UNet's own forward, without the wrappers of any pack, on a remembered frame.

    call: the present one, whose control signals and patches act. layout: by which layers are numbered. kinds: what is taken.
    rows: those of the call that stand for the frame's images.
    """
    taken = Taken()
    x, context = frame.x.to(call.x), frame.context.to(call.x)
    timesteps, y = (None if t is None else t.to(call.x.device) for t in (frame.timesteps, frame.y))
    number = call.options[COND_OR_UNCOND][rows.start // len(frame.x)]
    # the id is nobody's, so that no pack takes these rows for those of a prompt it follows
    options = {**call.options, UUIDS: [uuid.uuid4()], COND_OR_UNCOND: [number]}
    for kind in kinds:
        entry_for = functools.partial(_taking, taken, kind)
        options = with_entries(layers_of(call.unet, layout, kind), options, kind, entry_for)
    control = signals_of(call.control, rows, len(call.x))
    taken.output = unwrapped(call.executor)(x, timesteps, context, y, control, options)
    return taken


def signals_of(control, rows: slice, batch: int):
    """The control signals of some rows of a call of `batch` rows, in lists of their own: the UNet empties them."""
    if control is None:
        return None
    return {
        part: [s[rows] if torch.is_tensor(s) and s.shape[0] == batch else s for s in signals]
        for part, signals in control.items()
    }


def _taking(taken: Taken, kind: Kind, layer: Layer) -> Attention | None:
    """An entry that keeps the layer's queries and keys."""
    if layer.is_foreign:
        return None

    def entry(q, k, v, extra_options):
        taken.layers[kind][layer.number] = q, k
        taken.pixels[layer.number] = q.shape[1]
        return LayerCall(layer, q, k, v, extra_options).attend()

    return entry
