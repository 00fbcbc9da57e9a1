"""Curves of ordered weakening, and the strip of images that they were measured on.

The two orders differ in colour (readable for colour-blind eyes) and in their marks, so either is enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from ..draw import text
from ..draw.overlay import BACKGROUND, FRAME, INK, QUIET_INK, as_rgb
from ..relevance.vectors import ORDERS
from .weakening import Curve, area_between

WIDTH, HEIGHT = 1000, 600
LEFT, RIGHT, TOP, BOTTOM = 90, 40, 130, 90
TITLE, TYPE = 24, 16
COLOURS = ((196, 78, 10), (33, 95, 154), (88, 88, 96))
PICTURE, GAP = 192, 6


def curve_chart(found: Sequence[Curve], title: str, score: str) -> torch.Tensor:
    """Score against number of heads: float32 (height, width, 3), 0 to 1. score: what is measured, for the axis."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
    pen = ImageDraw.Draw(picture)
    text.write(pen, (LEFT - 60, 22), title, size=TITLE, ink=INK, room=WIDTH - LEFT - RIGHT + 60)
    area = area_between(found)
    if area is not None:
        note = f"area between the curves: {area:+.3f} ({'most' if area > 0 else 'least'} relevant first is lower)"
        text.write(
            pen,
            (LEFT - 60, 58),
            note if area else "area between the curves: 0",
            size=TYPE,
            ink=QUIET_INK,
            room=WIDTH - 100,
        )
    plot = _Plot(found)
    plot.draw_axes(pen, score)
    for number, curve in enumerate(found):
        plot.draw_curve(pen, curve, number)
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)


class _Plot:
    """Where values lie: x from no heads to all, y from 0 to 1, or as far as the scores go beyond."""

    def __init__(self, found: Sequence[Curve]):
        scores = [score for curve in found for score in curve.scores]
        self.heads = max(count for curve in found for count in curve.counts)
        self.low, self.high = min(0.0, *scores), max(1.0, *scores)
        measured = sorted({count for curve in found for count in curve.counts})
        self.ticks = measured if len(measured) <= 14 else [round(self.heads * step / 5) for step in range(6)]

    def at(self, count: float, score: float) -> tuple[int, int]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * count / self.heads
        y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (score - self.low) / (self.high - self.low)
        return round(x), round(y)

    def draw_axes(self, pen, score: str) -> None:
        for step in range(6):
            value = self.low + (self.high - self.low) * step / 5
            _, y = self.at(0, value)
            pen.line((LEFT, y, WIDTH - RIGHT, y), fill=FRAME if step == 0 else (224, 224, 228))
            text.write(
                pen, (LEFT - 10, y - 9), f"{value:.3g}", size=TYPE - 2, ink=QUIET_INK, room=70, align="right"
            )
        for count in self.ticks:
            x, y = self.at(count, self.low)
            pen.line((x, y, x, y + 5), fill=INK)
            text.write(pen, (x, y + 8), str(count), size=TYPE - 2, ink=INK, room=70, align="center")
        text.write(pen, (LEFT - 60, TOP - 34), score, size=TYPE, ink=INK, room=400)
        centre = (LEFT + WIDTH - RIGHT) // 2
        text.write(
            pen,
            (centre, HEIGHT - BOTTOM + 38),
            "number of heads",
            size=TYPE,
            ink=INK,
            room=400,
            align="center",
        )

    def draw_curve(self, pen, curve: Curve, number: int) -> None:
        colour = COLOURS[number % len(COLOURS)]
        points = [self.at(*point) for point in zip(curve.counts, curve.scores)]
        pen.line(points, fill=colour, width=3, joint="curve")
        for point in points:
            _mark(pen, point, colour, number)
        x, y = WIDTH - RIGHT - 290, TOP - 62 + 24 * number
        pen.line((x - 44, y + 9, x - 12, y + 9), fill=colour, width=3)
        _mark(pen, (x - 28, y + 9), colour, number)
        name = f"{curve.order} heads first" if curve.order in ORDERS else curve.order
        text.write(pen, (x, y), name, size=TYPE, ink=INK, room=290)


def _mark(pen, point: tuple[int, int], colour, number: int) -> None:
    x, y = point
    box = (x - 5, y - 5, x + 5, y + 5)
    if number % 2:
        pen.rectangle(box, fill=BACKGROUND, outline=colour, width=2)
    else:
        pen.ellipse(box, fill=colour)


def picture_strip(found: Sequence[Curve], pictures: dict[tuple[str, int], torch.Tensor]) -> torch.Tensor:
    """One row of pictures for each curve, the number of heads below each: float32 (height, width, 3), 0 to 1.

    pictures: (order, number of heads) → (height, width, channel); all are shown in the size of the first, at most 192
    pixels wide.
    """
    first = next(iter(pictures.values()))
    height, width = first.shape[:2]
    size = (max(1, round(PICTURE * height / width)), PICTURE)
    line, heading = TYPE + 10, TYPE + 16
    columns = max(len(curve.counts) for curve in found)
    sheet_width = max(columns * (PICTURE + GAP) + GAP, 400)
    sheet = Image.new("RGB", (sheet_width, len(found) * (heading + size[0] + line) + GAP), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for row, curve in enumerate(found):
        y = row * (heading + size[0] + line)
        name = f"{curve.order} heads first" if curve.order in ORDERS else curve.order
        text.write(
            pen, (GAP, y + 8), name, size=TYPE, ink=COLOURS[row % len(COLOURS)], room=sheet.width - 2 * GAP
        )
        for column, (count, score) in enumerate(zip(curve.counts, curve.scores)):
            x = GAP + column * (PICTURE + GAP)
            sheet.paste(_small(pictures[curve.order, count], size), (x, y + heading))
            caption = f"{count} heads: {score:.3f}"
            below = (x + PICTURE // 2, y + heading + size[0] + 2)
            text.write(pen, below, caption, size=TYPE - 2, ink=QUIET_INK, room=PICTURE, align="center")
    return torch.from_numpy(np.asarray(sheet).astype(np.float32) / 255)


def _small(picture: torch.Tensor, size: tuple[int, int]) -> Image.Image:
    rgb = as_rgb(picture).permute(2, 0, 1)[None]
    resized = F.interpolate(rgb, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    return Image.fromarray((resized.clamp(0, 1) * 255).round().byte().numpy())
