"""From the collected images of a sweep to curves, chart and strip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .weakening import area_between, curve_table, curves
from .weakening_chart import curve_chart, picture_strip

LIKENESS = "similarity to the first image"
COVERED = "share covered by the mask"


@dataclass(frozen=True)
class Weakening:
    """chart and strip: float32 (1, height, width, 3); table: Markdown; area: between the curves, 0 with one curve."""

    chart: torch.Tensor
    strip: torch.Tensor
    table: str
    area: float


def weakening(
    numbers: Sequence[int],
    orders: Sequence[str],
    *,
    images: Sequence[torch.Tensor] | None = None,
    scores: Sequence[float] | None = None,
    masks: Sequence[torch.Tensor] | None = None,
    title: str = "",
) -> Weakening:
    """Curves of what was given for each picture: `scores`, else the mean of `masks`, else similarity to the first of `images`.

    numbers, orders: number of heads and order of each picture; images: (batch, height, width, channel) and masks:
    (batch, height, width), one entry for each picture. Raises ValueError when their numbers differ, or nothing is given.
    """
    name, values = _scores(images, scores, masks)
    for what, entries in (("order", orders), (name, values), ("image", images or numbers)):
        if len(entries) != len(numbers):
            raise ValueError(
                f"Weakening Curve was given {len(numbers)} numbers of heads, but {len(entries)} entries for "
                f"{what}. Connect count and order from Heads in Order, and the results of its heads, one "
                "entry for each."
            )
    found = curves(numbers, orders, values)
    chart = curve_chart(found, title, name)[None]
    strip = chart
    if images:
        pictures = {(o, n): picture[0] for n, o, picture in zip(numbers, orders, images)}
        strip = picture_strip(found, pictures)[None]
    return Weakening(chart, strip, curve_table(found, name), area_between(found) or 0.0)


def _scores(images, scores, masks) -> tuple[str, list[float]]:
    if scores:
        return "score", [float(score) for score in scores]
    if masks:
        return COVERED, [float(mask.float().mean()) for mask in masks]
    if images:
        first = images[0].float()
        if any(picture.shape != first.shape for picture in images):
            raise ValueError(
                "The images differ in size, so they cannot be compared. Connect a score or a mask."
            )
        return LIKENESS, [1 - float((picture.float() - first).abs().mean()) for picture in images]
    raise ValueError("Weakening Curve has nothing to draw. Connect a score, a mask, or the images.")
