"""What the outputs of Attention Heatmap take of the memory, and what to say where that is much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

WORKSPACE = 300 * 2**20  # bytes that the work takes beside its outputs, at most
BYTES = 4  # of a float32
OVERLAY_CHANNELS = 3


@dataclass(frozen=True)
class Order:
    """What is to be drawn.

    words: how many, for each image; noun: what they are called; parts: of a timeline, for each image, 1 without; size: (height,
    width) of an image; strip: pixels of the strip below each overlay, at most; typed: whether the words were asked for by name.
    """

    words: Sequence[int]
    noun: str
    parts: Sequence[int]
    size: tuple[int, int]
    strip: int
    typed: bool

    @property
    def nbytes(self) -> int:
        """Bytes of overlays, heat and masks together."""
        height, width = self.size
        rows = OVERLAY_CHANNELS * (height + self.strip) + 2 * height
        return BYTES * rows * width * self._heatmaps

    def check(self, free: int | None) -> str:
        """What the artist should know before the work starts, or nothing. free: bytes, None where that is not known.

        Raises ValueError if it cannot fit.
        """
        if free is None or self.nbytes <= free / 2:
            return ""
        if self.nbytes + WORKSPACE > free:
            raise ValueError(f"{self._need()}, but only {_gigabytes(free)} is free. {self._advice()}")
        return f"{self._need()}, more than half of the {_gigabytes(free)} that is free. {self._advice()}"

    def empty(self, *shape: int) -> torch.Tensor:
        """A tensor for one of the outputs. Raises ValueError where there is no memory for it."""
        try:
            return torch.empty(*shape)
        except RuntimeError as error:
            raise ValueError(f"{self._need()}, but that much is not free. {self._advice()}") from error

    @property
    def _heatmaps(self) -> int:
        return sum(words * parts for words, parts in zip(self.words, self.parts, strict=True))

    def _need(self) -> str:
        height, width = self.size
        images = f"{len(self.words)} {'image' if len(self.words) == 1 else 'images'} of {width}×{height}"
        if len({*self.words}) == len({*self.parts}) == 1:
            what = f"{self.words[0]} {self.noun if self.words[0] > 1 else self.noun[:-1]} × {images}"
            what += f" × {self.parts[0]} parts of the schedule" if self.parts[0] > 1 else ""
        else:
            what = f"{self._heatmaps} heatmaps on {images}"
        return f"{what}: overlays, heat and masks need {_gigabytes(self.nbytes)}"

    def _advice(self) -> str:
        steps = []
        if max(self.words) > 1:
            steps.append("ask for fewer words" if self.typed else "type the words you want into `words`")
        if max(self.parts) > 1:
            steps.append("switch `timeline` off")
        if len(self.words) > 1:
            steps.append("connect fewer images at a time")
        steps.append("connect a smaller `image`")
        text = f"{', '.join(steps[:-1])} or {steps[-1]}." if len(steps) > 1 else f"{steps[0]}."
        return text[0].upper() + text[1:]


def _gigabytes(count: float) -> str:
    """As ComfyUI and the task manager count them; below 1 GB in MB."""
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"
