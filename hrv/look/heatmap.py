"""What Attention Heatmap does: from a recording and a latent to overlays, heat, masks and their words.

Order of everything that comes out: image 0 with all its words, then image 1 with all its words, and so on; with
a timeline, every word with its parts of the schedule, first to last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate, chain

import torch

from ..draw.overlay import Caption, Strips, overlay
from ..heads.selection import HeadSelection
from ..maps.bicubic import resize
from ..maps.lookup import find_word, heads_text, names_of, notes_of, prompts_of, targets_of_unit
from ..maps.mask import MASK_THRESHOLD, threshold_mask
from ..maps.normalize import normalize_maps
from ..maps.pairing import drawn_size, pair, warnings_of
from ..maps.timeline import ONE_PART, recorded_parts, timeline_maps
from ..maps.word_maps import Target, word_maps
from ..prompt import Prompt, WordNotFound, split_names
from ..recording.recording import Entry, Match, Recording
from ..threads import share_out
from ..wording import counted, share_text
from .heatmap_memory import Order

WORDS_AT_ONCE = 8  # whose maps are made by one thread at a time


@dataclass(frozen=True)
class Style:
    """How heat is shown; the fields are the inputs of the node."""

    normalize: str = "shared"
    threshold: float = MASK_THRESHOLD
    alpha: float = 0.6
    colormap: str = "turbo"
    caption: bool = True
    timeline: bool = False


@dataclass(frozen=True)
class Heatmaps:
    """n = Σ over images of their words, times the parts of a timeline.

    overlay: (n, height + strip, width, 3); heat and mask: (n, height, width), 0 to 1; words: n; summary: one
    line for the node; warnings, and notes on the prompts: in plain words; names: of all words that can be asked for.
    """

    overlay: torch.Tensor
    heat: torch.Tensor
    mask: torch.Tensor
    words: list[str]
    summary: str
    warnings: list[str]
    notes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def heatmaps(
    recording: Recording,
    latent: torch.Tensor,
    words: str = "",
    unit: str = "auto",
    *,
    image: torch.Tensor | None = None,
    heads: HeadSelection | None = None,
    role: str = "positive",
    style: Style = Style(),
    prompt_text: str = "",
    tokenize: Callable[[str], Prompt] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    free_memory: int | None = None,
    notice: Callable[[str], None] = lambda sentence: None,
) -> Heatmaps:
    """Heat of every asked word over every image.

    latent: (batch, channel, h, w), what the sampler gave; image: (batch, height, width, channel), of any size,
    or None; the two batches must be equal, or one of them 1. words: names split by commas or line ends; empty:
    every entry of the prompt by `unit`, filler words (“the”) left out. prompt_text, read by `tokenize`, stands in where the text of a
    conditioning is not known. progress(done, total) is called before each word and may raise to stop.
    free_memory: bytes, where they are known; what would not fit is refused, and `notice` is told before the work starts
    if it takes more than half of them. Raises NoRecording, WordNotFound, ValueError.
    """
    matches, pictures = pair(recording, latent, image)
    size = drawn_size(latent, image)
    names = split_names(words)
    plans = [_plan(match, role, names, unit, (prompt_text, tokenize)) for match in matches]
    parts = [recorded_parts(plan.entries) if style.timeline else [] for plan in plans]
    total = sum(len(plan.shown) for plan in plans)
    warnings = warnings_of(matches)
    if style.timeline and any(match.run.bins == 1 for match in matches):
        warnings.append(ONE_PART)
    order = _order(plans, parts, size, style, bool(names))
    sentence = order.check(free_memory)
    if sentence:
        notice(sentence)
        warnings.append(sentence)
    jobs: list[_Job] = []
    made: dict[int, torch.Tensor] = {}  # by match: several images may have the same
    for number, (match, picture, plan) in enumerate(zip(matches, pictures, plans, strict=True)):
        progress(0, total)
        if id(match) not in made:
            targets = list(plan.targets.values())
            made[id(match)] = _maps(match, targets, heads, parts[number], lambda _: progress(0, total))
        maps = made[id(match)]
        row = {name: row for row, name in enumerate(plan.targets)}
        source = heads_text(match, plan.entries[0], heads) + (
            f" · image {number + 1}" if len(plans) > 1 else ""
        )
        peak = float(maps.max())
        jobs.extend(_Job(name, maps[:, row[name]], peak, picture, source) for name in plan.shown)
    overlays, heat, mask = _draw(jobs, order, style, progress)
    shown = [job.name for job in jobs for _ in job.maps]
    return Heatmaps(
        overlay=overlays,
        heat=heat,
        mask=mask,
        words=shown,
        summary=_summary(matches, plans, heads),
        warnings=warnings,
        notes=notes_of(matches, role),
        names=names_of(matches, unit, role, prompt_text, tokenize),
    )


def _order(
    plans: list[_Plan], parts: list[list[int]], size: tuple[int, int], style: Style, typed: bool
) -> Order:
    return Order(
        words=[len(plan.shown) for plan in plans],
        noun="tags" if not typed and all(plan.tags for plan in plans) else "words",
        parts=[max(1, len(part)) for part in parts],
        size=size,
        strip=Strips([], size, style.colormap).tallest if style.caption else 0,
        typed=typed,
    )


def _maps(
    match: Match, targets: list[Target], heads: HeadSelection | None, parts: list[int], before
) -> torch.Tensor:
    """(part, target, height, width), or (1, …) of the whole schedule if there are no parts."""
    maps = torch.empty(max(1, len(parts)), len(targets), *match.run.grid)

    def make(first: int) -> None:
        some = targets[first : first + WORDS_AT_ONCE]
        made = timeline_maps(match, some, parts, heads) if parts else word_maps(match, some, heads)[None]
        maps[:, first : first + len(some)] = made

    share_out(make, range(0, len(targets), WORDS_AT_ONCE), before)
    return maps


@dataclass(frozen=True)
class _Job:
    """One word over one picture: its maps on the working grid, (part, height, width), one part without a timeline;
    peak: the largest value of the prompt, in any part."""

    name: str
    maps: torch.Tensor
    peak: float
    picture: torch.Tensor | None
    source: str


def _draw(jobs: list[_Job], order: Order, style: Style, progress) -> tuple[torch.Tensor, ...]:
    """(overlays with their strips, heat, mask), in the order of the jobs and of their parts. Each job is drawn straight
    into them."""
    size = order.size
    captions = [_captions(job, style.normalize) if style.caption else [] for job in jobs]
    strips = Strips(list(chain(*captions)), size, style.colormap) if style.caption else None
    height, total = size[0], sum(len(job.maps) for job in jobs)
    overlays = order.empty(total, height + (strips.height if strips else 0), size[1], 3)
    heat, mask = order.empty(total, *size), order.empty(total, *size)

    def draw(number: int) -> None:
        job, first = jobs[number], firsts[number]
        rows = slice(first, first + len(job.maps))
        large = resize(job.maps, size, out=heat[rows])
        # one above the other, so that all parts of a word have one range
        tall = large.view(1, -1, size[1])
        threshold_mask(tall, style.threshold, out=mask[rows].view_as(tall))
        normalize_maps(tall, style.normalize, job.peak, out=tall)
        for drawn, one in zip(overlays[rows], large, strict=True):
            overlay(job.picture, one, style.alpha, style.colormap, out=drawn[:height])
        if strips is not None:
            for drawn, caption in zip(overlays[rows], captions[number]):
                strips.draw(caption, drawn[height:])

    firsts = list(accumulate((len(job.maps) for job in jobs), initial=0))
    share_out(draw, range(len(jobs)), lambda number: progress(number, len(jobs)))
    progress(len(jobs), len(jobs))
    return overlays, heat, mask


@dataclass(frozen=True)
class _Plan:
    """For one picture: the conditionings, the names to show, a target for these and for every entry of
    the prompt (the shared scale needs all), and whether these entries are tags."""

    entries: list[Entry]
    shown: list[str]
    targets: dict[str, Target]
    tags: bool


def _plan(match: Match, role: str, names: list[str], unit: str, typed: tuple) -> _Plan:
    entries = match.run.of_role(role)
    prompts = prompts_of(entries, role, *typed)
    targets = targets_of_unit(entries, prompts, unit)
    if not targets and not names:
        raise WordNotFound(f"The {role} prompt is empty.")
    shown = names or list(targets_of_unit(entries, prompts, unit, fillers=False))
    for name in names:
        targets[name] = find_word(name, entries, prompts, unit)
    known = [prompt for prompt in prompts if prompt is not None]
    tags = unit != "words" and all(prompt.entries(unit) == prompt.tags() for prompt in known)
    return _Plan(entries, shown, targets, tags)


def _captions(job: _Job, normalize: str) -> list[Caption]:
    low, count = float(job.maps.min()), len(job.maps)
    captions = []
    for part, one in enumerate(job.maps, start=1):
        source = job.source + (f" · part {part} of {count}" if count > 1 else "")
        high = float(one.max())
        if normalize == "shared":
            note = f"this word: up to {share_text(high)} · one scale for all words"
            captions.append(Caption(job.name, low=0.0, high=job.peak, mark=high, note=note, source=source))
        else:
            captions.append(
                Caption(
                    job.name,
                    low=low,
                    high=float(job.maps.max()),
                    mark=None,
                    note="each word has its own scale",
                    source=source,
                )
            )
    return captions


def _summary(matches: list[Match], plans: list[_Plan], heads: HeadSelection | None) -> str:
    run, entry = matches[0].run, plans[0].entries[0]
    words = len(plans[0].shown)
    pictures = f" × {len(plans)} images" if len(plans) > 1 else ""
    height, width = run.grid
    return (
        f"{counted(words, 'word')}{pictures} · {heads_text(matches[0], entry, heads)} · "
        f"grid {width}×{height} · {counted(entry.count(), 'model evaluation')}"
    )
