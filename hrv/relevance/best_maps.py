"""Maps of every word from the heads that show it best, told from the recording alone (docs/formulas.md, "Best heads for each word").

choices = best_choices(match, targets, among=["cat", "grass"])     # what each word is shown with
maps = best_maps(match, targets, choices)                          # (1, word, height, width)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..heads.layout import Layout
from ..heads.selection import HeadSelection
from ..maps.bicubic import moved, resize
from ..maps.border_peaks import KEPT, Levelling
from ..maps.gathering import gathering, strength_and_mean
from ..maps.head_maps import HeadMaps
from ..maps.timeline import timeline_maps
from ..maps.word_maps import Target, balance, ranges, word_maps
from ..recording.recording import Match, Run
from ..recording.schedule import LATE, Part
from ..threads import share_out
from ..wording import counted
from .head_scores import LOWEST, agreement
from .heads_for_word import SHARPNESS, compared_grid, compared_maps, opinions
from .vectors import PERCENT, heads_of_percent

BEST, ALL = "best heads for each word", "all heads (DAAM)"
MAPS = (BEST, ALL)
DEPTH_OF_UNET, DEPTH_OF_TRANSFORMER = (8, 1), (2, 4)
"""The power of a layer's depth in its weight late, and of its distance from the end over the whole run."""
LATE_POWER, WHOLE_POWER = 0.5, 0.56  # of both maps in their product
AHEAD = 0.25  # latent pixels by which the maps of a UNet lie too far right and down (docs/formulas.md, "Where a cell lies")
NEGLIGIBLE = 0.01  # of what the strongest head adds to a map: weaker ones are left out, which is quicker and hardly changes it
DIM = 1e-6  # share of attention below which differences of its logarithm mean nothing
FEWEST = 2  # words, among which one can be compared with the others
COMPARED = 32  # words with which one is compared, at most: more hardly change their mean
LIFT, GATHERS, AWAY = 0.9, 0.9, -0.15
"""Limits for places, chosen on tuning scenes of two networks (docs/results.md)."""


@dataclass(frozen=True)
class Choice:
    """What one word is shown with. heads, whole: its heads over the late evaluations and over the whole run, None where every head looks
    everywhere alike; low, high: the smallest and largest value of the mean of all heads, in shares of attention; place: for a word that
    names a place, its map relative to the other words, from 0 to 1, (height, width) of the compared grid; map: of any other word, its
    map from 0 to 1 where that grid is the working grid, as it was seen when the heads were chosen."""

    heads: HeadSelection | None
    whole: HeadSelection | None
    low: float
    high: float
    place: torch.Tensor | None = None
    map: torch.Tensor | None = None


AS_THEY_ARE = Levelling(KEPT)


def best_choices(
    match: Match,
    targets: Mapping[str, Target],
    among: Collection[str],
    before: Callable[[int], None] = lambda number: None,
    level: Levelling = AS_THEY_ARE,
) -> dict[str, Choice]:
    """The choice for each word. among: those of them that have content, which words for places are told by; before(number) is called
    before each word and may raise to stop; level: for lone border peaks. Raises as `head_maps` does."""
    names = list(targets)
    depth = _by_depth(match.run.layout)
    shapes = _Shapes.empty(len(names), match.run.layout.heads, compared_grid(match))

    def look(row: int) -> None:
        _look(match, names[row], targets[names[row]], shapes.of(row), depth=depth, level=level)

    share_out(look, range(len(names)), before)
    rows = [row for row, name in enumerate(names) if name in among]
    places = _places(match, [targets[names[row]] for row in rows], shapes.of(rows), before)
    found = dict(zip(rows, places, strict=True))
    layout, same_grid = match.run.layout, shapes.map.shape[1:] == match.run.grid
    return {
        name: Choice(
            HeadSelection(layout, late, late=True) if late.any() else None,
            HeadSelection(layout, whole) if whole.any() else None,
            low=float(shapes.low[row]),
            high=float(shapes.high[row]),
            place=found.get(row),
            map=shapes.map[row] if same_grid else None,
        )
        for row, (name, late, whole) in enumerate(zip(names, shapes.late, shapes.whole, strict=True))
    }


def best_maps(
    match: Match,
    targets: Mapping[str, Target],
    choices: Mapping[str, Choice],
    parts: Sequence[int] = (),
    level: Levelling = AS_THEY_ARE,
) -> torch.Tensor:
    """(1, target, height, width) on the working grid, in shares of attention: where a word is, as its heads show it; how strong, from
    the lowest to the highest value of all heads. parts: of the schedule, for (part, target, height, width); words for places are
    then shown as others. level: for lone border peaks, as the choices were made with."""
    grid, cells = match.run.grid, cells_ahead(match.run)
    maps = torch.empty(max(1, len(parts)), len(targets), *grid)
    for row, (name, target) in enumerate(targets.items()):
        choice = choices[name]
        if choice.heads is None or choice.whole is None:
            maps[:, row] = (choice.low + choice.high) / 2
        else:
            if parts:
                found = level([name], timeline_maps(match, [target], parts, choice.whole))[:, 0]
            elif choice.place is not None:
                found = level([name], resize(choice.place[None], grid))
            elif choice.map is not None:
                found = choice.map[None]
            else:
                late, whole = (
                    level([name], word_maps(match, [target], heads)) for heads in (choice.heads, choice.whole)
                )
                found = _both(late, whole)
            maps[:, row] = _between(moved(found, cells), choice)
    return maps


def cells_ahead(run: Run) -> tuple[float, float]:
    """By how many cells of the working grid a run's maps lie too far down and right: (rows, columns)."""
    size = run.traces.size
    if size is None or run.layout is None or not run.layout.is_unet:
        return 0.0, 0.0
    rows, columns = (
        AHEAD * of_grid / of_latent if of_grid < of_latent else 0.0
        for of_grid, of_latent in zip(run.grid, size, strict=True)
    )
    return rows, columns


def choice_text(choice: Choice, timeline: bool = False) -> str:
    """What one word is shown with, in a few words."""
    if choice.heads is None or choice.whole is None:
        return "all heads, which look everywhere alike"
    if choice.place is not None and not timeline:
        return "a place: compared with the other words"
    shown_by = [choice.whole] if timeline else [choice.heads, choice.whole]
    has_say = torch.stack([heads.weights > 0 for heads in shown_by]).any(0)
    return f"best {counted(int(has_say.sum()), 'head')} for this word"


def _between(maps: torch.Tensor, choice: Choice) -> torch.Tensor:
    """The maps together, stretched from `low` to `high`; flat ones lie in the middle."""
    return choice.low + _from_0_to_1(maps) * (choice.high - choice.low)


def _both(late: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Where both maps show a word, from 0 to 1: the late evaluations are sharper, the whole run keeps two things apart."""
    return _from_0_to_1(late) ** LATE_POWER * _from_0_to_1(whole) ** WHOLE_POWER


def _from_0_to_1(maps: torch.Tensor) -> torch.Tensor:
    low, high = maps.min(), maps.max()
    return (maps - low) / (high - low) if high > low else torch.full_like(maps, 0.5)


class _Shapes(NamedTuple):
    """Words on the compared grid. late, whole: the weights of their heads over the late evaluations and over the whole run, (word, head);
    map: of these, from 0 to 1, and everyone: of all heads over the whole run, (word, height, width); low, high: the smallest and largest
    value of all heads over the late evaluations, (word,).

    Made at once for all words: threads that each left small pieces between what they need for a while would make the process grow by
    hundreds of megabytes."""

    late: torch.Tensor
    whole: torch.Tensor
    map: torch.Tensor
    everyone: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    @classmethod
    def empty(cls, words: int, heads: int, grid: tuple[int, int]) -> _Shapes:
        shapes = [(words, heads)] * 2 + [(words, *grid)] * 2 + [(words,)] * 2
        return cls(*map(torch.empty, shapes))

    def of(self, rows: int | list[int]) -> _Shapes:
        """Of one word, to write to; or of some words."""
        return _Shapes(*(one[rows] for one in self))


def _by_depth(layout: Layout) -> tuple[torch.Tensor, torch.Tensor]:
    """What each head counts for its layer alone, in the late evaluations and over the whole run: float32 (head,). The last layers draw
    edges; the earlier ones keep things apart."""
    depth = (torch.arange(len(layout.blocks)) + 0.5) / len(layout.blocks)
    of_head = depth.repeat_interleave(torch.tensor([block.heads for block in layout.blocks]))
    late, whole = DEPTH_OF_UNET if layout.is_unet else DEPTH_OF_TRANSFORMER
    return of_head**late, (1 - of_head) ** whole


def _look(
    match: Match,
    name: str,
    target: Target,
    to: _Shapes,
    *,
    depth: tuple[torch.Tensor, torch.Tensor],
    level: Levelling,
) -> None:
    """Finds what is known of one word."""
    maps = []
    parts: tuple[Part, ...] = (LATE, None)
    for part, of_layers, weights in zip(parts, depth, (to.late, to.whole), strict=True):
        found = compared_maps(match, target, part)
        weights.copy_(_weights(found, of_layers))
        own = (weights @ found.maps.flatten(1)).view(to.map.shape)
        maps.append(level([name], own[None])[0])
        to.everyone.copy_(found.maps.sum(0)).div_(max(1, int(found.recorded.sum())))
        to.everyone.copy_(level([name], to.everyone[None])[0])
        if part == LATE:
            to.low.copy_(to.everyone.min())
            to.high.copy_(to.everyone.max())
    to.map.copy_(_both(*maps))


def _weights(found: HeadMaps, of_layers: torch.Tensor) -> torch.Tensor:
    made = opinions(found)
    weights = made.weights * of_layers
    adds = weights * made.range  # to the differences within the word's map
    return torch.where(adds >= NEGLIGIBLE * adds.max(), weights, 0.0)


def _places(
    match: Match, targets: Sequence[Target], shapes: _Shapes, before: Callable[[int], None]
) -> list[torch.Tensor | None]:
    """The relative maps, from 0 to 1, of the words that name a place: they gather less than the other words, hardly rise where the
    things are, and relative to the other words they lie elsewhere. None for other words."""
    found: list[torch.Tensor | None] = [None] * len(targets)
    if len(targets) < FEWEST:
        return found
    things, whole = shapes.map.mean(0), shapes.everyone
    if not things.max() > things.min():
        return found
    gathers = gathering(*strength_and_mean(whole))
    lift = (whole * things).sum((1, 2)) / things.sum() / whole.mean((1, 2)).clamp(min=DIM)
    suspects = (lift < LIFT * _of_others(lift)) & (gathers < GATHERS * _of_others(gathers))
    if not suspects.any():
        return found
    usual = _usual(match, targets, before)
    for row in suspects.nonzero().flatten().tolist():
        relative = _logarithm(match, targets[row]).sub_(usual)
        shown = _agreed(relative.sub_(relative.amin((1, 2), keepdim=True)))
        if shown is not None and float(agreement(shown[None], things)) < AWAY:
            found[row] = shown
    return found


def _of_others(values: torch.Tensor) -> torch.Tensor:
    """For each word the mean of the others' values."""
    return (values.sum() - values) / (len(values) - 1)


def _logarithm(match: Match, target: Target) -> torch.Tensor:
    return compared_maps(match, target).maps.clamp_(min=DIM).log_()


def _usual(match: Match, targets: Sequence[Target], before: Callable[[int], None]) -> torch.Tensor:
    """The mean over words, over COMPARED spread evenly among them if there are more, of the logarithm of every head's map: (head, height,
    width)."""
    total = torch.zeros(match.run.layout.heads, *compared_grid(match))
    count = min(COMPARED, len(targets))
    for number in range(count):
        before(number)
        total += _logarithm(match, targets[number * len(targets) // count])
    return total.div_(count)


def _agreed(maps: torch.Tensor) -> torch.Tensor | None:
    """The mean of the best heads by agreement alone, from 0 to 1; None where every map is flat."""
    flat = maps.flatten(1)
    weights = balance(ranges(flat))
    score = agreement(maps, (weights @ flat).view(maps.shape[1:]))
    best = score.topk(heads_of_percent(PERCENT, len(score))).indices
    best = best[score[best] > LOWEST]
    if not len(best):
        return None
    weights = weights[best] * score[best].clamp(min=0) ** SHARPNESS
    return _from_0_to_1((weights @ flat[best]).view(maps.shape[1:]))
