"""What Attention Heatmap does: from a recording and a latent to overlays, heat, masks and their words.

Order of everything that comes out: picture 0 with all its words, then picture 1 with all its words, and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .draw import Caption, as_rgb, caption_strips, overlay, share
from .heads import HeadSelection
from .maps import Target, normalize_maps, recorded_heads, resize, threshold_mask, word_maps
from .prompt import Prompt, WordNotFound, split_names
from .recording import Entry, Match, NoRecording, Recording

LATENT_PIXEL = 8  # pixels of the picture per latent pixel, along each axis, in SD1 and SDXL


@dataclass(frozen=True)
class Style:
    """How heat is shown; the fields are the inputs of the node."""

    normalize: str = "shared"
    threshold: float = 0.4
    alpha: float = 0.6
    colormap: str = "turbo"
    caption: bool = True


@dataclass(frozen=True)
class Heatmaps:
    """n = Σ over pictures of their words.

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
    every entry of the prompt by `unit`. prompt_text, read by `tokenize`, stands in where the text of a
    conditioning is not known. progress(done, total) is called before each word and may raise to stop.
    Raises NoRecording, WordNotFound, ValueError.
    """
    matches, pictures = _pair(recording.match(latent), image)
    size = (
        tuple(image.shape[1:3]) if image is not None else tuple(n * LATENT_PIXEL for n in latent.shape[-2:])
    )
    names = split_names(words)
    plans = [_plan(match, role, names, unit, prompt_text, tokenize) for match in matches]
    total = sum(len(plan.shown) for plan in plans)
    jobs: list[_Job] = []
    for number, (match, picture, plan) in enumerate(zip(matches, pictures, plans, strict=True)):
        progress(0, total)
        maps = word_maps(match, list(plan.targets.values()), heads)
        row = {name: row for row, name in enumerate(plan.targets)}
        source = _source(match, plan.entries[0], heads) + (
            f" · picture {number + 1}" if len(plans) > 1 else ""
        )
        jobs.extend(_Job(name, maps[row[name]], float(maps.max()), picture, source) for name in plan.shown)
    overlays, heat, mask = _draw(jobs, size, style, progress)
    shown = [job.name for job in jobs]
    return Heatmaps(overlays, heat, mask, shown, _summary(matches, plans, heads), _warnings(matches))


@dataclass(frozen=True)
class _Job:
    """One word over one picture: its map on the working grid, and the largest value of the prompt."""

    name: str
    map: torch.Tensor
    peak: float
    picture: torch.Tensor | None
    source: str


def _draw(jobs: list[_Job], size: tuple[int, int], style: Style, progress) -> tuple[torch.Tensor, ...]:
    """(overlays with their strips, heat, mask), in the order of the jobs."""
    strips = None
    if style.caption:
        captions = [_caption(job, style.normalize) for job in jobs]
        strips = caption_strips(captions, size, style.colormap)
    height = size[0]
    overlays = torch.empty(len(jobs), height + (0 if strips is None else strips.shape[1]), size[1], 3)
    heat, mask = torch.empty(len(jobs), *size), torch.empty(len(jobs), *size)
    for row, job in enumerate(jobs):
        progress(row, len(jobs))
        large = resize(job.map[None], size)
        heat[row] = normalize_maps(large, style.normalize, job.peak)[0]
        mask[row] = threshold_mask(large, style.threshold)[0]
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
    prompts = [_prompt_of(entry, prompt_text, tokenize) for entry in entries]
    if not any(prompts):
        raise NoRecording(
            f"The words of the {role} prompt are not known, because its CLIP does not come from Record Attention. "
            "Connect CLIP through Record Attention and run again, or type the prompt into prompt_text."
        )
    targets = _targets_of_unit(entries, prompts, unit)
    if not targets and not names:
        raise WordNotFound(f"The {role} prompt is empty: it has no words to show.")
    shown = names or list(targets)
    for name in names:
        targets[name] = _find(name, entries, prompts)
    return _Plan(entries, shown, targets)


def _prompt_of(entry: Entry, prompt_text: str, tokenize) -> Prompt | None:
    if entry.prompt is not None or not prompt_text.strip() or tokenize is None:
        return entry.prompt
    prompt = tokenize(prompt_text)
    if prompt.length > entry.length:
        raise ValueError(
            f"The text in prompt_text makes {prompt.length} tokens, but the conditioning that was sampled has "
            f"{entry.length}. Type the text that was encoded, and nothing else."
        )
    return prompt


def _targets_of_unit(entries: list[Entry], prompts: list[Prompt | None], unit: str) -> dict[str, Target]:
    """Every entry of all prompts in reading order. What occurs twice in one prompt is told apart by `#1`, `#2`;
    what occurs in several prompts is one entry."""
    lists = [prompt.entries(unit) if prompt is not None else [] for prompt in prompts]
    repeated = {
        text for words in lists for text, n in Counter(w.text.lower() for w in words).items() if n > 1
    }
    places: dict[str, list] = {}
    spelled: dict[str, str] = {}
    for entry, words in zip(entries, lists, strict=True):
        seen: Counter[str] = Counter()
        for word in words:
            key = word.text.lower()
            seen[key] += 1
            suffix = f"#{seen[key]}" if key in repeated else ""
            spelled.setdefault(key + suffix, word.text + suffix)
            places.setdefault(key + suffix, []).append((entry, word.columns))
    return {spelled[key]: Target(tuple(found)) for key, found in places.items()}


def _find(name: str, entries: list[Entry], prompts: list[Prompt | None]) -> Target:
    """The word in every conditioning of the role that has it. Raises WordNotFound."""
    found, failure = [], None
    for entry, prompt in zip(entries, prompts, strict=True):
        if prompt is None:
            continue
        try:
            found.append((entry, prompt.find(name).columns))
        except WordNotFound as error:
            failure = failure or error
    if not found:
        raise failure or WordNotFound(f"“{name}” is not in the prompt.")
    return Target(tuple(found))


def _pair(matches: list[Match], image: torch.Tensor | None) -> tuple[list[Match], list[torch.Tensor | None]]:
    """One match and one picture for each of the pictures to draw: equal batches, or one of them repeated."""
    if image is None:
        return matches, [None] * len(matches)
    if image.ndim != 4:
        raise ValueError(
            f"The image must be (batch, height, width, channel); this one is {tuple(image.shape)}."
        )
    pictures = list(as_rgb(image))
    if len(pictures) == len(matches):
        return matches, pictures
    if len(pictures) == 1:
        return matches, pictures * len(matches)
    if len(matches) == 1:
        return matches * len(pictures), pictures
    raise ValueError(
        f"The image batch has {len(pictures)} pictures, the latent batch {len(matches)}. Connect the picture that "
        "was decoded from this latent, or pick one with Get Image from Batch."
    )


def _caption(job: _Job, normalize: str) -> Caption:
    low, high = float(job.map.min()), float(job.map.max())
    if normalize == "shared":
        note = f"this word: up to {share(high)} · one scale for all words"
        return Caption(job.name, 0.0, job.peak, high, note, job.source)
    return Caption(job.name, low, high, None, "each word has its own scale", job.source)


def _source(match: Match, entry: Entry, heads: HeadSelection | None) -> str:
    count = recorded_heads(entry, match.run.layout, heads)
    if heads is None:
        return (
            f"all {count} heads (DAAM)"
            if count == match.run.layout.heads
            else f"{count} recorded heads (DAAM)"
        )
    return f"{heads.label} ({count} heads)" if heads.label else f"{count} chosen heads"


def _summary(matches: list[Match], plans: list[_Plan], heads: HeadSelection | None) -> str:
    run, entry = matches[0].run, plans[0].entries[0]
    words = len(plans[0].shown)
    pictures = f" × {len(plans)} pictures" if len(plans) > 1 else ""
    height, width = run.grid
    return (
        f"{words} {'word' if words == 1 else 'words'}{pictures} · {_source(matches[0], entry, heads)} · "
        f"grid {width}×{height} · {entry.count()} model evaluations"
    )


def _warnings(matches: list[Match]) -> list[str]:
    warnings = []
    if not all(match.exact for match in matches):
        warnings.append(
            "This latent was not made by a sampler that the recording saw, so the newest run is shown instead. "
            "Connect the latent that comes out of the sampler; its noise must not have been changed since."
        )
    for match in matches:
        warnings.extend(w for w in match.run.warnings if w not in warnings)
    return warnings
