"""What the editing suite saw, as tables."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

PLAIN = "the changed prompt alone"


@dataclass
class Seen:
    """One second picture. changed: whether the judge sees the new word; kept: share of its other answers that stay.

    outside: mean absolute difference from the first picture outside its object, as a share of 255; outline: IoU of the
    objects of both pictures.
    """

    question: str
    prompt: int
    changed: bool
    kept: float
    outside: float
    outline: float


def table(results: dict[str, list[Seen]], question: str | None) -> str:
    """One row for each setting; of one kind of change, or of all (None)."""
    what = "all changes" if question is None else f"another {question}"
    lines = [
        f"| {what} | new word drawn | other attributes kept | change outside the object | less than plainly | outline kept |",
        "|---|---|---|---|---|---|",
    ]
    plain = _by_prompt(results[PLAIN], question, "outside")
    for name, seen in results.items():
        changed, kept, outside, outline = (
            mean(_by_prompt(seen, question, value)) for value in ("changed", "kept", "outside", "outline")
        )
        less = [
            before - now for before, now in zip(plain, _by_prompt(seen, question, "outside"), strict=True)
        ]
        margin = "" if name == PLAIN else f"{100 * mean(less):.2f} ± {100 * interval(less):.2f} %"
        lines.append(
            f"| {name} | {changed:.0%} | {kept:.0%} | {100 * outside:.2f} % | {margin} | {outline:.2f} |"
        )
    return "\n".join(lines)


def _by_prompt(seen: list[Seen], question: str | None, value: str) -> list[float]:
    """The mean of each prompt's pictures, for they are alike."""
    prompts: dict[int, list[float]] = {}
    for one in seen:
        if question in (None, one.question):
            prompts.setdefault(one.prompt, []).append(float(getattr(one, value)))
    return [mean(values) for values in prompts.values()]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def interval(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean."""
    import numpy as np

    return float(1.96 * np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def footnote(options: argparse.Namespace, cfg: float, masks: float) -> str:
    """masks: how well objects are found."""
    from editing_scenes import MARGIN, QUESTIONS

    count = options.prompts * len(QUESTIONS)
    return (
        f"{count * options.batch} pictures of {count} pairs of prompts, {options.steps} euler steps, cfg {cfg:g}, the same seed "
        "for both pictures; none is left out. Change: mean absolute difference from the first picture in per cent of the "
        f"range, where that picture has no object ({MARGIN} pixels around it left out too). The object is what differs from "
        f"the colour of the picture's edge; on rendered scenes this finds the exact mask with an IoU of {masks:.2f}. ± is half "
        "of a 95 % interval over prompts. Outline: IoU of the objects of both pictures."
    )
