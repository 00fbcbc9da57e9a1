"""What the layers of the UNet do in a call in which rows take over another picture's attention."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...hrv.heads.layout import Block
from ...hrv.steer.factors import scale_values
from ...hrv.steer.prompt_edit import Alignment, split_values
from ..facts.layers import attend, has_foreign_forward
from .base.following import Following
from .replay import Attention, Kind, Taken, with_entries


@dataclass(frozen=True, eq=False)
class EditedRows:
    """Rows of one call that are edited.

    alignment: None where cross-attention stays. taken: None where nothing comes from the first picture. columns: int64
    (column,) of the rescaled tokens, all repeats included; factors: float32 (column, head); on the device. rescaled: the
    layers in which a factor is not 1.
    """

    rows: slice
    alignment: Alignment | None
    taken: Taken | None
    columns: torch.Tensor
    factors: torch.Tensor
    rescaled: frozenset[int]

    def crosses(self, number: int) -> bool:
        """Whether cross-attention of a layer takes over the first picture's."""
        return self.alignment is not None and self.taken is not None and number in self.taken.layers["attn2"]

    def acts(self, kind: Kind, number: int) -> bool:
        """Whether a layer does anything else than it would."""
        if kind == "attn1":
            return self.taken is not None and number in self.taken.layers["attn1"]
        return self.crosses(number) or number in self.rescaled


class EditedLayers:
    """The layers in one call of `rows` rows and prompts of `tokens` tokens."""

    def __init__(self, following: Following, edited: Sequence[EditedRows], rows: int, tokens: int):
        self._following = following
        self._edited = edited
        self._rows = rows
        self._tokens = tokens

    def options(self, unet, options):
        """A copy of transformer_options with entries for the layers that are edited."""
        for kind in ("attn1", "attn2"):
            entry_for = functools.partial(self._entry, kind)
            options = with_entries(unet, self._following.layout, options, kind, entry_for)
        return options

    def _entry(self, kind: Kind, number: int, block: Block, module, occupant, options) -> Attention | None:
        """What a layer does, for `with_entries`; None where it stays as it is."""
        parts = [part for part in self._edited if part.acts(kind, number)]
        if not parts:
            return None
        following = self._following
        if occupant is None and has_foreign_forward(module):
            following.warn(
                "Another pack has replaced the attention of this model (NAG and the like). To leave its picture as it is, "
                "those layers were not edited.",
                cause="forward",
            )
            return None
        change = self._self_attention if kind == "attn1" else self._cross_attention
        at = f"at layer {block}"

        def entry(q, k, v, extra_options):
            others = []
            with following.guarded(at):
                if not following.failed and self._fits(kind, number, q, k, parts, block):
                    (q, k, v), others = change(number, q, k, v, parts, extra_options, options)
            out = attend(occupant, q, k, v, extra_options, options)
            if others:
                out = out.clone()  # another pack may have kept it
            for rows, other in others:
                out[rows] += other
            return out

        return entry

    def _fits(self, kind: Kind, number: int, q, k, parts: Sequence[EditedRows], block: Block) -> bool:
        """Whether the layer's queries and keys, (row, pixel or token, heads · d), are of the sizes they should be."""
        fits = q.shape[0] == k.shape[0] == self._rows and (kind == "attn1" or k.shape[1] == self._tokens)
        for part in parts:
            taken = None if part.taken is None else part.taken.layers[kind].get(number)
            if taken is not None:
                fits = fits and taken[0].shape[1:] == q.shape[1:]
                fits = fits and (kind == "attn2" or taken[1].shape[1:] == k.shape[1:])
        if not fits:
            self._following.warn(
                f"Another node changes rows, pixels or tokens inside the model (NegPip, attention couple and the like): layer "
                f"{block} had {q.shape[0]} rows of {q.shape[1]} pixels and {k.shape[1]} tokens where {self._rows} rows and "
                f"{self._tokens} tokens were expected. Such layers were not edited.",
                cause="layer",
            )
        return fits

    def _self_attention(self, number: int, q, k, v, parts, extra_options, options):
        """The first picture's queries and keys with the second's values."""
        q, k = q.clone(), k.clone()
        for part in parts:
            q[part.rows], k[part.rows] = part.taken.layers["attn1"][number]
        return (q, k, v), []

    def _cross_attention(self, number: int, q, k, v, parts, extra_options, options):
        """The second picture's own attention without the words that the first has, and what the first's gives to them."""
        v, others = v.clone(), []
        span = self._following.layout.span(number)
        for part in parts:
            if number in part.rescaled:
                scale_values(v, part.rows, part.columns, part.factors[:, span])
            if not part.crosses(number):
                continue
            kept, taken_values = split_values(v[part.rows], part.alignment)
            v[part.rows] = kept
            queries, keys = part.taken.layers["attn2"][number]
            others.append((part.rows, attend(None, queries, keys, taken_values, extra_options, options)))
        return (q, k, v), others
