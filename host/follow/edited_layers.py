"""What the layers of the UNet do in a call in which rows take over another image's attention."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...hrv.steer.factors import scale_values
from ...hrv.steer.prompt_edit import Alignment, split_values
from ...hrv.wording import said
from ..facts.options import ATTN1, ATTN2
from .base.calls import UnetCall
from .base.following_layers import FollowingLayers
from .base.layer_entries import Attention, Kind, Layer, LayerCall, layers_of, with_entries
from .replay import Taken


@dataclass(frozen=True, eq=False)
class EditedRows:
    """Rows of one call that are edited.

    alignment: None where cross-attention stays. taken: None where nothing comes from the first image. columns: int64
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
        """Whether cross-attention of a layer takes over the first image's."""
        return self.alignment is not None and self.taken is not None and number in self.taken.layers[ATTN2]

    def acts(self, kind: Kind, number: int) -> bool:
        """Whether a layer does anything else than it would."""
        if kind == ATTN1:
            return self.taken is not None and number in self.taken.layers[ATTN1]
        return self.crosses(number) or number in self.rescaled


class EditedLayers:
    """The layers in one call of the UNet."""

    def __init__(self, following: FollowingLayers, call: UnetCall, edited: Sequence[EditedRows]):
        self._following = following
        self._edited = edited
        self._rows = call.x.shape[0]
        self._tokens = call.context.shape[1]

    def options(self, unet, options: dict[str, Any]) -> dict[str, Any]:
        """A copy of transformer_options with entries for the layers that are edited."""
        for kind in (ATTN1, ATTN2):
            entry_for = functools.partial(self._entry, kind)
            found = layers_of(unet, self._following.layout, kind)
            options = with_entries(found, options, kind, entry_for)
        return options

    def _entry(self, kind: Kind, layer: Layer) -> Attention | None:
        """What a layer does; None where it stays as it is."""
        parts = [part for part in self._edited if part.acts(kind, layer.number)]
        if not parts:
            return None
        if layer.is_foreign:
            self._following.warn(
                said(
                    "Another pack has replaced the attention of this model (NAG and the like). To leave its image as it is, those layers "
                    "were not edited."
                ),
                cause="forward",
            )
            return None
        return self._following.entry(layer, functools.partial(self._edit, kind, parts))

    def _edit(self, kind: Kind, parts: Sequence[EditedRows], at: LayerCall) -> None:
        if self._following.failed or not self._fits(kind, parts, at):
            return
        if kind == ATTN1:
            self._edit_self_attention(parts, at)
        else:
            self._edit_cross_attention(parts, at)

    def _fits(self, kind: Kind, parts: Sequence[EditedRows], at: LayerCall) -> bool:
        """Whether the layer's queries and keys are of the sizes they should be."""
        q, k = at.q, at.k
        fits = q.shape[0] == k.shape[0] == self._rows and (kind == ATTN1 or k.shape[1] == self._tokens)
        for part in parts:
            taken = None if part.taken is None else part.taken.layers[kind].get(at.layer.number)
            if taken is not None:
                fits = fits and taken[0].shape[1:] == q.shape[1:]
                fits = fits and (kind == ATTN2 or taken[1].shape[1:] == k.shape[1:])
        if not fits:
            self._following.tell_of_layer(
                at.layer,
                f"{q.shape[0]} × {q.shape[1]} × {k.shape[1]}",
                f"{self._rows} × … × {self._tokens}",
            )
        return fits

    def _edit_self_attention(self, parts: Sequence[EditedRows], at: LayerCall) -> None:
        """The first image's queries and keys with the second's values."""
        q, k = at.q.clone(), at.k.clone()
        for part in parts:
            q[part.rows], k[part.rows] = part.taken.layers[ATTN1][at.layer.number]
        at.q, at.k = q, k

    def _edit_cross_attention(self, parts: Sequence[EditedRows], at: LayerCall) -> None:
        """The second image's own attention without the words that the first has, and what the first's gives to them."""
        v, added = at.v.clone(), []
        number = at.layer.number
        heads = self._following.layout.span(number)
        for part in parts:
            if number in part.rescaled:
                scale_values(v, part.rows, part.columns, part.factors[:, heads])
            if not part.crosses(number):
                continue
            kept, taken_values = split_values(v[part.rows], part.alignment)
            v[part.rows] = kept
            queries, keys = part.taken.layers[ATTN2][number]
            added.append((part.rows, at.host_attention(queries, keys, taken_values)))
        at.v, at.added = v, added
