"""Heat over images, and the caption strip below them.

Images are float32 (height, width, channel), 0 to 1. Nothing is ever written on the image itself: words and
the colour bar go into a strip below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageDraw

from ..wording import share_text
from . import text

COLORMAPS = ("turbo", "inferno", "viridis", "gray")
HOT, EVERYWHERE = TINTS = ("where it is hot", "everywhere")
UNIT = " of attention"
BACKGROUND, INK, QUIET_INK, FRAME = (250, 250, 250), (24, 24, 27), (96, 96, 104), (120, 120, 128)
AT_ONCE = (
    2**16
)  # pixels that are coloured at a time: 1 MB with all that is made of them, so that it stays in the cache


@dataclass(frozen=True)
class Caption:
    """What the strip below one image says.

    title: the word; low and high: the shares of attention at the two ends of the colour bar; mark: the largest
    share of this word, pointed at on the bar (None: no pointer); note: what the scale means; source: which
    heads were averaged. ends: what the two ends are called where they are no shares of attention.
    """

    title: str
    low: float
    high: float
    mark: float | None
    note: str
    source: str
    ends: tuple[str, str] | None = None

    @property
    def labels(self) -> tuple[str, str]:
        """What stands at the two ends of the bar."""
        return self.ends or (share_text(self.low), share_text(self.high) + UNIT)


def overlay(
    picture: torch.Tensor | None,
    heat: torch.Tensor,
    alpha: float,
    colormap: str,
    out: torch.Tensor | None = None,
    *,
    tint: str = EVERYWHERE,
) -> torch.Tensor:
    """(1 − a) · picture + a · colour of the heat, (height, width, 3), written into `out` where it is given.

    picture: (height, width, channel) with 1 to 4 channels, or None: then there is nothing to see through to,
    and the colours are pure. heat: (height, width), 0 to 1, at the size of the picture. tint: EVERYWHERE, a is alpha; HOT, a is
    ease(alpha) · ease(heat), ease(x) = 1 − (1 − x)², so that what has no heat keeps the picture's own colours. Raises ValueError for
    another tint.
    """
    if tint not in TINTS:
        raise ValueError(f"tint is {tint!r}; it must be one of {', '.join(TINTS)}.")
    picture = as_rgb(picture) if picture is not None else None
    out = torch.empty(*heat.shape, 3) if out is None else out
    rows = max(1, AT_ONCE // heat.shape[1])
    most = 1 - (1 - float(alpha)) ** 2
    for first in range(0, heat.shape[0], rows):
        part = slice(first, first + rows)
        out[part].copy_(_colours(heat[part], colormap)).div_(255)
        if picture is not None:
            cover = (
                float(alpha)
                if tint == EVERYWHERE
                else (1 - (1 - heat[part].clamp(0, 1)) ** 2)[..., None] * most
            )
            torch.lerp(picture[part], out[part], cover, out=out[part])
    return out


def _colours(heat: torch.Tensor, colormap: str) -> torch.Tensor:
    """uint8 (height, width, 3)."""
    import cv2  # takes a tenth of a second to import, which ComfyUI's start need not wait for

    steps = cv2.convertScaleAbs(heat.clamp(0, 1).numpy(), alpha=255)  # rounds to the nearest
    return torch.from_numpy(cv2.applyColorMap(steps, _byte_table(colormap)[:, None]))


def as_rgb(picture: torch.Tensor) -> torch.Tensor:
    """(…, channel) as (…, 3): gray is repeated, an alpha channel left away."""
    channels = picture.shape[-1]
    if not 1 <= channels <= 4:
        raise ValueError(f"An image has 1 to 4 channels; this one has {channels}.")
    picture = picture.to(device="cpu", dtype=torch.float32)
    return picture[..., :1].expand(*picture.shape[:-1], 3) if channels <= 2 else picture[..., :3]


@lru_cache(maxsize=8)
def color_table(name: str) -> torch.Tensor:
    """256 colours from low to high, (256, 3), 0 to 1."""
    return torch.from_numpy(_byte_table(name).astype(np.float32) / 255)


@lru_cache(maxsize=8)
def _byte_table(name: str) -> np.ndarray:
    """The same in bytes: uint8 (256, 3)."""
    if name not in COLORMAPS:
        raise ValueError(f"colormap is {name!r}; it must be one of {', '.join(COLORMAPS)}.")
    ramp = np.arange(256, dtype=np.uint8)
    if name == "gray":
        return np.repeat(ramp[:, None], 3, axis=1)
    import cv2

    bgr = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{name.upper()}"))
    return np.ascontiguousarray(bgr.reshape(256, 3)[:, ::-1])


def caption_strips(captions: Sequence[Caption], size: tuple[int, int], colormap: str) -> torch.Tensor:
    """The strips of a batch, all equally high: (caption, strip height, width, 3). size: (height, width) of the
    images above."""
    form = Strips(captions, size, colormap)
    strips = torch.empty(len(captions), form.height, form.width, 3)
    for caption, strip in zip(captions, strips, strict=True):
        form.draw(caption, strip)
    return strips


class Strips:
    """The strips of a batch, drawn one at a time. All have the same size and lines; type grows with the image.

    title                         source      ← source moves to a line of its own where the two do not fit
    ▇▇▇▇▇▇▇▇▇▇▇ colour bar ▼ ▇▇▇▇▇▇▇▇▇▇▇
    0 %       note    3.1 % of attention      ← so does the note

    captions: of the whole batch. size: (height, width) of the images above. height: of a strip, with these captions;
    tallest: with any captions.
    """

    def __init__(self, captions: Sequence[Caption], size: tuple[int, int], colormap: str):
        height, self.width = size
        side = min(height, self.width)
        self.small = min(40, max(11, round(side / 32)))
        self.large = round(self.small * 1.5)
        self.gap = max(3, self.small // 3)
        self.pad = max(6, round(self.small * 0.6))
        self.inner = self.width - 2 * self.pad
        self.line, self.title_line = round(self.small * 1.35), round(self.large * 1.3)
        self.pointer = max(4, self.small // 2)
        self.source_beside = all(self._beside(c) for c in captions)
        self.note_between = all(self._between(c) for c in captions)
        own_lines = (not self.source_beside) + (not self.note_between)
        lowest = self.title_line + self.pointer + self.small + 2 * self.gap + self.line + 2 * self.pad
        self.height, self.tallest = lowest + own_lines * self.line, lowest + 2 * self.line
        bar_top = self.pad + self.title_line + self.gap + self.pointer
        self.bar = (self.pad, bar_top, self.width - self.pad, bar_top + self.small)
        self._empty = self._with_bar(colormap)

    def _beside(self, caption: Caption) -> bool:
        title, source = text.width(caption.title, self.large), text.width(caption.source, self.small)
        return title + source + 2 * self.small <= self.inner

    def _between(self, caption: Caption) -> bool:
        ends = 2 * max(text.width(label, self.small) for label in caption.labels)
        return ends + text.width(caption.note, self.small) + 2 * self.small <= self.inner

    def _with_bar(self, colormap: str) -> Image.Image:
        """What all strips share."""
        left, top, right, bottom = self.bar
        row = _byte_table(colormap)[torch.linspace(0, 255, right - left).round().long().numpy()]
        strip = Image.new("RGB", (self.width, self.height), BACKGROUND)
        strip.paste(Image.fromarray(np.repeat(row[None], bottom - top, axis=0)), (left, top))
        ImageDraw.Draw(strip).rectangle((left - 1, top - 1, right, bottom), outline=FRAME)
        return strip

    def draw(self, caption: Caption, out: torch.Tensor) -> None:
        """out: float32 (height, width, 3)."""
        small, large, (left, _, right, bottom) = self.small, self.large, self.bar
        strip = self._empty.copy()
        pen = ImageDraw.Draw(strip)
        y = self.pad
        text.write(pen, (left, y), caption.title, size=large, ink=INK, room=self.inner)
        if self.source_beside:
            text.write(
                pen,
                (right, y + large - small),
                caption.source,
                size=small,
                ink=QUIET_INK,
                room=self.inner,
                align="right",
            )
        self._point(pen, caption)
        y = bottom + self.gap
        low, high = caption.labels
        text.write(pen, (left, y), low, size=small, ink=INK, room=self.inner // 2)
        text.write(
            pen,
            (right, y),
            high,
            size=small,
            ink=INK,
            room=self.inner - text.width(low, small),
            align="right",
        )
        if self.note_between:
            text.write(
                pen,
                (self.width // 2, y),
                caption.note,
                size=small,
                ink=QUIET_INK,
                room=self.inner,
                align="center",
            )
        for quiet, has_own_line in (
            (caption.note, not self.note_between),
            (caption.source, not self.source_beside),
        ):
            if has_own_line:
                y += self.line
                text.write(pen, (left, y), quiet, size=small, ink=QUIET_INK, room=self.inner)
        out.copy_(torch.from_numpy(np.array(strip))).div_(255)

    def _point(self, pen, caption: Caption) -> None:
        left, top, right, _ = self.bar
        if caption.mark is not None and caption.high > caption.low:
            place = (caption.mark - caption.low) / (caption.high - caption.low)
            x = left + min(max(place, 0.0), 1.0) * (right - left - 1)
            wide = self.pointer * 0.7
            pen.polygon(
                [(x - wide, top - self.pointer - 1), (x + wide, top - self.pointer - 1), (x, top - 1)],
                fill=INK,
            )
