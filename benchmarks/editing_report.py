"""What the editing suite saw, as tables."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import bench
import numpy as np
from editing_scenes import MARGIN, QUESTIONS
from studio import CFG

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
    columns = f"{what} | pictures | new word drawn | other attributes kept | change outside the object | less than plainly | outline kept"
    rows = []
    plain = by_prompt(results[PLAIN], question, "outside")
    for name, seen in results.items():
        outside = by_prompt(seen, question, "outside")
        if not outside:
            continue
        changed, kept, outline = (
            mean(by_prompt(seen, question, value).values()) for value in ("changed", "kept", "outline")
        )
        less = [plain[prompt] - change for prompt, change in outside.items()]
        margin = "" if name == PLAIN else f"{100 * mean(less):.2f} ± {100 * interval(less):.2f} %"
        pictures = sum(question in (None, one.question) for one in seen)
        change = f"{100 * mean(outside.values()):.2f} %"
        rows.append((name, pictures, f"{changed:.0%}", f"{kept:.0%}", change, margin, f"{outline:.2f}"))
    return bench.markdown(columns, rows)


def by_prompt(seen: list[Seen], question: str | None, value: str) -> dict[int, float]:
    """Pair of prompts → the mean of its pictures, for they are alike."""
    prompts: dict[int, list[float]] = {}
    for one in seen:
        if question in (None, one.question):
            prompts.setdefault(one.prompt, []).append(float(getattr(one, value)))
    return {prompt: mean(values) for prompt, values in prompts.items()}


def mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def interval(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean."""
    return float(1.96 * np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def footnote(options: argparse.Namespace, masks: float) -> str:
    """masks: how well objects are found."""
    count = options.prompts * len(QUESTIONS)
    return (
        f"{count * options.batch} pictures of {count} pairs of prompts, {options.steps} euler steps, cfg {CFG:g}, the same seed "
        "for both pictures; none is left out; some settings are drawn for a part of the pairs. Change: mean absolute difference "
        f"from the first picture in per cent of the range, where that picture has no object ({MARGIN} pixels around it left out "
        f"too). The object is what differs from the colour of the picture's edge; on rendered scenes this finds the exact mask with an IoU of {masks:.2f}. ± is half "
        "of a 95 % interval over pairs, against the same pairs drawn plainly. Outline: IoU of the objects of both pictures."
    )
