"""The path that a sampling took: the latents that the sampler held in a few of its evaluations, and what it was given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

KEPT = 6  # evaluations that are kept


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
    conditionings as the guider held them, which only host/ understands. steps: evaluation, counted from 0 → what was held."""

    latent: torch.Tensor
    mask: torch.Tensor | None
    conds: dict[str, list[dict[str, Any]]]
    steps: dict[int, Step] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes that the latents take."""
        return sum(step.x.numel() * step.x.element_size() for step in self.steps.values())

    def followed_by(self, later: RecordedPath) -> RecordedPath:
        """The path of two samplings that made one image: as the later one was given, from where the first began."""
        held = [path.steps[number] for path in (self, later) for number in sorted(path.steps)]
        return RecordedPath(later.latent, later.mask, later.conds, dict(enumerate(held[: 2 * KEPT])))

    def chosen(self, wanted: int) -> list[Step]:
        """So many of the steps, the first among them, spread evenly."""
        steps = [self.steps[number] for number in sorted(self.steps)]
        wanted = max(1, min(wanted, len(steps)))
        return [steps[number * len(steps) // wanted] for number in range(wanted)] if steps else []


def kept_of(evaluations: int) -> set[int]:
    """Which evaluations of a sampling of so many are kept: the first, and others spread evenly over its first half, where an image is
    decided."""
    half = max(1, (evaluations + 1) // 2)
    kept = min(KEPT, half)
    return {number * half // kept for number in range(kept)}
