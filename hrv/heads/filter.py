"""Narrowing and combining choices of heads."""

from __future__ import annotations

import re
from dataclasses import replace

import torch

from .layout import PARTS, Layout
from .selection import HeadSelection

ALL = "all"
GRIDS = (ALL, "largest", "smaller")
COMBINATIONS = ("shared by both", "in either", "only in the first")
MAX_INDICES = 10_000


def all_heads(layout: Layout) -> HeadSelection:
    """Every head, equally weighted."""
    return HeadSelection(layout, torch.ones(layout.heads), "all heads")


def filter_heads(heads: HeadSelection, part: str = ALL, grid: str = ALL, indices: str = "") -> HeadSelection:
    """The heads that lie in a part of the network, on a grid and among head numbers, with the weights they had.

    part: all, input, middle or output. grid: all, largest (where attention is finest) or smaller. indices: such as
    "0-39, 100, 1240-"; empty for all. Raises ValueError when no head is left, or the indices cannot be read.
    """
    keep, label = torch.ones(heads.layout.heads, dtype=torch.bool), [heads.label] if heads.label else []
    if part != ALL:
        keep &= _of_blocks(heads.layout, [block.part == part for block in heads.layout.blocks])
        label.append(part)
    if grid != ALL:
        finest = on_largest_grid(heads.layout)
        keep &= _of_blocks(heads.layout, [is_finest == (grid == "largest") for is_finest in finest])
        label.append(f"{grid} grid")
    if indices.strip():
        keep &= parse_indices(indices, heads.layout.heads)
        label.append(f"heads {' '.join(indices.split())}")
    return _checked(replace(heads, weights=heads.weights * keep, label=", ".join(label)))


def combine(first: HeadSelection, second: HeadSelection, how: str) -> HeadSelection:
    """Heads of two choices: those shared by both, in either, or only in the first.

    A head keeps the weight it has in the first choice, or else that in the second; the first says whether heads are
    balanced. Raises ValueError when no head is left, or the choices are for different models.
    """
    second.check(first.layout)
    if how not in COMBINATIONS:
        raise ValueError(f"combine is {how!r}; it must be one of {', '.join(COMBINATIONS)}.")
    in_first, in_second = first.weights > 0, second.weights > 0
    if how == "in either":
        weights, sign = torch.where(in_first, first.weights, second.weights), "or"
    else:
        shared = how == "shared by both"
        weights, sign = first.weights * (in_second if shared else ~in_second), "and" if shared else "not"
    return _checked(replace(first, weights=weights, label=f"{first.label} {sign} {second.label}"))


def on_largest_grid(layout: Layout) -> tuple[bool, ...]:
    """For each block, whether its attention has the largest grid of the network.

    A UNet's input blocks of one resolution follow each other without a gap (the block in between makes the image
    smaller), and n input blocks are answered by n + 1 output blocks.
    """
    if not layout.is_unet:
        return (True,) * len(layout.blocks)  # transformers have one grid
    inputs = sorted({block.index for block in layout.blocks if block.part == "input"})
    outputs = [block.index for block in layout.blocks if block.part == "output"]
    if not inputs:
        last = max(outputs, default=None)
        return tuple(
            block.index == last and block.part == "output" or last is None for block in layout.blocks
        )
    run = next((i for i in range(1, len(inputs)) if inputs[i] != inputs[0] + i), len(inputs))
    first_output = max(outputs, default=0) - run
    finest = {"input": lambda index: index < inputs[0] + run, "output": lambda index: index >= first_output}
    return tuple(block.part in finest and finest[block.part](block.index) for block in layout.blocks)


def parse_indices(text: str, heads: int) -> torch.Tensor:
    """Head numbers and ranges, both ends included, as bool (head,). "200-" goes to the last head.

    >>> parse_indices("0-1, 3", 5).tolist()
    [True, True, False, True, False]
    """
    keep = torch.zeros(heads, dtype=torch.bool)
    pieces = [piece for piece in re.split(r"[,;\s]+", re.sub(r"\s*-\s*(?=\d)", "-", text.strip())) if piece]
    for piece in pieces[:MAX_INDICES]:
        match = re.fullmatch(r"(\d{1,6})(-(\d{1,6})?)?", piece)
        if not match:
            raise ValueError(
                f"“{piece:.40}” in indices is not a head number or a range. Write, for example: 0-39, 100"
            )
        first = int(match[1])
        last = int(match[3]) if match[3] else (heads - 1 if match[2] else first)
        if not first <= last < heads:
            raise ValueError(f"“{piece}” in indices is out of range: this model has heads 0 to {heads - 1}.")
        keep[first : last + 1] = True
    return keep


def heads_in_words(heads: HeadSelection) -> str:
    """How many heads are chosen, in how many layers."""
    chosen = heads.weights > 0
    layers = sum(bool(chosen[heads.layout.span(number)].any()) for number in range(len(heads.layout.blocks)))
    return (
        f"{int(chosen.sum())} of {heads.layout.heads} heads, in {layers} of {len(heads.layout.blocks)} layers"
    )


def _of_blocks(layout: Layout, chosen: list[bool]) -> torch.Tensor:
    counts = torch.tensor([block.heads for block in layout.blocks])
    return torch.tensor(chosen).repeat_interleave(counts)


def _checked(heads: HeadSelection) -> HeadSelection:
    if not heads.weights.any():
        parts = dict.fromkeys(block.part for block in heads.layout.blocks)
        have = ", ".join(part for part in PARTS if part in parts)
        raise ValueError(
            f"No heads are left ({heads.label}). The model has {heads.layout.heads} heads, in these parts: "
            f"{have}. Loosen a condition."
        )
    return heads
