"""Following the attention layers of a transformer (Flux, Z-Image and the like), through the override of ComfyUI's attention.

The override stands in a copy of `transformer_options`, which dies with the call. It does its own work, calls the override that another
pack had put there, or ComfyUI's attention, and adds to the image's part of what that gave, if a follower wants it. Attention of other shapes
than the family's (refiners, the image alone) passes by.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from ....hrv.heads.layout import Block
from ....hrv.recording.joint import JointAttention, part_of_mask
from ....hrv.recording.kernel import Form
from ....hrv.recording.log_sums import LogSums
from ....hrv.steer.factors import added_values
from ....hrv.wording import said
from ...facts.attention import attend, attention_given, calls_fused_kernel, of_tokens
from ...facts.families import Family, Segments, family_of
from ...facts.options import OPTIMIZED_ATTENTION_OVERRIDE, TRANSFORMER_OPTIONS
from .calls import ModelCall
from .following import Following
from .following_layers import Change, FollowingLayers

FOREIGN = (
    "Another node replaces this model's attention (sparse or radial attention, SageAttention and the like). What was {done} is the attention "
    "that the model would have without it; with sparse attention the two differ."
)
OWN_WAY = (
    "Another node runs this model's attention in its own way (Nunchaku, NAG, tiles, several GPUs for one image and the like): "
    "{missing} of {total} layers did not come by in the expected form, so that part was not {done}."
)
Given = dict[str, Any]
"""Name → what an attention function is called with."""
BEFORE = "hrv_before"
"""Attribute of an override of ours: the one that was there before it."""


@dataclass(frozen=True, eq=False)
class TokenLayer:
    """An attention layer in one call of the model. number: in the layout."""

    number: int
    block: Block


@dataclass(eq=False)
class TokenCall:
    """One call of a layer, which a follower may read and change.

    q: (row, head, query, d); k, v: (row, head, key, d), keys of grouped queries as they come; given: what else attention is called with.
    added: (rows, values as (row, head, key, d)): what the image's queries of these rows read from such values is added to what they get.
    log_sums: what the kernel told of its sums, (row, head, query).
    """

    layer: TokenLayer
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    given: Given
    segments: Segments
    extra_options: dict[str, Any]
    is_shared: bool = False
    """Whether another pack gets the same queries and keys next, and might change them."""
    added: list[tuple[slice, torch.Tensor]] = field(default_factory=list)
    log_sums: torch.Tensor | None = None

    @property
    def own_columns(self) -> int:
        """How many columns `probabilities` gives beside those of the text: the text mass, in joint attention."""
        return int(self.segments.is_joint)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the image, in tokens."""
        return self.segments.grid

    @property
    def keys(self) -> int:
        """How many tokens of the text the layer sees."""
        return self.segments.text.stop - self.segments.text.start

    def fits(self, rows: int) -> bool:
        """Whether the layer sees so many rows of the batch."""
        return self.q.shape[0] == self.k.shape[0] == rows

    def probabilities(
        self, rows: slice, columns: Sequence[int], length: int, into: torch.Tensor | None
    ) -> torch.Tensor:
        """P and the text mass, if there is one, of some rows: float32 (row, head, column + own, pixel), as `JointAttention.probabilities`
        gives them; of a video the mean over its frames."""
        place = self.segments
        attention = JointAttention(
            self.q,
            self.k,
            place.image,
            place.text,
            mask=self.given.get("mask"),
            scale=self.given.get("scale"),
            mass=place.is_joint,
            log_sums=self.log_sums,
        )
        if place.frames == 1:
            return attention.probabilities(rows, columns, length, into=into)
        found = attention.probabilities(rows, columns, length).unflatten(-1, (place.frames, -1)).mean(-2)
        return found if into is None else into.add_(found)

    @property
    def seen(self) -> tuple[int, int]:
        """How many rows and tokens of the text have values."""
        return self.v.shape[0], self.keys

    def scale_values(self, parts: Sequence[tuple[slice, torch.Tensor, torch.Tensor]]) -> None:
        """Multiplies what the image reads from tokens of the text: (rows, columns, factors) as `added_values` wants them. The text reads
        what it did."""
        for rows, columns, factors in parts:
            values = added_values(self.v[rows], columns + self.segments.text.start, factors)
            self.added.append((rows, values))

    def add_to(self, output: torch.Tensor, attention) -> torch.Tensor:
        """What the layer gives, with what is `added`. output: without it; attention: ComfyUI's."""
        image, found = self.segments.image, []
        for rows, values in self.added:
            k = self.k[rows].repeat_interleave(self.q.shape[1] // self.k.shape[1], 1)
            mask = part_of_mask(self.given.get("mask"), rows, image)
            found.append(
                (rows, attend(attention, self.q[rows, :, image], k, values, {**self.given, "mask": mask}))
            )
        if self.is_shared:
            output = output.clone()  # another pack may have kept it
        for rows, more in found:
            of_tokens(output, self.given)[rows, image] += of_tokens(more, self.given)
        return output

    @property
    def nbytes(self) -> int:
        """What it holds."""
        return self.q.nbytes + self.k.nbytes + self.v.nbytes

    @property
    def likeness(self) -> tuple | None:
        """What `form` depends on beside its arguments; None where that is not easily said."""
        q, k, given = self.q, self.k, self.given
        if given.get("mask") is not None:
            return None
        return q.shape, q.stride(), k.shape, k.stride(), q.dtype, q.device, given.get("scale"), self.segments

    def form(
        self, rows: slice, columns: tuple[int, ...], length: int, sums: torch.Tensor
    ) -> tuple[Form, int, int] | None:
        """The same as `probabilities` for a launch together with other layers: its form, and how many bytes after those of the first row the
        image's queries and the keys begin; None where it cannot be launched. sums: float32 (row, head, column + own, height, width)."""
        q, k, place, size = self.q, self.k, self.segments, self.q.element_size()
        repeats, rest = divmod(self.keys, length)
        sums_row, sums_head, sums_column, sums_line, sums_token = sums.stride()
        one_by_one = place.frames > 1 or rest or q.shape[1] % k.shape[1] or self.given.get("mask") is not None
        if one_by_one or sums_line != sums.shape[-1] * sums_token:
            return None
        image, width = place.image, q.shape[3]
        form = Form(
            device=q.device, dtype=q.dtype, rows=rows.stop - rows.start, heads=q.shape[1], key_heads=k.shape[1],
            queries=image.stop - image.start, keys=k.shape[2], width=width, q_strides=q.stride(), k_strides=k.stride(),
            sums_strides=(sums_row, sums_head, sums_token, sums_column), scale=self.given.get("scale") or width**-0.5,
            columns=columns, length=length, start=place.text.start, repeats=repeats, mass=place.is_joint,
        )  # fmt: skip
        first = rows.start * q.stride(0) + image.start * q.stride(2)
        return form, first * size, rows.start * k.stride(0) * size


class FollowingTokens(FollowingLayers):
    """Follows the layers of a transformer in one sampling."""

    reads_probabilities: ClassVar[bool] = False
    """Whether it needs P, which costs less once the attention has been computed."""
    in_unet = Following.in_unet
    in_model = FollowingLayers.follow

    def with_entries(
        self, call: ModelCall, change: Change, layers: Collection[int] | None = None
    ) -> dict[str, Any]:
        """A copy of the call's transformer_options with an override of attention, in which `change` is called for these layers (None:
        all)."""
        wanted = frozenset(range(len(self.layout.blocks)) if layers is None else layers)
        family = family_of(call.unet)
        if family is None or family.layout(call.unet) != self.layout:
            return call.options  # another node has exchanged the network
        self.awaited.update(wanted)
        segments = family.segments(call.unet, tuple(call.x.shape[2:]), call.context.shape[1], call.more)
        override = self._override(family, segments, wanted, change, call.options)
        return {**call.options, OPTIMIZED_ATTENTION_OVERRIDE: override}

    def tell_layers(self) -> None:
        """Says so when layers never came by."""
        total, missing = len(self.awaited), len(self.awaited - self.reached)
        if missing:
            self.warn(said(OWN_WAY, missing=missing, total=total, done=self.done), cause="own way")

    def _override(
        self, family: Family, segments: Segments, wanted: Collection[int], change: Change, options: dict
    ):
        """What is called with (attention, *its arguments)."""
        earlier = options.get(OPTIMIZED_ATTENTION_OVERRIDE)
        if _is_foreign(earlier):
            self.warn(said(FOREIGN, done=self.done), cause="foreign attention")
        taken = seen = 0

        def override(attention, *args, **kwargs):
            nonlocal taken, seen
            call = sums = None
            with self.guarded("in an attention layer"):
                now = kwargs.get(TRANSFORMER_OPTIONS) or options
                given = attention_given(args, kwargs)
                if _is_of(given, segments):
                    seen += 1
                if _is_of(given, segments) and (segments.is_plain or seen % 2 == 0):
                    number = family.layer(self.layout, now, taken)
                    taken += 1
                    if number in wanted:
                        self.reached.add(number)
                        layer = TokenLayer(number, self.layout.blocks[number])
                        q, k, v = (given.pop(name) for name in "qkv")
                        call = TokenCall(
                            layer, q, k, v, given=given, segments=segments, extra_options=now, is_shared=earlier is not None
                        )  # fmt: skip
                        if self.reads_probabilities and may_tell_sums(attention, q.device, earlier):
                            sums = LogSums()
                        else:
                            change(call)
            with sums or contextlib.nullcontext():
                output = (
                    attention(*args, **kwargs) if earlier is None else earlier(attention, *args, **kwargs)
                )
            if sums is not None:
                with self.guarded("in an attention layer"):
                    call.log_sums = sums.found
                    change(call)
            if call is not None and call.added:
                with self.guarded("in an attention layer"):
                    output = call.add_to(output, attention)
            return output

        setattr(override, BEFORE, earlier)
        return override


def _is_of(given: Given, segments: Segments) -> bool:
    """Whether attention is called with the image's and the text's tokens."""
    return given["q"].shape[2] == segments.queries and given["k"].shape[2] == segments.keys


def may_tell_sums(attention, device: torch.device, override=None) -> bool:
    """Whether attention tells what it has summed up, and leaves queries and keys as they are. override: what replaces it."""
    return device.type == "cpu" and calls_fused_kernel(attention) and not _is_foreign(override)


def _is_foreign(override) -> bool:
    """Whether an override, or one that it calls, is another pack's."""
    while hasattr(override, BEFORE):
        override = getattr(override, BEFORE)
    return override is not None
