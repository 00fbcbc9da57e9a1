"""How well a mask meets a truth: intersection over union at several thresholds. Formula: docs/formulas.md, "Mask IoU".

>>> result = mask_iou(heat, truth, parse_thresholds("0.3, 0.4, 0.5"))
>>> result.best, iou_table(result)
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .bicubic import resize
from .mask import threshold_mask

TRUTH_FROM = 0.5
MAX_THRESHOLDS = 100


@dataclass(frozen=True)
class IoU:
    """scores: float64 (threshold, pair), each 0 to 1; thresholds: as asked for; empty: pairs whose truth is empty."""

    thresholds: tuple[float, ...]
    scores: torch.Tensor
    empty: int

    @property
    def means(self) -> list[float]:
        """Mean over the pairs, one for each threshold."""
        return self.scores.mean(1).tolist()

    @property
    def spreads(self) -> list[float]:
        """Standard deviation over the pairs (of the sample, n − 1), one for each threshold; not a number for one pair."""
        pairs = self.scores.shape[1]
        return self.scores.std(1).tolist() if pairs > 1 else [math.nan] * len(self.thresholds)

    @property
    def best_row(self) -> int:
        """Row of the highest mean; of equal ones the first."""
        means = self.means
        return means.index(max(means))

    @property
    def best(self) -> float:
        """The highest mean."""
        return self.means[self.best_row]


def mask_iou(mask: torch.Tensor, truth: torch.Tensor, thresholds: tuple[float, ...]) -> IoU:
    """IoU of every mask with its truth at every threshold.

    mask: (n, height, width), soft or hard, of any type; truth: (n or 1, height, width), of any size: truth where it is
    at least 0.5. One image without a batch axis, and a channel axis of one, are understood too. Raises ValueError.
    """
    masks, truths = _as_batch(mask, "mask"), _as_batch(truth, "truth")
    if len(truths) not in (1, len(masks)):
        raise ValueError(
            f"There are {len(masks)} masks and {len(truths)} truths. Connect as many truths as masks, or one for all."
        )
    scores = torch.zeros(len(thresholds), len(masks), dtype=torch.float64)
    wanted = [truths[pair if len(truths) > 1 else 0] >= TRUTH_FROM for pair in range(len(masks))]
    for pair, (found, true) in enumerate(zip(masks, wanted, strict=True)):
        for row, threshold in enumerate(thresholds):
            scores[row, pair] = intersection_over_union(binary(found, true.shape, threshold), true)
    return IoU(thresholds, scores, sum(not true.any() for true in wanted))


def binary(mask: torch.Tensor, size: Sequence[int], threshold: float) -> torch.Tensor:
    """One mask (height, width) as bool at `size`.

    A mask of 0 and 1 alone is taken as it is, resized to the nearest pixel; any other is resized and cut as word maps
    are (docs/formulas.md, "Mask"): bicubic, then (mask − min) / (max − min) ≥ threshold; a flat one is empty.
    """
    if bool(((mask == 0) | (mask == 1)).all()):
        return F.interpolate(mask[None, None], size, mode="nearest-exact")[0, 0] > 0
    return threshold_mask(resize(mask[None], size), threshold)[0] > 0


def intersection_over_union(found: torch.Tensor, true: torch.Tensor) -> float:
    """|found ∧ true| / |found ∨ true| of two bool masks of one shape; 1 where both are empty."""
    union = int((found | true).sum())
    return int((found & true).sum()) / union if union else 1.0


def parse_thresholds(text: str) -> tuple[float, ...]:
    """Numbers from 0 to 1, split by commas, semicolons, spaces or line ends, each once. Raises ValueError."""
    values = []
    for word in re.split(r"[,;\s]+", text.strip(" ,;\t\r\n")):
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:
            raise ValueError(
                "thresholds must be numbers from 0 to 1, separated by commas, such as 0.3, 0.4, 0.5; found "
                f"{word!r:.40}."
            )
        values.append(value)
    values = list(dict.fromkeys(values))
    if len(values) > MAX_THRESHOLDS:
        raise ValueError(f"There are {len(values)} thresholds; at most {MAX_THRESHOLDS} are allowed.")
    return tuple(values)


def iou_table(result: IoU) -> str:
    """Markdown: one line for each threshold, the best in bold, and a line that says of how many pairs."""
    pairs = result.scores.shape[1]
    lines = ["| threshold | mean IoU | spread | lowest | highest |", "|---:|---:|---:|---:|---:|"]
    rows = zip(result.thresholds, result.means, result.spreads, result.scores, strict=True)
    for row, (threshold, mean, spread, scores) in enumerate(rows):
        cells = [f"{threshold:g}", f"{mean:.4f}", "–" if math.isnan(spread) else f"{spread:.4f}"]
        cells += [f"{float(scores.min()):.4f}", f"{float(scores.max()):.4f}"]
        lines.append("| " + " | ".join(f"**{c}**" if row == result.best_row else c for c in cells) + " |")
    note = f"Best: {result.best:.4f} at {result.thresholds[result.best_row]:g} · {pairs} {'mask' if pairs == 1 else 'masks'}"
    if result.empty:
        note += f" · {result.empty} with an empty truth"
    return "\n".join([*lines, "", note])


def _as_batch(mask: torch.Tensor, name: str) -> torch.Tensor:
    """float32 (n, height, width) on the CPU from what packs pass as MASK."""
    shape = tuple(mask.shape)
    if mask.ndim == 4 and 1 in (shape[1], shape[3]):
        mask = mask[:, 0] if shape[1] == 1 else mask[..., 0]
    if mask.ndim == 2:
        mask = mask[None]
    if mask.ndim != 3 or 0 in mask.shape:
        raise ValueError(f"The {name} must be (batch, height, width); this one is {shape}.")
    mask = mask.detach().to(device="cpu", dtype=torch.float32)
    if not mask.isfinite().all():
        raise ValueError(f"The {name} holds values that are not numbers.")
    return mask
