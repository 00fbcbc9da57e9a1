"""The path that a sampling took: the latents that the sampler held in a few of its evaluations, and what it was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

KEPT = 6  # evaluations that are kept
REACH = 0.65  # of the way to the finished image: the last of them


@dataclass(frozen=True, eq=False)
class Step:
    """One evaluation. x: (image, channel, …, height, width), what the model was given; sigma: (image,). On the CPU."""

    x: torch.Tensor
    sigma: torch.Tensor

    def of(self, rows: list[int]) -> Step:
        """Some images of the batch."""
        return Step(self.x[rows], self.sigma[rows] if len(self.sigma) > 1 else self.sigma)


@dataclass(eq=False)
class RecordedPath:
    """latent, mask: what the sampler was to begin from, and where it may change it, as nodes give them. conds: name of a list → its
    conditionings as the guider held them. steps: evaluation, counted from 0 → what was held."""

    latent: torch.Tensor
    mask: torch.Tensor | None
    conds: dict[str, list[dict[str, Any]]]
    guidance: Any
    steps: dict[int, Step] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes that the latents take."""
        return sum(step.x.numel() * step.x.element_size() for step in self.steps.values())

    def followed_by(self, later: RecordedPath) -> RecordedPath:
        """The path of two samplings that made one image: as the later one was given, from where the first began."""
        held = [path.steps[number] for path in (self, later) for number in sorted(path.steps)]
        return RecordedPath(
            later.latent, later.mask, later.conds, later.guidance, dict(enumerate(held[: 2 * KEPT]))
        )

    def chosen(self, wanted: int) -> list[Step]:
        """So many of the steps, the first among them, and the distance from one to the next growing: an image is decided early."""
        steps = [self.steps[number] for number in sorted(self.steps)]
        wanted = max(1, min(wanted, len(steps)))
        places = [number * (number + 1) / 2 for number in range(wanted)]
        scale = min(1.0, (len(steps) - 1) / max(1.0, places[-1]))
        found: list[int] = []
        for place in places:
            found.append(max(round(place * scale), found[-1] + 1 if found else 0))
        return [steps[place] for place in found] if steps else []


def kept_of(sigmas: Sequence[float], highest: float) -> set[int]:
    """Which evaluations of a sampling are kept: the first, and others by how much of the image each has, t = 1 / (1 + σ), or 1 − σ where
    models go in a straight line from noise to image (`highest`, where their whole schedule begins, is 1 then): evenly over √t from the first
    to REACH of the way to the finished image, for an image is decided early, and where depends on the scheduler. sigmas: of the evaluations.
    """
    root = [max(0.0, 1 - sigma if highest <= 1 else 1 / (1 + sigma)) ** 0.5 for sigma in sigmas]
    wanted = [root[0] + (1 - root[0]) * REACH * number / (KEPT - 1) for number in range(KEPT)]
    return {min(range(len(root)), key=lambda place: abs(root[place] - at)) for at in wanted}
