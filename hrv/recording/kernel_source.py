"""The kernel itself (Triton). Imported only where Triton is.

The logits never leave the chip: one pass over all keys finds what softmax divides by, a second one over the kept columns adds P to the sums.
"""

from __future__ import annotations

import functools
import inspect
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl

if TYPE_CHECKING:
    from .kernel import Form, Piece

QUERIES, KEYS, COLUMNS, WARPS = 64, 64, 32, 4
"""Sizes of the tiles that are multiplied, and how many warps do it."""
TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


def launch(form: Form, pieces: Sequence[Piece]) -> None:
    """Adds P of all pieces to their sums. Everything that Triton finds missing, it finds before."""
    addresses = array("q", [p.q for p in pieces] + [p.k for p in pieces] + [p.sums for p in pieces])
    table = torch.frombuffer(addresses, dtype=torch.int64).to(form.device, non_blocking=True)
    known = _known(form)
    grid = (known.tiles, form.heads, form.rows * len(pieces))
    if not known.launch(grid, table, len(pieces)):
        known.kernel = _compiled()[grid](table=table, layers=len(pieces), **known.given)


@dataclass
class _Known:
    """What the kernel is launched with for one form, whichever layers it does. tiles: of the queries; given: arguments; kernel: compiled for
    them, None before the first launch."""

    tiles: int
    given: dict[str, Any]
    kernel: Any = None

    @functools.cached_property
    def rest(self) -> list[Any]:
        """All arguments after the layers, in order."""
        return [self.given[name] for name in tuple(inspect.signature(_probabilities).parameters)[2:]]

    def launch(self, grid: tuple[int, int, int], table: torch.Tensor, layers: int) -> bool:
        """Launches the compiled kernel itself: to find it by its arguments takes a slow processor three times as long as all else. False where
        that is not to be had."""
        global _takes_all_arguments
        if self.kernel is None or not _takes_all_arguments:
            return False
        try:
            self.kernel[grid](table, layers, *self.rest)
        except TypeError:  # Triton before 3.3 wants those left out that it has compiled in
            _takes_all_arguments = False
        return _takes_all_arguments


_takes_all_arguments = True


@functools.lru_cache(maxsize=64)
def _known(form: Form) -> _Known:
    """Made once for each form that is in use."""
    wide = max(16, triton.next_power_of_2(form.width))
    is_large = wide > 128 or (form.dtype == torch.float32 and wide > 64)
    queries = QUERIES // 2 if is_large else QUERIES
    axes = ("row", "head", "token", "channel")
    strides = {
        f"{name}_{axis}": stride
        for name, its in (("q", form.q_strides), ("k", form.k_strides), ("sums", form.sums_strides))
        for axis, stride in zip(axes, its, strict=True)
    }
    return _Known(-(-form.queries // queries), dict(
        **strides,
        columns=_columns(form.device, form.columns, form.length), kept=len(form.columns), start=form.start, length=form.length,
        repeats=form.repeats, rows=form.rows, pixels=form.queries, keys=form.keys, group=form.heads // form.key_heads, scale=form.scale,
        TYPE=TYPES[form.dtype], WIDTH=form.width, WIDE=wide, QUERIES=queries, KEYS=KEYS // 2 if is_large else KEYS, COLUMNS=COLUMNS,
        MASS=form.mass, PRECISION="ieee" if form.dtype == torch.float32 else "tf32", num_warps=WARPS,
    ))  # fmt: skip


def _columns(device: torch.device, columns: tuple[int, ...], length: int) -> torch.Tensor:
    """int64 (kept,)."""
    if not all(0 <= column < length for column in columns):  # a GPU would stop the whole process
        raise ValueError(f"columns {min(columns)} to {max(columns)} of a conditioning that has {length}")
    return torch.tensor(columns, device=device, dtype=torch.int64)


@functools.cache
def _compiled():
    """Sizes differ from image to image: they are no reason to compile again."""
    changing = ("layers", "kept", "start", "length", "repeats", "rows", "pixels", "keys")
    return triton.jit(_probabilities, do_not_specialize=changing)  # pyright: ignore[reportCallIssue, reportArgumentType]


def _probabilities(
    table, layers,
    q_row, q_head, q_token, q_channel, k_row, k_head, k_token, k_channel, sums_row, sums_head, sums_token, sums_channel,
    columns, kept, start, length, repeats,
    rows, pixels, keys, group, scale,
    TYPE: tl.constexpr, WIDTH: tl.constexpr, WIDE: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr, COLUMNS: tl.constexpr,
    MASS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    layer = tl.program_id(2) // rows
    row = (tl.program_id(2) % rows).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    query = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    channel = tl.arange(0, WIDE)
    is_query, is_channel = query < pixels, channel < WIDTH
    q = tl.load(table + layer).to(tl.pointer_type(TYPE)) + row * q_row + head * q_head  # pyright: ignore[reportArgumentType]
    k = tl.load(table + layers + layer).to(tl.pointer_type(TYPE)) + row * k_row + (head // group) * k_head  # pyright: ignore[reportArgumentType]
    sums = (
        tl.load(table + 2 * layers + layer).to(tl.pointer_type(tl.float32))
        + row * sums_row
        + head * sums_head
    )
    queries = tl.load(
        q + query[:, None].to(tl.int64) * q_token + channel[None, :] * q_channel,
        mask=is_query[:, None] & is_channel[None, :],
        other=0.0,
    )
    largest = tl.full((QUERIES,), float("-inf"), tl.float32)
    total = tl.zeros((QUERIES,), tl.float32)
    text = tl.zeros((QUERIES,), tl.float32)
    stop = start + length * repeats
    for first in range(0, keys, KEYS):
        key = first + tl.arange(0, KEYS)
        tile = tl.load(
            k + key[None, :].to(tl.int64) * k_token + channel[:, None] * k_channel,
            mask=(key < keys)[None, :] & is_channel[:, None],
            other=0.0,
        )
        logits = tl.dot(queries, tile, input_precision=PRECISION) * scale
        logits = tl.where((key < keys)[None, :], logits, float("-inf"))
        larger = tl.maximum(largest, tl.max(logits, 1))
        shares = tl.exp(logits - larger[:, None])
        shrunk = tl.exp(largest - larger)
        total = total * shrunk + tl.sum(shares, 1)
        if MASS:
            is_text = (key >= start) & (key < stop)
            text = text * shrunk + tl.sum(tl.where(is_text[None, :], shares, 0.0), 1)
        largest = larger
    for first in range(0, kept, COLUMNS):
        place = first + tl.arange(0, COLUMNS)
        is_kept = place < kept
        column = start + tl.load(columns + place, mask=is_kept, other=0)
        found = tl.zeros((QUERIES, COLUMNS), tl.float32)
        for repeat in range(0, repeats):
            key = column + repeat * length
            tile = tl.load(
                k + key[None, :] * k_token + channel[:, None] * k_channel,
                mask=is_kept[None, :] & is_channel[:, None],
                other=0.0,
            )
            logits = tl.dot(queries, tile, input_precision=PRECISION) * scale
            found += tl.exp(logits - largest[:, None])
        where = sums + query[:, None].to(tl.int64) * sums_token + place[None, :] * sums_channel
        is_sum = is_query[:, None] & is_kept[None, :]
        tl.store(where, tl.load(where, mask=is_sum, other=0.0) + found / total[:, None], mask=is_sum)
    if MASS:
        where = sums + query.to(tl.int64) * sums_token + kept * sums_channel
        tl.store(where, tl.load(where, mask=is_query, other=0.0) + text / total, mask=is_query)
