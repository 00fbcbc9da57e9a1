"""A weighted choice of heads (socket HRV_HEADS)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .layout import Layout


@dataclass(frozen=True)
class HeadSelection:
    """Heads to average. weights: float32 (heads,), not negative; 1 for a plain mean. All zero is no head at all,
    which only steering has a use for.

    label: a few words for captions, such as "Animals 23 %".
    balanced: each head's map also counts 1 / √(its own range), so that the heads that look hardest at a word do not
    drown the others (docs/formulas.md, "Selected heads"). late: maps are those of the late evaluations, where there were any
    (docs/formulas.md, "Late evaluations"). Maps heed both; steering does not.
    """

    layout: Layout
    weights: torch.Tensor
    label: str = ""
    balanced: bool = False
    late: bool = False

    def check(self, layout: Layout) -> None:
        """Raises ValueError unless the selection was made for a network of this layout."""
        if self.layout != layout:
            other = (
                f"has {layout.heads}"
                if layout.heads != self.layout.heads
                else "has just as many, but in other parts of the network"
            )
            raise ValueError(
                f"These heads were chosen for a model with {self.layout.heads} heads; this model {other}. Choose the heads with "
                "vectors made for this model."
            )
