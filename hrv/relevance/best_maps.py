"""Maps of every word from the heads that show it best, told from the recording alone (docs/formulas.md, "Best heads for each word").

choices = best_choices(match, targets, among=["cat", "grass"])     # what each word is shown with
maps = best_maps(match, targets, choices)                          # (1, word, height, width)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch

from ..heads.selection import HeadSelection
from ..maps.bicubic import resize
from ..maps.border_peaks import KEPT, Levelling
from ..maps.gathering import gathering, strength_and_mean
from ..maps.head_maps import HeadMaps
from ..maps.timeline import timeline_maps
from ..maps.word_maps import Target, balance, ranges, word_maps
from ..recording.recording import Match
from ..recording.schedule import LATE
from ..threads import share_out
from ..wording import counted
from .head_scores import LOWEST, agreement
from .heads_for_word import SHARPNESS, compared_maps, opinions
from .vectors import PERCENT, heads_of_percent

BEST, ALL = "best heads for each word", "all heads (DAAM)"
MAPS = (BEST, ALL)
NEGLIGIBLE = 0.01  # of what the strongest head adds to a map: weaker ones are left out, which is quicker and hardly changes it
DIM = 1e-6  # share of attention below which differences of its logarithm mean nothing
FEWEST = 2  # words, among which one can be compared with the others
LIFT, GATHERS, AWAY = (
    0.85,
    0.9,
    -0.3,
)  # limits for places, chosen on tuning scenes of two networks (docs/results.md)


@dataclass(frozen=True)
class Choice:
    """What one word is shown with. heads, whole: its heads over the late evaluations and over the whole run, None where every head looks
    everywhere alike; low, high: the smallest and largest
    value of the mean of all heads, in shares of attention; place: for a word that names a place, its map relative to the other words,
    from 0 to 1, (height, width) of the compared grid."""

    heads: HeadSelection | None
    whole: HeadSelection | None
    low: float
    high: float
    place: torch.Tensor | None = None


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
    shapes: dict[str, _Shape] = {}

    def look(name: str) -> None:
        shapes[name] = _shape_of(match, name, targets[name], level)

    share_out(look, names, before)
    places = _places(match, targets, {name: shapes[name] for name in names if name in among}, before)
    layout = match.run.layout
    return {
        name: Choice(
            HeadSelection(layout, shape.late, late=True) if shape.late.any() else None,
            HeadSelection(layout, shape.weights) if shape.weights.any() else None,
            low=shape.low,
            high=shape.high,
            place=places.get(name),
        )
        for name, shape in ((name, shapes[name]) for name in names)
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
    grid = match.run.grid
    maps = torch.empty(max(1, len(parts)), len(targets), *grid)
    for row, (name, target) in enumerate(targets.items()):
        choice = choices[name]
        if choice.heads is None or choice.whole is None:
            maps[:, row] = (choice.low + choice.high) / 2
        elif parts:
            made = timeline_maps(match, [target], parts, choice.heads)
            maps[:, row] = _between(level([name], made)[:, 0], choice)
        elif choice.place is not None:
            maps[:, row] = _between(level([name], resize(choice.place[None], grid)), choice)
        else:
            late, whole = (
                level([name], word_maps(match, [target], heads)) for heads in (choice.heads, choice.whole)
            )
            maps[:, row] = _between(_both(late, whole), choice)
    return maps


def choice_text(choice: Choice, timeline: bool = False) -> str:
    """What one word is shown with, in a few words."""
    if choice.heads is None:
        return "all heads, which look everywhere alike"
    if choice.place is not None and not timeline:
        return "a place: compared with the other words"
    return f"best {counted(int((choice.heads.weights > 0).sum()), 'head')} for this word"


def _between(maps: torch.Tensor, choice: Choice) -> torch.Tensor:
    """The maps together, stretched from `low` to `high`; flat ones lie in the middle."""
    return choice.low + _from_0_to_1(maps) * (choice.high - choice.low)


def _both(late: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Where both maps show a word, from 0 to 1: the late evaluations are sharper, the whole run keeps two things apart."""
    return (_from_0_to_1(late) * _from_0_to_1(whole)).sqrt()


def _from_0_to_1(maps: torch.Tensor) -> torch.Tensor:
    low, high = maps.min(), maps.max()
    return (maps - low) / (high - low) if high > low else torch.full_like(maps, 0.5)


@dataclass(frozen=True)
class _Shape:
    """A word on the compared grid. late, weights: of its heads over the late evaluations and over the whole run, (head,); map: of these,
    0 to 1; everyone: the mean of all heads over the whole run; low, high: of the mean of all heads over the late evaluations."""

    late: torch.Tensor
    weights: torch.Tensor
    map: torch.Tensor
    everyone: torch.Tensor
    low: float
    high: float


def _shape_of(match: Match, name: str, target: Target, level: Levelling) -> _Shape:
    late, whole = compared_maps(match, target, LATE), compared_maps(match, target)
    of_late, of_whole = _weights(late), _weights(whole)
    everyone, ever = (
        level([name], found.maps.sum(0, keepdim=True) / max(1, int(found.recorded.sum())))[0]
        for found in (late, whole)
    )
    return _Shape(
        of_late,
        of_whole,
        _both(*(level([name], _mean(*own)[None])[0] for own in ((of_late, late), (of_whole, whole)))),
        everyone=ever,
        low=float(everyone.min()),
        high=float(everyone.max()),
    )


def _mean(weights: torch.Tensor, found: HeadMaps) -> torch.Tensor:
    """Up to a factor: (height, width)."""
    return (weights @ found.maps.flatten(1)).view(found.maps.shape[1:])


def _weights(found: HeadMaps) -> torch.Tensor:
    made = opinions(found)
    adds = made.weights * made.range  # to the differences within the word's map
    return torch.where(adds >= NEGLIGIBLE * adds.max(), made.weights, 0.0)


def _places(
    match: Match, targets: Mapping[str, Target], shapes: Mapping[str, _Shape], before: Callable[[int], None]
) -> dict[str, torch.Tensor]:
    """The relative maps, from 0 to 1, of the words that name a place: they gather less than the other words, hardly rise where the
    things are, and relative to the other words they lie elsewhere."""
    if len(shapes) < FEWEST:
        return {}
    things = torch.stack([shape.map for shape in shapes.values()]).mean(0)
    if not things.max() > things.min():
        return {}
    whole = torch.stack([shape.everyone for shape in shapes.values()])
    gathers = gathering(*strength_and_mean(whole))
    lift = (whole * things).sum((1, 2)) / things.sum() / whole.mean((1, 2)).clamp(min=DIM)
    suspects = (lift < LIFT * lift.quantile(0.5)) & (gathers < GATHERS * gathers.quantile(0.5))
    names = [name for name, suspect in zip(shapes, suspects.tolist(), strict=True) if suspect]
    if not names:
        return {}
    logarithms: list[torch.Tensor] = []
    for number, name in enumerate(shapes):
        before(number)
        of_word = compared_maps(match, targets[name]).maps.clamp_(min=DIM).log_()
        logarithms = [logarithms[0].add_(of_word) if logarithms else of_word]
    usual = logarithms[0] / len(shapes)
    found = {}
    for name in names:
        relative = compared_maps(match, targets[name]).maps.clamp_(min=DIM).log_() - usual
        shown = _agreed(relative - relative.amin((1, 2), keepdim=True))
        if shown is not None and float(agreement(shown[None], things)) < AWAY:
            found[name] = shown
    return found


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
