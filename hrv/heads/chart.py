"""Where chosen heads sit in the network: a chart of layers × heads.

Colour is relevance, from dark to light (viridis, which colour-blind eyes can read), and size is choice: a chosen
head fills its cell, any other is a small square. Both can be told without colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from PIL import Image, ImageDraw

from ..draw import text
from ..draw.overlay import BACKGROUND, FRAME, INK, QUIET_INK, color_table
from .layout import Layout
from .selection import HeadSelection

WIDTH = 1280
SMALLEST_CELL, LARGEST_CELL = 6, 34
BLOCK_GAP, PART_GAP = 6, 28
TITLE, TYPE = 24, 16
MARGIN, LEFT = 20, 72
TICKS = (0.0, 0.5, 1.0, 2.0, 4.0, 10.0)


@dataclass(frozen=True)
class _Column:
    """One layer of the chart: its number in the layout and the x of its cells."""

    layer: int
    x: int


def head_chart(heads: HeadSelection, relevance: torch.Tensor, title: str) -> torch.Tensor:
    """An image, float32 (height, width, 3), 0 to 1.

    relevance: float32 (head,), 0 for none, 1 for the average head; drawn on the fixed scale r / (1 + r), so that charts
    can be compared.
    """
    cell = _cell_size(heads.layout)
    columns, right = _columns(heads.layout, cell)
    tallest = max(block.heads for block in heads.layout.blocks)
    top = MARGIN + TITLE + 14 + 2 * (TYPE + 8)
    bottom = top + tallest * cell
    picture = Image.new("RGB", (max(right + MARGIN, 760), bottom + 4 * (TYPE + 12) + MARGIN), BACKGROUND)
    pen = ImageDraw.Draw(picture)
    text.write(pen, (MARGIN, MARGIN), title, size=TITLE, ink=INK, room=picture.width - 2 * MARGIN)
    _heading(pen, heads.layout, columns, cell, top)
    _head_numbers(pen, tallest, cell, top)
    _cells(pen, heads, relevance, columns=columns, cell=cell, top=top)
    _counts(pen, heads, columns, cell, bottom + 8)
    _legend(picture, pen, relevance, bottom + TYPE + 28)
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)


def _cell_size(layout: Layout) -> int:
    blocks = len({(block.part, block.index) for block in layout.blocks})
    room = WIDTH - LEFT - MARGIN - blocks * BLOCK_GAP - 2 * PART_GAP
    return min(LARGEST_CELL, max(SMALLEST_CELL, room // len(layout.blocks)))


def _columns(layout: Layout, cell: int) -> tuple[list[_Column], int]:
    """The columns, and the x where the last one ends."""
    columns, x, before = [], LEFT, None
    for number, block in enumerate(layout.blocks):
        if before is not None and block.part != before.part:
            x += PART_GAP
        elif before is not None and block.index != before.index:
            x += BLOCK_GAP
        columns.append(_Column(number, x))
        x, before = x + cell, block
    return columns, x


def _spans(layout: Layout, columns: list[_Column], cell: int, key):
    """(key, left, right, layers) of neighbouring columns that share a key of their block."""
    for value, group in groupby(columns, lambda column: key(layout.blocks[column.layer])):
        group = list(group)
        yield value, group[0].x, group[-1].x + cell, [column.layer for column in group]


def _above(pen, span: tuple[int, int], y: int, what: str, *, ink, room: int) -> None:
    """A line of text in the middle of some columns."""
    text.write(pen, (sum(span) // 2, y), what, size=TYPE, ink=ink, room=room, align="center")


def _heading(pen, layout: Layout, columns, cell: int, top: int) -> None:
    part_top, block_top = top - 2 * (TYPE + 8), top - TYPE - 8
    for part, left, right, _ in _spans(layout, columns, cell, lambda block: block.part):
        pen.line((left, part_top + TYPE + 5, right - 2, part_top + TYPE + 5), fill=FRAME, width=2)
        _above(pen, (left, right), part_top, part, ink=INK, room=max(right - left, 60))
    for (_, index), left, right, _ in _spans(layout, columns, cell, lambda block: (block.part, block.index)):
        _above(pen, (left, right), block_top, str(index), ink=QUIET_INK, room=right - left + 4)
    text.write(
        pen, (LEFT - 10, block_top), "block", size=TYPE - 2, ink=QUIET_INK, room=LEFT - 12, align="right"
    )


def _head_numbers(pen, tallest: int, cell: int, top: int) -> None:
    step = next(step for step in (1, 2, 5, 10, 50, 1000) if step * cell >= TYPE + 2)
    for head in range(0, tallest, step):
        y = top + head * cell + (cell - TYPE) // 2 - 1
        text.write(
            pen,
            (LEFT - 10, y),
            str(head) if head else "head 0",
            size=TYPE - 2,
            ink=QUIET_INK,
            room=LEFT,
            align="right",
        )


def _cells(pen, heads: HeadSelection, relevance: torch.Tensor, *, columns, cell: int, top: int) -> None:
    inset = max(2, round(cell * 0.3))
    for column in columns:
        span = heads.layout.span(column.layer)
        for head, number in enumerate(range(span.start, span.stop)):
            x, y = column.x, top + head * cell
            colour = _colour(float(relevance[number]))
            if heads.weights[number] > 0:
                pen.rectangle((x, y, x + cell - 2, y + cell - 2), fill=colour, outline=INK)
            else:
                pen.rectangle((x + inset, y + inset, x + cell - 2 - inset, y + cell - 2 - inset), fill=colour)


def _counts(pen, heads: HeadSelection, columns, cell: int, y: int) -> None:
    """How many heads are chosen in each block."""
    chosen = heads.weights > 0
    text.write(pen, (LEFT - 10, y), "chosen", size=TYPE - 2, ink=QUIET_INK, room=LEFT - 12, align="right")
    spans = _spans(heads.layout, columns, cell, lambda block: (block.part, block.index))
    for _, left, right, layers in spans:
        count = sum(int(chosen[heads.layout.span(layer)].sum()) for layer in layers)
        _above(pen, (left, right), y, str(count), ink=INK if count else QUIET_INK, room=right - left + 4)


def _legend(picture: Image.Image, pen, relevance: torch.Tensor, y: int) -> None:
    left, width, height = LEFT, 420, TYPE
    ramp = color_table("viridis")[torch.linspace(0, 255, width).round().long()]
    row = (ramp * 255).round().to(torch.uint8).numpy()
    picture.paste(Image.fromarray(np.repeat(row[None], height, axis=0)), (left, y))
    pen.rectangle((left - 1, y - 1, left + width, y + height), outline=FRAME)
    for tick in TICKS:
        x = left + round(_place(tick) * (width - 1))
        pen.line((x, y + height, x, y + height + 4), fill=INK)
        text.write(pen, (x, y + height + 5), f"{tick:g}", size=TYPE - 2, ink=INK, room=60, align="center")
    largest = float(relevance.max())
    x = left + round(_place(largest) * (width - 1))
    pen.polygon([(x - 5, y - 8), (x + 5, y - 8), (x, y - 2)], fill=INK)
    note = f"relevance: 1 is the average head, the largest is {largest:.3g}"
    text.write(
        pen, (left, y + height + TYPE + 10), note, size=TYPE - 2, ink=INK, room=picture.width - left - MARGIN
    )
    _samples(pen, left + width + 40, y)


def _samples(pen, x: int, y: int) -> None:
    grey, size = (140, 140, 146), TYPE
    pen.rectangle((x, y, x + size, y + size), fill=grey, outline=INK)
    text.write(pen, (x + size + 8, y), "chosen", size=TYPE - 2, ink=INK, room=80)
    x += size + 90
    pen.rectangle((x + 5, y + 5, x + size - 5, y + size - 5), fill=grey)
    text.write(pen, (x + size + 4, y), "not chosen", size=TYPE - 2, ink=INK, room=100)


def _place(relevance: float) -> float:
    """Where a relevance lies on the colour scale: r / (1 + r), so 0 → 0, 1 → ½, ∞ → 1."""
    return relevance / (1 + relevance)


def _colour(relevance: float) -> tuple[int, int, int]:
    red, green, blue = (color_table("viridis")[round(255 * _place(relevance))] * 255).round().int().tolist()
    return red, green, blue
