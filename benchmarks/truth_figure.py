"""Mean IoU against the share of heads, as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT, SCALE = 900, 480, 2  # drawn twice as large, then made smaller: smooth lines
LEFT, RIGHT, TOP, BOTTOM = 70, 290, 56, 60
# colours that colour-blind eyes can tell apart (Okabe & Ito), one for each line
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (90, 90, 96))


def draw(curves: dict[str, dict[int, float]], daam: float, title: str, path: Path) -> None:
    """curves: name → share of heads in percent → mean IoU; daam: the value of all heads, as a dashed line."""
    from hrv_pack.hrv.draw import text
    from hrv_pack.hrv.draw.overlay import BACKGROUND, FRAME, INK, QUIET_INK

    values = [v for curve in curves.values() for v in curve.values()] + [daam]
    low = np.floor(min(values) * 20) / 20
    high = max(np.ceil(max(values) * 20) / 20, low + 0.05)
    shares = sorted({share for curve in curves.values() for share in curve})

    def x_of(share: float) -> float:
        return SCALE * (LEFT + share / 100 * (WIDTH - LEFT - RIGHT))

    def y_of(value: float) -> float:
        return SCALE * (HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM))

    picture = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), BACKGROUND)
    pen = ImageDraw.Draw(picture)

    def write(x: float, y: float, words: str, size: int, ink, room: int, align: str = "left") -> None:
        text.write(
            pen, (round(x), round(y)), words, size=size * SCALE, ink=ink, room=room * SCALE, align=align
        )

    write(SCALE * LEFT, SCALE * 16, title, 18, INK, WIDTH - LEFT - 20)
    step = 0.05 if high - low <= 0.4 else 0.1
    for value in np.arange(low, high + 1e-9, step):
        pen.line((x_of(0), y_of(value), x_of(100), y_of(value)), fill=(226, 226, 230), width=SCALE)
        write(x_of(0) - 8 * SCALE, y_of(value) - 8 * SCALE, f"{value:.2f}", 14, QUIET_INK, 50, "right")
    for share in range(0, 101, 10):
        pen.line((x_of(share), y_of(low), x_of(share), y_of(low) + 5 * SCALE), fill=FRAME, width=SCALE)
        write(x_of(share), y_of(low) + 8 * SCALE, str(share), 14, QUIET_INK, 40, "center")
    pen.line((x_of(0), y_of(low), x_of(100), y_of(low)), fill=FRAME, width=SCALE)
    write((x_of(0) + x_of(100)) / 2, y_of(low) + 30 * SCALE, "share of heads, %", 14, INK, 300, "center")
    for start in range(0, 100, 2):
        pen.line((x_of(start), y_of(daam), x_of(start + 1), y_of(daam)), fill=INK, width=2 * SCALE)
    legend = [("DAAM (all heads)", INK)]
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
        points = [(x_of(share), y_of(curve[share])) for share in shares if share in curve]
        pen.line(points, fill=colour, width=3 * SCALE, joint="curve")
        for x, y in points:
            pen.ellipse((x - 3 * SCALE, y - 3 * SCALE, x + 3 * SCALE, y + 3 * SCALE), fill=colour)
        legend.append((name, colour))
    left = x_of(100) + 16 * SCALE
    for number, (name, colour) in enumerate(legend):
        y = SCALE * (TOP + 10 + 26 * number)
        for start, end in ((0, 8), (12, 20)) if number == 0 else ((0, 20),):
            pen.line((left + start * SCALE, y, left + end * SCALE, y), fill=colour, width=3 * SCALE)
        write(left + 28 * SCALE, y - 9 * SCALE, name, 14, INK, RIGHT - 54)
    picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(path)
