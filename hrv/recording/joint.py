"""Post-softmax probabilities of joint attention: image tokens look at the text and at the image itself in one softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .probabilities import may_look, pixels_at_once, sent, sum_is_finite

GPU_BYTES = 128 * 2**20
"""Logits of one head on other devices than the CPU: few calls, and still small beside such models."""

LEAST = 1e-30
"""A sum of exponentials below this has lost digits."""


@dataclass(frozen=True, eq=False)
class JointAttention:
    """One call of joint attention, as the kernel has it.

    q: (row, head, query, d), k: (row, head, key, d), after norms and rotary embedding; grouped keys have fewer heads. image, text: where
    the image's queries and the text's keys stand. mask: added to the logits, or where False nothing is looked at; its axes as attention
    takes them: (query, key), (row, query, key) or (row, head, query, key), any of them 1. scale: None for 1 / √d. mass: whether the text
    mass is wanted beside the columns; in cross-attention it is 1. log_sums: float32 (row, head, query), log Σ exp(logits) where the kernel
    told it (`LogSums`): then only the text's keys are multiplied.
    """

    q: torch.Tensor
    k: torch.Tensor
    image: slice
    text: slice
    mask: torch.Tensor | None = None
    scale: float | None = None
    mass: bool = True
    log_sums: torch.Tensor | None = None

    @torch.no_grad()
    def probabilities(
        self, rows: slice, columns: Sequence[int], length: int, *, into: torch.Tensor | None = None
    ) -> torch.Tensor:
        """P = softmax(Q Kᵀ · scale + mask) over all keys, for the image's queries: some of the text's columns, and last the text mass,
        what all text columns get together (docs/formulas.md, "Joint attention").

        columns: which of the `length` columns of the conditioning to keep; repeats of the conditioning are summed.
        into: float32 (row, head, column + 1 or column, pixel) that they are added to. Returns float32, `into` or a new one, computed in float32
        whatever the type of q and k. Raises ValueError when the text is not a multiple of `length`.
        """
        q, k = self.q[rows, :, self.image], self.k[rows]
        tokens = self.text.stop - self.text.start
        repeats, rest = divmod(tokens, length)
        if rest or q.shape[1] % k.shape[1]:
            raise ValueError(
                f"queries {tuple(q.shape)}, keys {tuple(k.shape)} and {tokens} text tokens do not fit {length} columns"
            )
        number, heads, pixels = q.shape[:3]
        if into is None:
            shape = (number, heads, pixels, len(columns) + self.mass)
            into = q.new_zeros(shape, dtype=torch.float32).transpose(-1, -2)
        kept = _kept(tuple(columns), repeats, length, q.device)
        used = slice(None) if self.log_sums is None else self.text
        k = k[:, :, used]
        # head by head, so that the keys stay in the processor's cache
        chunk = pixels_at_once(pixels, k.shape[2] * 4, q.device, GPU_BYTES)
        for row in range(number):
            for head in range(heads):
                keys = k[row, head * k.shape[1] // heads].float()  # (key, d)
                if self.log_sums is None and may_look(q.device):
                    # takes the same from all logits of a pixel, which a softmax does not see
                    keys = keys - keys[:1]
                sums = into[row, head].T  # (pixel, column)
                for first in range(0, pixels, chunk):
                    part = slice(first, min(first + chunk, pixels))
                    mask = self._mask(rows.start + row, head, part, used)
                    operands = q[row, head, part], keys.T, mask
                    if self.log_sums is None:
                        of_text, scales = self._shares(*operands)
                    else:
                        log_sums = self.log_sums[rows.start + row, head, self.image][part, None]
                        of_text, scales = self._logits(*operands).sub_(log_sums).exp_(), None
                    _add(sums[part], of_text, scales, kept)
        return into

    def _shares(
        self, queries: torch.Tensor, keys: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of one chunk of pixels (pixel, token of the text) and (pixel, 1), whose product is P. queries: (pixel, d); keys: (d, key).

        On the CPU nothing is subtracted from the logits but those of one key; where the sum of their exponentials then overflows or loses
        digits, it is done again in the stable way. Looking would make another device wait, so it takes the stable way at once.
        """
        shares, totals = self._logits(queries, keys, mask), None
        if may_look(shares.device):
            totals = shares.exp_().sum(-1, keepdim=True)
            if not sum_is_finite(totals) or float(totals.amin()) < LEAST:
                shares, totals = self._logits(queries, keys, mask), None
        if totals is None:
            shares.sub_(shares.amax(-1, keepdim=True))
            totals = shares.exp_().sum(-1, keepdim=True)
        return shares[:, self.text], totals.reciprocal_()

    def _logits(self, queries: torch.Tensor, keys: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """(pixel, key)."""
        scale = queries.shape[-1] ** -0.5 if self.scale is None else self.scale
        logits = (queries.float() * scale) @ keys
        if mask is None:
            return logits
        return logits.masked_fill_(~mask, -torch.inf) if mask.dtype == torch.bool else logits.add_(mask)

    def _mask(self, row: int, head: int, pixels: slice, keys: slice) -> torch.Tensor | None:
        """The mask of some of the image's queries and some keys, (pixel or 1, key)."""
        mask = self.mask
        if mask is None:
            return None
        mask = mask[None] if mask.ndim == 2 else mask
        mask = mask[:, None] if mask.ndim == 3 else mask
        mask = mask[row if len(mask) > 1 else 0]
        mask = mask[head if len(mask) > 1 else 0]
        mask = mask[:, keys] if mask.shape[1] > 1 else mask
        return mask[self.image][pixels] if len(mask) > 1 else mask


def _add(
    sums: torch.Tensor, of_text: torch.Tensor, scales: torch.Tensor | None, kept: tuple[torch.Tensor, ...]
) -> None:
    """Adds P of one chunk of pixels, and its text mass where there is a column for it. sums: (pixel, column) or (pixel, column + 1);
    of_text, scales: P is their product, or without scales `of_text` itself; kept: for each repeat of the prompt the places of its columns
    among the text's."""
    found = [(sums[:, : len(columns)], of_text.index_select(-1, columns)) for columns in kept]
    if sums.shape[-1] > len(kept[0]):
        found.append((sums[:, -1:], of_text.sum(-1, keepdim=True)))
    for place, shares in found:
        if scales is None:
            place.add_(shares)
        else:
            place.addcmul_(shares, scales)


def part_of_mask(mask: torch.Tensor | None, rows: slice, queries: slice) -> torch.Tensor | None:
    """The mask for some rows and queries, with axes as attention takes them."""
    if mask is None:
        return None
    if mask.ndim > 2 and len(mask) > 1:
        mask = mask[rows]
    return mask[..., queries, :] if mask.shape[-2] > 1 else mask


def _kept(
    columns: tuple[int, ...], repeats: int, length: int, device: torch.device
) -> tuple[torch.Tensor, ...]:
    """The places of the kept columns in each repeat of the prompt."""
    if not all(0 <= column < length for column in columns):  # a GPU would stop the whole process
        raise ValueError(f"columns {min(columns)} to {max(columns)} of a conditioning that has {length}")
    return tuple(
        sent(torch.tensor(columns, dtype=torch.int64) + repeat * length, device) for repeat in range(repeats)
    )
