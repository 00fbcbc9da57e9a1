"""What the outputs of Attention Heatmap take of the memory, and what to say where that is much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..wording import Said, figure, said, sentences

WORKSPACE = 300 * 2**20  # bytes that the work takes beside its outputs, at most
BYTES = 4  # of a float32
OVERLAY_CHANNELS = 3


@dataclass(frozen=True)
class Order:
    """What is to be drawn.

    words: how many, for each image; parts: of a timeline, for each image, 1 without; size: (height,
    width) of an image; strip: pixels of the strip below each overlay, at most; typed: whether the words were asked for by name.
    """

    words: Sequence[int]
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
            much = said("That is more than the {memory} that is free.", memory=_gigabytes(free))
            raise ValueError(sentences(self._need(), much, self._advice()))
        half = said("That is more than half of the {memory} that is free.", memory=_gigabytes(free))
        return sentences(self._need(), half, self._advice())

    def empty(self, *shape: int) -> torch.Tensor:
        """A tensor for one of the outputs. Raises ValueError where there is no memory for it."""
        try:
            return torch.empty(*shape)
        except RuntimeError as error:
            much = said("That much is not free.")
            raise ValueError(sentences(self._need(), much, self._advice())) from error

    @property
    def _heatmaps(self) -> int:
        return sum(words * parts for words, parts in zip(self.words, self.parts, strict=True))

    def _need(self) -> Said:
        height, width = self.size
        alike = len({*self.words}) == len({*self.parts}) == 1
        numbers = [self.words[0], len(self.words), self.parts[0]] if alike else [self._heatmaps]
        return said(
            "Overlays, heat and masks ({what}) need {memory}.",
            what=" × ".join([*(str(number) for number in numbers if number > 1), f"{width}×{height}"]),
            memory=_gigabytes(self.nbytes),
        )

    def _advice(self) -> Said:
        steps = []
        if max(self.words) > 1:
            fewer = "Ask for fewer words." if self.typed else "Type the words you want into `words`."
            steps.append(said(fewer))
        if max(self.parts) > 1:
            steps.append(said("Switch `timeline` off."))
        if len(self.words) > 1:
            steps.append(said("Connect fewer images at a time."))
        return sentences(*steps, said("Connect a smaller `image`."))


def _gigabytes(count: float) -> Said:
    """As ComfyUI and the task manager count them; below 1 GB in MB."""
    return figure(f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB")
