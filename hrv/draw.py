"""Heat over pictures, and the caption strip below them.

Pictures are float32 (height, width, channel), 0 to 1. Nothing is ever written on the picture itself: words and
the colour bar go into a strip below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageDraw

from . import text

COLORMAPS = ("turbo", "inferno", "viridis", "gray")
UNIT = " of attention"
BACKGROUND, INK, QUIET_INK, FRAME = (250, 250, 250), (24, 24, 27), (96, 96, 104), (120, 120, 128)


@dataclass(frozen=True)
class Caption:
    """What the strip below one picture says.

    title: the word; low and high: the shares of attention at the two ends of the colour bar; mark: the largest
    share of this word, pointed at on the bar (None: no pointer); note: what the scale means; source: which
    heads were averaged.
    """

    title: str
    low: float
    high: float
    mark: float | None
    note: str
    source: str


def overlay(picture: torch.Tensor | None, heat: torch.Tensor, alpha: float, colormap: str) -> torch.Tensor:
    """(1 − alpha) · picture + alpha · colour of the heat, (height, width, 3).

    picture: (height, width, channel) with 1 to 4 channels, or None: then there is nothing to see through to,
    and the colours are pure. heat: (height, width), 0 to 1, at the size of the picture.
    """
    colours = color_table(colormap)[(heat.clamp(0, 1) * 255).round().long()]
    if picture is None:
        return colours
    return torch.lerp(as_rgb(picture), colours, float(alpha))


def as_rgb(picture: torch.Tensor) -> torch.Tensor:
    """(…, channel) as (…, 3): gray is repeated, an alpha channel left away."""
    channels = picture.shape[-1]
    if not 1 <= channels <= 4:
        raise ValueError(f"A picture has 1 to 4 channels; this one has {channels}.")
    picture = picture.to(device="cpu", dtype=torch.float32)
    return picture[..., :1].expand(*picture.shape[:-1], 3) if channels <= 2 else picture[..., :3]


@lru_cache(maxsize=8)
def color_table(name: str) -> torch.Tensor:
    """256 colours from low to high, (256, 3), 0 to 1."""
    if name not in COLORMAPS:
        raise ValueError(f"colormap is {name!r}; it must be one of {', '.join(COLORMAPS)}.")
    ramp = np.arange(256, dtype=np.uint8)
    if name == "gray":
        table = np.repeat(ramp[:, None], 3, axis=1)
    else:
        import cv2  # takes a tenth of a second to import, which ComfyUI's start need not wait for

        bgr = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{name.upper()}"))
        table = bgr.reshape(256, 3)[:, ::-1]
    return torch.from_numpy(table.astype(np.float32) / 255)


def share(value: float) -> str:
    """A share of attention as an artist reads it: 0.0312 is `3.1 %`."""
    percent = 100 * value
    if percent == 0:
        return "0 %"
    if percent < 1e-4:
        return "< 0.0001 %"
    digits = max(0, 1 - int(np.floor(np.log10(percent))))
    return f"{percent:.{digits}f} %"


def caption_strips(captions: Sequence[Caption], size: tuple[int, int], colormap: str) -> torch.Tensor:
    """The strips of a batch, all equally high: (caption, strip height, width, 3). size: (height, width) of the
    pictures above."""
    form = _Form(captions, size)
    strips = [np.asarray(form.draw(caption, color_table(colormap))) for caption in captions]
    return torch.from_numpy(np.stack(strips).astype(np.float32) / 255)


class _Form:
    """Sizes and lines of a strip, the same for a whole batch; type grows with the picture.

    title                         source      ← source moves to a line of its own where the two do not fit
    ▇▇▇▇▇▇▇▇▇▇▇ colour bar ▼ ▇▇▇▇▇▇▇▇▇▇▇
    0 %       note    3.1 % of attention      ← so does the note
    """

    def __init__(self, captions: Sequence[Caption], size: tuple[int, int]):
        height, self.width = size
        side = min(height, self.width)
        self.small = min(40, max(11, round(side / 32)))
        self.large = round(self.small * 1.5)
        self.gap = max(3, self.small // 3)
        self.pad = max(6, round(self.small * 0.6))
        self.inner = self.width - 2 * self.pad
        self.source_beside = all(self._beside(c) for c in captions)
        self.note_between = all(self._between(c) for c in captions)

    def _beside(self, caption: Caption) -> bool:
        title, source = text.width(caption.title, self.large), text.width(caption.source, self.small)
        return title + source + 2 * self.small <= self.inner

    def _between(self, caption: Caption) -> bool:
        ends = 2 * text.width(share(caption.high) + UNIT, self.small)
        return ends + text.width(caption.note, self.small) + 2 * self.small <= self.inner

    def draw(self, caption: Caption, colours: torch.Tensor) -> Image.Image:
        small, large, left, right = self.small, self.large, self.pad, self.width - self.pad
        quiet_lines = (not self.source_beside) + (not self.note_between)
        line, title_line, bar, pointer = round(small * 1.35), round(large * 1.3), small, max(4, small // 2)
        height = (
            self.pad + title_line + self.gap + pointer + bar + self.gap + line * (1 + quiet_lines) + self.pad
        )
        strip = Image.new("RGB", (self.width, height), BACKGROUND)
        pen = ImageDraw.Draw(strip)
        y = self.pad
        text.write(pen, (left, y), caption.title, large, INK, self.inner)
        if self.source_beside:
            text.write(pen, (right, y + large - small), caption.source, small, QUIET_INK, self.inner, "right")
        y += title_line + self.gap + pointer
        self._bar(strip, pen, (left, y, right, y + bar), caption, colours, pointer)
        y += bar + self.gap
        text.write(pen, (left, y), share(caption.low), small, INK, self.inner // 2)
        high = share(caption.high) + UNIT
        text.write(
            pen, (right, y), high, small, INK, self.inner - text.width(share(caption.low), small), "right"
        )
        if self.note_between:
            text.write(pen, (self.width // 2, y), caption.note, small, QUIET_INK, self.inner, "center")
        for quiet, has_own_line in (
            (caption.note, not self.note_between),
            (caption.source, not self.source_beside),
        ):
            if has_own_line:
                y += line
                text.write(pen, (left, y), quiet, small, QUIET_INK, self.inner)
        return strip

    def _bar(self, strip, pen, box, caption: Caption, colours: torch.Tensor, pointer: int) -> None:
        left, top, right, bottom = box
        steps = torch.linspace(0, 255, right - left).round().long()
        row = (colours[steps] * 255).round().to(torch.uint8).numpy()
        strip.paste(Image.fromarray(np.repeat(row[None], bottom - top, axis=0)), (left, top))
        pen.rectangle((left - 1, top - 1, right, bottom), outline=FRAME)
        if caption.mark is not None and caption.high > caption.low:
            place = (caption.mark - caption.low) / (caption.high - caption.low)
            x = left + min(max(place, 0.0), 1.0) * (right - left - 1)
            pen.polygon(
                [
                    (x - pointer * 0.7, top - pointer - 1),
                    (x + pointer * 0.7, top - pointer - 1),
                    (x, top - 1),
                ],
                fill=INK,
            )
