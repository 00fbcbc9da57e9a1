"""A curve that shows when more prompts stop mattering."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

from . import text
from .overlay import BACKGROUND, FRAME, INK, QUIET_INK

WIDTH, HEIGHT = 1000, 560
LEFT, RIGHT, TOP, BOTTOM = 90, 40, 110, 90
TITLE, TYPE = 24, 16
LINE = (33, 95, 154)


def settling_chart(settled: Sequence[tuple[int, float]], prompts: int, title: str) -> torch.Tensor:
    """The rank correlation of each state with the one before: float32 (height, width, 3), 0 to 1.

    settled: (prompts drawn, correlation from −1 to 1) in order; may be empty. prompts: where the axis ends.
    """
    picture = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
    pen = ImageDraw.Draw(picture)
    text.write(pen, (LEFT - 50, 24), title, size=TITLE, ink=INK, room=WIDTH - LEFT - RIGHT + 50)
    note = (
        "order of heads: agreement with the order one tenth of the prompts earlier (rank correlation, 1 "
        "= no change)"
    )
    text.write(pen, (LEFT - 50, 62), note, size=TYPE, ink=QUIET_INK, room=WIDTH - LEFT - RIGHT + 50)
    lowest = min([0.0, *(value for _, value in settled)])
    _grid(pen, prompts, lowest)
    points = [(_x(number, prompts), _y(value, lowest)) for number, value in settled]
    if len(points) > 1:
        pen.line(points, fill=LINE, width=3, joint="curve")
    for x, y in points:
        pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill=LINE)
    if points:
        x, y = points[-1]
        above = y - 30 if y - 30 > TOP else y + 12
        text.write(
            pen,
            (min(x, WIDTH - RIGHT), above),
            f"{settled[-1][1]:.2f}",
            size=TYPE + 2,
            ink=INK,
            room=80,
            align="right",
        )
    else:
        middle = ((LEFT + WIDTH - RIGHT) // 2, (TOP + HEIGHT - BOTTOM) // 2)
        text.write(
            pen,
            middle,
            "too few prompts for a curve",
            size=TYPE + 2,
            ink=QUIET_INK,
            room=WIDTH - LEFT,
            align="center",
        )
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)


def _grid(pen, prompts: int, lowest: float) -> None:
    for tenth in range(-10, 11, 2):
        value = tenth / 10
        if value < lowest - 0.2:
            continue
        y = _y(max(value, lowest), lowest)
        pen.line((LEFT, y, WIDTH - RIGHT, y), fill=FRAME if value == 0 else (224, 224, 228))
        if value >= lowest:
            text.write(
                pen, (LEFT - 10, y - 9), f"{value:.1f}", size=TYPE - 2, ink=QUIET_INK, room=60, align="right"
            )
    for part in range(0, 11, 2):
        number = round(prompts * part / 10)
        x = _x(number, prompts)
        pen.line((x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 5), fill=INK)
        text.write(
            pen, (x, HEIGHT - BOTTOM + 8), str(number), size=TYPE - 2, ink=INK, room=70, align="center"
        )
    centre = (LEFT + WIDTH - RIGHT) // 2
    text.write(
        pen, (centre, HEIGHT - BOTTOM + 36), "prompts drawn", size=TYPE, ink=INK, room=300, align="center"
    )


def _x(number: int, prompts: int) -> int:
    return LEFT + round((WIDTH - RIGHT - LEFT) * number / max(1, prompts))


def _y(value: float, lowest: float) -> int:
    return HEIGHT - BOTTOM - round((HEIGHT - BOTTOM - TOP) * (value - lowest) / (1 - lowest))
