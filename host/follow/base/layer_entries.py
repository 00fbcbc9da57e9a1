"""Entries for the attention layers of a UNet in one call, and what becomes of them where another pack replaced attention.

An entry stands in a copy of `transformer_options[PATCHES_REPLACE]`, which dies with the call. It does its own work and then
what would have been done without it (`LayerCall.attend`):

- Another pack has put a replacement for this layer into the options (IPAdapter and the like): that is the `occupant`, and the
  entry calls it.
- Another pack has exchanged ComfyUI's attention function: it is looked up at each call, as the layer itself does.
- Another pack has put its own `forward` on the layer (NAG and the like): an entry would silence it, so none should be made
  (`Layer.is_foreign`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from ....hrv.heads.layout import Block, Layout
from ....hrv.recording.kernel import Form
from ....hrv.recording.probabilities import column_probabilities
from ....hrv.steer.factors import scale_values
from ...facts.layers import transformers
from ...facts.network import CrossAttention, attention_in_layer, has_foreign_forward, has_no_self_attention
from ...facts.options import ACTIVATIONS_SHAPE, ATTN1, PATCHES_REPLACE, occupant_of

Kind = str
"""ATTN1 (self-attention) or ATTN2 (cross-attention)."""
Attention = Callable[..., torch.Tensor]
"""(q, k, v, extra_options) → what the layer gives, each (row, pixel or token, heads · d)."""


@dataclass(eq=False, slots=True)  # made for every layer of every call
class Layer:
    """An attention layer in one call of the UNet. number: in the layout; block: what it is made of now; options: the call's
    transformer_options, without entries of this kind."""

    number: int
    block: Block
    module: CrossAttention
    occupant: Attention | None
    options: dict[str, Any]

    @property
    def is_foreign(self) -> bool:
        """Whether an entry would silence another pack's `forward`."""
        return self.occupant is None and has_foreign_forward(self.module)


@dataclass(eq=False, slots=True)
class LayerCall:
    """One call of a layer, which a follower may read and change.

    q: (row, pixel, heads · d); k, v: (row, pixel or token, heads · d). added: (rows, what is added to the layer's output there).
    """

    layer: Layer
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    extra_options: dict[str, Any]
    added: list[tuple[slice, torch.Tensor]] = field(default_factory=list)

    own_columns: ClassVar[int] = 0
    """How many columns `probabilities` gives beside those of the text."""

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the layer."""
        return tuple(self.extra_options[ACTIVATIONS_SHAPE][-2:])

    @property
    def keys(self) -> int:
        """How many tokens of the text the layer sees."""
        return self.k.shape[1]

    def fits(self, rows: int) -> bool:
        """Whether the layer sees so many rows of the batch, and every pixel of its grid."""
        grid = self.grid
        return self.q.shape[0] == self.k.shape[0] == rows and self.q.shape[1] == grid[0] * grid[1]

    def probabilities(
        self, rows: slice, columns: Sequence[int], length: int, into: torch.Tensor | None
    ) -> torch.Tensor:
        """P of some rows, float32 (row, head, column, pixel), as `column_probabilities` gives it."""
        heads = self.layer.block.heads
        return column_probabilities(self.q[rows], self.k[rows], heads, columns, length, into=into)

    @property
    def seen(self) -> tuple[int, int]:
        """How many rows and tokens have values."""
        return self.v.shape[0], self.v.shape[1]

    def scale_values(self, parts: Sequence[tuple[slice, torch.Tensor, torch.Tensor]]) -> None:
        """Multiplies what the image reads from tokens: (rows, columns, factors) as `hrv.steer.factors.scale_values` wants them."""
        v = self.v.clone()
        for rows, columns, factors in parts:
            scale_values(v, rows, columns, factors)
        self.v = v

    @property
    def is_shared(self) -> bool:
        """Whether another pack gets the same queries and keys next, and might change them."""
        return self.layer.occupant is not None

    @property
    def nbytes(self) -> int:
        """What it holds."""
        return self.q.nbytes + self.k.nbytes

    @property
    def likeness(self) -> tuple:
        """What `form` depends on beside its arguments."""
        q, k = self.q, self.k
        return q.shape, q.stride(), k.shape, k.stride(), q.dtype, q.device, self.grid

    def form(
        self, rows: slice, columns: tuple[int, ...], length: int, sums: torch.Tensor
    ) -> tuple[Form, int, int] | None:
        """The same as `probabilities` for a launch together with other layers: its form, and how many bytes after those of the first row the
        queries and keys begin; None where it cannot be launched. sums: float32 (row, head, column, height, width)."""
        q, k = self.q, self.k
        form = _form(
            (q.shape, q.stride(), k.shape, k.stride(), q.dtype, q.device), (sums.shape, sums.stride()),
            rows.stop - rows.start, self.layer.block.heads, (columns, length),
        )  # fmt: skip
        if form is None:
            return None
        first = rows.start * q.element_size()
        return form, first * form.q_strides[0], first * form.k_strides[0]

    def attend(self) -> torch.Tensor:
        """What the layer would give without our entry."""
        if self.layer.occupant is not None:
            out = self.layer.occupant(self.q, self.k, self.v, self.extra_options)
        else:
            out = self.host_attention(self.q, self.k, self.v)
        if self.added:
            out = out.clone()  # another pack may have kept it
        for rows, more in self.added:
            out[rows] += more
        return out

    def host_attention(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """ComfyUI's attention in this layer."""
        return attention_in_layer(q, k, v, self.extra_options, self.layer.options)


@functools.lru_cache(maxsize=256)
def _form(
    operands: tuple, sums: tuple, rows: int, heads: int, kept: tuple[tuple[int, ...], int]
) -> Form | None:
    """The form of a launch; the same for most layers, and in every evaluation. None where such layers cannot be launched. operands: shapes
    and strides of queries and keys, their type and device; sums: shape and strides of theirs; kept: columns, and how many the
    conditioning has."""
    (_, queries, channels), q_strides, (_, keys, k_channels), k_strides, dtype, device = operands
    shape, (sums_row, sums_head, sums_column, sums_line, sums_token) = sums
    columns, length = kept
    width, (repeats, rest) = channels // heads, divmod(keys, length)
    if rest or k_channels != channels or sums_line != shape[-1] * sums_token:
        return None
    (q_row, q_token, q_channel), (k_row, k_token, k_channel) = q_strides, k_strides
    return Form(
        device=device, dtype=dtype, rows=rows, heads=heads, key_heads=heads, queries=queries, keys=keys, width=width,
        q_strides=(q_row, width * q_channel, q_token, q_channel), k_strides=(k_row, width * k_channel, k_token, k_channel),
        sums_strides=(sums_row, sums_head, sums_token, sums_column), scale=width**-0.5, columns=columns, length=length, repeats=repeats,
    )  # fmt: skip


Found = Iterable[tuple[int, Block, CrossAttention]]
"""Layers of a UNet: number in the layout, what it is made of now, and the attention."""


def layers_of(unet, layout: Layout, kind: Kind) -> Found:
    """Those of one kind that the layout knows."""
    numbers = layout.numbers
    for block, transformer in transformers(unet):
        number = numbers.get(block.key)
        if number is not None and not (kind == ATTN1 and has_no_self_attention(transformer)):
            yield number, block, getattr(transformer, kind)


def with_entries(
    found: Found, options: dict[str, Any], kind: Kind, entry_for: Callable[[Layer], Attention | None]
) -> dict[str, Any]:
    """A copy of transformer_options with what `entry_for` makes for the layers of one kind; None leaves a layer as it is.
    Nothing refers back to the copy: it dies with the call."""
    replace = options.get(PATCHES_REPLACE, {})
    occupants = replace.get(kind, {})
    entries = dict(occupants)
    for number, block, attention in found:
        occupant = occupant_of(occupants, block.key) if occupants else None
        entry = entry_for(Layer(number, block, attention, occupant, options))
        if entry is not None:
            entries[block.key] = entry
    return {**options, PATCHES_REPLACE: {**replace, kind: entries}}
