"""What Attention Heatmap does: from a recording and a latent to overlays, heat, masks and their words.

Order of everything that comes out: picture 0 with all its words, then picture 1 with all its words, and so on; with
a timeline, every word with its parts of the schedule, first to last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .draw import Caption, caption_strips, overlay, share
from .heads import HeadSelection
from .latents import LATENT_PIXEL
from .maps import Target, normalize_maps, resize, threshold_mask, word_maps
from .pairing import pair, warnings_of
from .plural import counted
from .prompt import Prompt, WordNotFound, split_names
from .reading import find_word, heads_text, prompts_of, targets_of_unit
from .recording import Entry, Match, Recording
from .timeline import ONE_PART, recorded_parts, timeline_maps


@dataclass(frozen=True)
class Style:
    """How heat is shown; the fields are the inputs of the node."""

    normalize: str = "shared"
    threshold: float = 0.4
    alpha: float = 0.6
    colormap: str = "turbo"
    caption: bool = True
    timeline: bool = False


@dataclass(frozen=True)
class Heatmaps:
    """n = Σ over pictures of their words, times the parts of a timeline.

    overlay: (n, height + strip, width, 3); heat and mask: (n, height, width), 0 to 1; words: n; summary: one
    line for the node; warnings: in plain words.
    """

    overlay: torch.Tensor
    heat: torch.Tensor
    mask: torch.Tensor
    words: list[str]
    summary: str
    warnings: list[str]


def heatmaps(
    recording: Recording,
    latent: torch.Tensor,
    words: str = "",
    unit: str = "auto",
    image: torch.Tensor | None = None,
    heads: HeadSelection | None = None,
    role: str = "positive",
    style: Style = Style(),
    prompt_text: str = "",
    tokenize: Callable[[str], Prompt] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Heatmaps:
    """Heat of every asked word over every picture.

    latent: (batch, channel, h, w), what the sampler gave; image: (batch, height, width, channel), of any size,
    or None; the two batches must be equal, or one of them 1. words: names split by commas or line ends; empty:
    every entry of the prompt by `unit`, filler words (“the”) left out. prompt_text, read by `tokenize`, stands in where the text of a
    conditioning is not known. progress(done, total) is called before each word and may raise to stop.
    Raises NoRecording, WordNotFound, ValueError.
    """
    matches, pictures = pair(recording, latent, image)
    size = (
        tuple(image.shape[1:3]) if image is not None else tuple(n * LATENT_PIXEL for n in latent.shape[-2:])
    )
    names = split_names(words)
    plans = [_plan(match, role, names, unit, prompt_text, tokenize) for match in matches]
    total = sum(len(plan.shown) for plan in plans)
    jobs: list[_Job] = []
    warnings = warnings_of(matches)
    for number, (match, picture, plan) in enumerate(zip(matches, pictures, plans, strict=True)):
        progress(0, total)
        targets = list(plan.targets.values())
        if style.timeline:
            parts = recorded_parts(plan.entries)
            maps = timeline_maps(match, targets, parts, heads)  # (part, word, height, width)
            if match.run.bins == 1 and ONE_PART not in warnings:
                warnings.append(ONE_PART)
        else:
            maps = word_maps(match, targets, heads)[None]
        row = {name: row for row, name in enumerate(plan.targets)}
        source = heads_text(match, plan.entries[0], heads) + (
            f" · picture {number + 1}" if len(plans) > 1 else ""
        )
        jobs.extend(_Job(name, maps[:, row[name]], float(maps.max()), picture, source) for name in plan.shown)
    overlays, heat, mask = _draw(jobs, size, style, progress)
    shown = [job.name for job in jobs for _ in job.maps]
    return Heatmaps(overlays, heat, mask, shown, _summary(matches, plans, heads), warnings)


@dataclass(frozen=True)
class _Job:
    """One word over one picture: its maps on the working grid, (part, height, width), one part without a timeline;
    peak: the largest value of the prompt, in any part."""

    name: str
    maps: torch.Tensor
    peak: float
    picture: torch.Tensor | None
    source: str


def _draw(jobs: list[_Job], size: tuple[int, int], style: Style, progress) -> tuple[torch.Tensor, ...]:
    """(overlays with their strips, heat, mask), in the order of the jobs and of their parts."""
    strips = None
    if style.caption:
        captions = [caption for job in jobs for caption in _captions(job, style.normalize)]
        strips = caption_strips(captions, size, style.colormap)
    height, total = size[0], sum(len(job.maps) for job in jobs)
    overlays = torch.empty(total, height + (0 if strips is None else strips.shape[1]), size[1], 3)
    heat, mask = torch.empty(total, *size), torch.empty(total, *size)
    first = 0
    for number, job in enumerate(jobs):
        progress(number, len(jobs))
        rows = range(first, first + len(job.maps))
        first = rows.stop
        # one above the other, so that all parts of a word have one range
        large = resize(job.maps, size).view(1, -1, size[1])
        heat[rows.start : rows.stop] = normalize_maps(large, style.normalize, job.peak).view(-1, *size)
        mask[rows.start : rows.stop] = threshold_mask(large, style.threshold).view(-1, *size)
        for row in rows:
            overlays[row, :height] = overlay(job.picture, heat[row], style.alpha, style.colormap)
            if strips is not None:
                overlays[row, height:] = strips[row]
    progress(len(jobs), len(jobs))
    return overlays, heat, mask


@dataclass(frozen=True)
class _Plan:
    """For one picture: the conditionings, the names to show, and a target for these and for every entry of
    the prompt (the shared scale needs all)."""

    entries: list[Entry]
    shown: list[str]
    targets: dict[str, Target]


def _plan(match: Match, role: str, names: list[str], unit: str, prompt_text: str, tokenize) -> _Plan:
    entries = match.run.of_role(role)
    prompts = prompts_of(entries, role, prompt_text, tokenize)
    targets = targets_of_unit(entries, prompts, unit)
    if not targets and not names:
        raise WordNotFound(f"The {role} prompt is empty.")
    shown = names or list(targets_of_unit(entries, prompts, unit, fillers=False))
    for name in names:
        targets[name] = find_word(name, entries, prompts, unit)
    return _Plan(entries, shown, targets)


def _captions(job: _Job, normalize: str) -> list[Caption]:
    low, count = float(job.maps.min()), len(job.maps)
    captions = []
    for part, one in enumerate(job.maps, start=1):
        source = job.source + (f" · part {part} of {count}" if count > 1 else "")
        high = float(one.max())
        if normalize == "shared":
            note = f"this word: up to {share(high)} · one scale for all words"
            captions.append(Caption(job.name, 0.0, job.peak, high, note, source))
        else:
            captions.append(
                Caption(job.name, low, float(job.maps.max()), None, "each word has its own scale", source)
            )
    return captions


def _summary(matches: list[Match], plans: list[_Plan], heads: HeadSelection | None) -> str:
    run, entry = matches[0].run, plans[0].entries[0]
    words = len(plans[0].shown)
    pictures = f" × {len(plans)} pictures" if len(plans) > 1 else ""
    height, width = run.grid
    return (
        f"{counted(words, 'word')}{pictures} · {heads_text(matches[0], entry, heads)} · "
        f"grid {width}×{height} · {counted(entry.count(), 'model evaluation')}"
    )
