"""What Attention Heatmap does: from a recording and a latent to overlays, heat, masks and their words.

Order of everything that comes out: image 0 with all its words, then image 1 with all its words, and so on; with
a timeline, every word with its parts of the schedule, first to last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from ..draw.overlay import Caption, Strips
from ..heads.selection import HeadSelection
from ..maps.border_peaks import Levelling
from ..maps.lookup import (
    POSITIVE,
    asked_targets,
    find_in_run,
    find_word,
    heads_text,
    is_asked,
    names_of,
    notes_of,
    prompts_of,
    targets_of_unit,
)
from ..maps.pairing import drawn_size, pair, warnings_of
from ..maps.refine import IMAGE_EDGES
from ..maps.timeline import ONE_PART, recorded_parts, timeline_maps
from ..maps.word_maps import Target, word_maps
from ..prompt import Prompt, WordNotFound, split_names
from ..recording.recording import ASKED, EVERYTHING, Entry, Match, Recording
from ..relevance.best_maps import ALL, BEST, Choice, best_choices, best_maps, choice_text
from ..threads import share_out
from ..wording import counted, role_text, said, share_text
from .heatmap_memory import Order
from .refined import refine_masks
from .tiles import Label, Style, Tile, draw, panel

WORDS_AT_ONCE = 8  # whose maps are made by one thread at a time
DEFAULT = Style()


@dataclass(frozen=True)
class Heatmaps:
    """n = Σ over images of their words, times the parts of a timeline.

    overlay: (n, height + strip, width, 3); heat and mask: (n, height, width), 0 to 1; words: n; summary: one
    line for the node; warnings, and notes on the prompts: in plain words; names: of all words that can be asked for; panel: what the
    page shows in the node (`tiles.panel`).
    """

    overlay: torch.Tensor
    heat: torch.Tensor
    mask: torch.Tensor
    words: list[str]
    summary: str
    warnings: list[str]
    notes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    panel: dict = field(default_factory=dict)


def heatmaps(
    recording: Recording,
    latent: torch.Tensor,
    words: str = "",
    unit: str = "auto",
    *,
    image: torch.Tensor | None = None,
    heads: HeadSelection | None = None,
    maps: str = ALL,
    role: str = "positive",
    style: Style = DEFAULT,
    share: str = EVERYTHING,
    prompt_text: str = "",
    tokenize: Callable[[str], Prompt] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    free_memory: int | None = None,
    notice: Callable[[str], None] = lambda sentence: None,
) -> Heatmaps:
    """Heat of every asked word over every image.

    latent: (batch, channel, h, w), what the sampler gave; image: (batch, height, width, channel), of any size,
    or None; the two batches must be equal, or one of them 1. heads: their mean; None: what `maps` says, one of MAPS. words: names split
    by commas or line ends; empty: every entry of the prompt by `unit`, filler words (“the”) left out, and the words that were looked for
    although they are not in it. share: one of SHARES.
    prompt_text, read by `tokenize`, stands in where the text of a
    conditioning is not known. progress(done, total) is called before each word and may raise to stop.
    free_memory: bytes, where they are known; what would not fit is refused, and `notice` is told before the work starts
    if it takes more than half of them. Raises NoRecording, WordNotFound, ValueError.
    """
    matches, pictures = pair(recording, latent, image, share)
    size = drawn_size(latent, image)
    names = split_names(words)
    plans = [_plan(match, role, names, unit, (prompt_text, tokenize)) for match in matches]
    parts = [recorded_parts(plan.entries) if style.timeline else [] for plan in plans]
    total = sum(len(plan.shown) for plan in plans)
    warnings = warnings_of(matches)
    if style.timeline and any(match.run.parts == 1 for match in matches):
        warnings.append(ONE_PART)
    order = _order(plans, parts, size, style, bool(names))
    sentence = order.check(free_memory)
    if sentence:
        notice(sentence)
        warnings.append(sentence)
    tiles: list[Tile] = []
    labels: list[Label] = []
    peaks: list[float] = []
    made: dict[int, _Made] = {}  # by match: several images may have the same
    level = Levelling(style.border_peaks)
    for number, (match, picture, plan) in enumerate(zip(matches, pictures, plans, strict=True)):
        progress(0, total)
        if id(match) not in made:
            made[id(match)] = _made(
                match,
                plan,
                _Heads(heads, heads is None and maps == BEST, level),
                parts=parts[number],
                before=lambda _: progress(0, total),
            )
        drawn = made[id(match)]
        row = {name: row for row, name in enumerate(plan.targets)}
        source = heads_text(match, plan.entries[0], heads)
        whose = f" · image {number + 1}" if len(plans) > 1 else ""
        of_prompt = [row[name] for name, target in plan.targets.items() if not is_asked(target)]
        peak = float(drawn.maps[:, of_prompt].max())
        peaks.append(peak)
        for name in plan.shown:
            own = drawn.maps[:, row[name]]
            whose_heads = choice_text(drawn.choices[name], bool(parts[number])) if drawn.choices else source
            asked = is_asked(plan.targets[name])
            source_text = (f"{ASKED} · {whose_heads}" if asked else whose_heads) + whose
            captions = _captions(name, own, peak, source_text, style.normalize) if style.caption else []
            tiles.append(Tile(name, own, peak, picture, captions))
            labels += [
                Label(name, float(one.max()), number, part, len(own), asked=asked)
                for part, one in enumerate(own, start=1)
            ]
    overlays, heat, mask = draw(tiles, order, style, progress)
    if style.refine == IMAGE_EDGES:
        warnings += refine_masks(tiles, mask, style.threshold, progress)
    shown = [tile.name for tile in tiles for _ in tile.maps]
    return Heatmaps(
        overlay=overlays,
        heat=heat,
        mask=mask,
        words=shown,
        summary=_summary(matches, plans, heads, maps),
        warnings=warnings,
        notes=notes_of(matches, role) + level.note(dict.fromkeys(shown)),
        names=names_of(matches, unit, role, prompt_text, tokenize),
        panel=panel(labels, overlays, size[0], style, kind="attention", peaks=peaks),
    )


def _order(
    plans: list[_Plan], parts: list[list[int]], size: tuple[int, int], style: Style, typed: bool
) -> Order:
    return Order(
        words=[len(plan.shown) for plan in plans],
        parts=[max(1, len(part)) for part in parts],
        size=size,
        strip=Strips([], size, style.colormap).tallest if style.caption else 0,
        typed=typed,
    )


@dataclass(frozen=True)
class _Heads:
    """Whose maps are drawn: those of `chosen` heads (None: of all), or of the `best` for each word; level: for lone border peaks."""

    chosen: HeadSelection | None
    best: bool
    level: Levelling


@dataclass(frozen=True)
class _Made:
    """maps: (part, target, height, width), or (1, …) of the whole schedule if there are no parts; choices: what each word is shown with,
    empty where all are shown alike."""

    maps: torch.Tensor
    choices: dict[str, Choice]


def _made(match: Match, plan: _Plan, heads: _Heads, *, parts: list[int], before) -> _Made:
    names = list(plan.targets)
    maps = torch.empty(max(1, len(parts)), len(names), *match.run.grid)
    choices = best_choices(match, plan.targets, plan.content, before, heads.level) if heads.best else {}

    def make(first: int) -> None:
        some = names[first : first + WORDS_AT_ONCE]
        targets = {name: plan.targets[name] for name in some}
        if heads.best:
            made = best_maps(match, targets, choices, parts, heads.level)
        elif parts:
            made = heads.level(some, timeline_maps(match, list(targets.values()), parts, heads.chosen))
        else:
            made = heads.level(some, word_maps(match, list(targets.values()), heads.chosen)[None])
        maps[:, first : first + len(some)] = made

    share_out(make, range(0, len(names), WORDS_AT_ONCE), before)
    return _Made(maps, choices)


@dataclass(frozen=True)
class _Plan:
    """For one picture: the conditionings, the names to show (those of the prompt before those that are not in it), a target for these and
    for every entry of the prompt (the shared scale needs all), and the names of those with content."""

    entries: list[Entry]
    shown: list[str]
    targets: dict[str, Target]
    content: list[str]


def _plan(match: Match, role: str, names: list[str], unit: str, typed: tuple) -> _Plan:
    entries = match.run.of_role(role)
    prompts = prompts_of(entries, role, *typed)
    targets = targets_of_unit(entries, prompts, unit)
    if not targets and not names:
        raise WordNotFound(said("The {role} prompt is empty.", role=role_text(role)))
    content = list(targets_of_unit(entries, prompts, unit, fillers=False))
    asked = asked_targets(match.run, targets) if role == POSITIVE else {}
    shown = names or [*content, *asked]
    for name in names:
        targets[name] = (
            find_in_run(name, match.run, entries, prompts, unit)
            if role == POSITIVE
            else find_word(name, entries, prompts, unit)
        )
    for name in () if names else asked:
        targets[name] = asked[name]
    return _Plan(entries, shown, targets, content)


def _captions(name: str, maps: torch.Tensor, peak: float, source: str, normalize: str) -> list[Caption]:
    """One for each part; maps: (part, height, width)."""
    captions = []
    for part, one in enumerate(maps, start=1):
        whose = source + (f" · part {part} of {len(maps)}" if len(maps) > 1 else "")
        high = float(one.max())
        if normalize == "shared":
            note = f"this word: up to {share_text(high)} · one scale for all words"
            captions.append(Caption(name, low=0.0, high=peak, mark=high, note=note, source=whose))
        else:
            low, high, note = float(maps.min()), float(maps.max()), "each word has its own scale"
            captions.append(Caption(name, low=low, high=high, mark=None, note=note, source=whose))
    return captions


def _summary(matches: list[Match], plans: list[_Plan], heads: HeadSelection | None, maps: str) -> str:
    run, entry = matches[0].run, plans[0].entries[0]
    words = len(plans[0].shown)
    pictures = f" × {len(plans)} images" if len(plans) > 1 else ""
    height, width = run.grid
    return (
        f"{counted(words, 'word')}{pictures} · {maps if heads is None and maps == BEST else heads_text(matches[0], entry, heads)} · "
        f"grid {width}×{height} · {counted(entry.count(), 'model evaluation')}"
    )
