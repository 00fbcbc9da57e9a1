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
    """

    layout: Layout
    weights: torch.Tensor
    label: str = ""

    def check(self, layout: Layout) -> None:
        """Raises ValueError unless the selection was made for a network of this layout."""
        if self.layout != layout:
            raise ValueError(
                f"These heads were chosen for a model with {self.layout.heads} heads; this model has "
                f"{layout.heads}. Choose the heads with vectors made for this model."
            )
