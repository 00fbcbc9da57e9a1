"""Ordered weakening: more and more heads in the order of their relevance for a concept, and a score of each image.

Park et al. 2024 (arXiv 2412.02237), section "Ordered weakening analysis": if relevance means anything, weakening the most
relevant heads first destroys the concept sooner than weakening the least relevant first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..heads.selection import HeadSelection
from ..relevance.vectors import ORDERS, HeadRelevance

BOTH = "both"


def counts(heads: int, points: int) -> list[int]:
    """How many heads to take: `points` numbers from none to all, evenly spaced and rounded.

    >>> counts(72, 5)
    [0, 18, 36, 54, 72]
    """
    if not 2 <= points <= heads + 1:
        raise ValueError(
            f"points is {points}; it must be between 2 and {heads + 1} for a model with {heads} heads."
        )
    return [round(step * heads / (points - 1)) for step in range(points)]


def sweep(
    vectors: HeadRelevance, concept: str, points: int, order: str
) -> tuple[list[HeadSelection], list[int], list[str]]:
    """The heads, their number and their order ("most relevant", "least relevant") for each image of a sweep.

    order: one of ORDERS, or "both" for one after the other.
    """
    name = vectors.concepts[vectors.index(concept)]
    selections, numbers, orders = [], [], []
    for one in ORDERS if order == BOTH else (order,):
        ranking = vectors.ranking(concept, one)
        for count in counts(vectors.heads, points):
            weights = torch.zeros(vectors.heads)
            weights[ranking[:count]] = 1.0
            selections.append(HeadSelection(vectors.layout, weights, f"{name}, {count} {one} heads"))
            numbers.append(count)
            orders.append(one)
    return selections, numbers, orders


@dataclass(frozen=True)
class Curve:
    """The score of the image for each number of heads, in ascending order of heads."""

    order: str
    counts: tuple[int, ...]
    scores: tuple[float, ...]

    @property
    def area(self) -> float:
        """Mean score over the numbers of heads (trapezoids), so that 0 to 1 stays 0 to 1."""
        x, y = self.counts, self.scores
        steps = zip(zip(x, x[1:]), zip(y, y[1:]))
        return sum((b - a) * (c + d) / 2 for (a, b), (c, d) in steps) / (x[-1] - x[0])


def curves(numbers: Sequence[int], orders: Sequence[str], scores: Sequence[float]) -> list[Curve]:
    """One curve for each order, from one entry for each image. Raises ValueError for a curve of less than two points."""
    found = []
    for order in dict.fromkeys(orders):
        points = sorted((n, s) for n, o, s in zip(numbers, orders, scores, strict=True) if o == order)
        if len({number for number, _ in points}) < 2:
            raise ValueError(
                f"A curve needs images with at least two different numbers of heads; “{order}” has only one."
            )
        found.append(Curve(order, tuple(n for n, _ in points), tuple(s for _, s in points)))
    return found


def area_between(found: Sequence[Curve]) -> float | None:
    """Mean of (least relevant first − most relevant first) over the numbers of heads; None without both curves.

    Positive: the most relevant heads carry the concept.
    """
    by_order = {curve.order: curve.area for curve in found}
    if not set(ORDERS) <= set(by_order):
        return None
    return by_order[ORDERS[1]] - by_order[ORDERS[0]]


def curve_table(found: Sequence[Curve], score: str = "score") -> str:
    """All points as Markdown, one row for each number of heads."""
    rows = sorted({number for curve in found for number in curve.counts})
    at = [dict(zip(curve.counts, curve.scores)) for curve in found]
    lines = [
        f"| heads | {' | '.join(f'{score}, {curve.order} first' for curve in found)} |",
        "|---|" + "---|" * len(found),
    ]
    for row in rows:
        values = (f"{points[row]:.3f}" if row in points else "" for points in at)
        lines.append(f"| {row} | {' | '.join(values)} |")
    return "\n".join(lines)
