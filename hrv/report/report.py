"""What Prompt Report does: from a recording and its images to a page, a text and data that say what went wrong.

result = report(recording, latent, image)
result.grid       (image, height, width, 3)
result.markdown   for reading
result.data       JSON for scripts; js/docs/HRVPromptReport.md says what is in it
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..effect.effect import Effects
from ..maps.lookup import heads_text, notes_of, prompts_of
from ..maps.pairing import pair, warnings_of
from ..prompt import Prompt
from ..recording.recording import Match, Recording
from ..relevance.vectors import HeadRelevance
from ..wording import counted, said
from .as_data import data_of, panel_of
from .as_text import markdown_of, summary_of
from .binding import bonds
from .causes import by_cause
from .evidence import examine
from .finding import LIMITS, Finding, Limits, filler_level
from .findings import changed_nothing, find
from .page import ALL_WELL, Page, draw_pages
from .reported import ReportedImage, count_text, title_of
from .senses import doubtful_senses, senses_of
from .shown import thumbs_of


@dataclass(frozen=True)
class Report:
    """grid: float32 (image, height, width, 3), 0 to 1. markdown, data (JSON) and summary (a few lines, for the
    node) cover all images; findings holds those of each image, one for each cause, the gravest first; warnings, and notes on
    the prompts, are in plain words. panel: what the page shows in the node (js/report), without `thumbs`, one image for each finding,
    image by image."""

    grid: torch.Tensor
    markdown: str
    data: str
    summary: str
    findings: list[list[Finding]]
    warnings: list[str]
    notes: list[str]
    panel: dict
    thumbs: list[torch.Tensor]


NOT_JUDGED = "With this kind of model, the attention is shown but not judged."
NO_VERDICTS = said(
    "This report does not judge by the attention: its limits were measured on UNets (Stable Diffusion, SDXL), and this model is a "
    "transformer. To find out which words changed nothing, connect `model` and `clip`."
)


def report(
    recording: Recording,
    latent: torch.Tensor,
    image: torch.Tensor,
    unit: str = "auto",
    *,
    vectors: HeadRelevance | None = None,
    limits: Limits = LIMITS,
    progress: Callable[[int, int], None] = lambda done, total: None,
    prompt_text: str = "",
    tokenize: Callable[[str], Prompt] | None = None,
    effects: Sequence[Effects] | None = None,
) -> Report:
    """The report of every picture of a batch.

    latent: (batch, channel, h, w), what the sampler gave; image: (batch, height, width, channel), of any size; the two
    batches must be equal, or one of them 1. unit: what one entry is, as in Attention Heatmap. vectors: lets the
    report tell words of doubtful sense. prompt_text, read by `tokenize`, stands in where the text of a conditioning is
    not known. effects: what each entry changed, of each image of the latent, if that was asked. progress(done, total) is called before each picture and may raise to stop.
    Raises NoRecording and ValueError.
    """
    matches, pictures = pair(recording, latent, image)
    changed = effects if effects is not None and len(effects) > 1 else list(effects or [None]) * len(matches)
    found: list[ReportedImage] = []
    for number, (match, changes) in enumerate(zip(matches, changed, strict=True)):
        progress(number, len(matches))
        typed = (prompt_text, tokenize)
        found.append(
            _read(
                number + 1, match, unit, vectors=vectors, limits=limits, typed=typed, shares=_shares(changes)
            )
        )
    grid = draw_pages([_page(one, picture) for one, picture in zip(found, pictures, strict=True)])
    progress(len(matches), len(matches))
    warnings = warnings_of(matches)
    if any(not match.run.is_calibrated for match in matches):
        warnings.append(NO_VERDICTS)
    return Report(
        grid=grid,
        markdown=markdown_of(found, warnings),
        data=json.dumps(data_of(found, unit, warnings), ensure_ascii=False, indent=1),
        summary=summary_of(found),
        findings=[one.findings for one in found],
        warnings=warnings,
        notes=notes_of(matches),
        panel={"version": 1, "pictures": [panel_of(one) for one in found]},
        thumbs=[
            thumb
            for one, picture in zip(found, pictures, strict=True)
            for thumb in thumbs_of(one.evidence, one.findings, picture)
        ],
    )


def _shares(effects: Effects | None) -> dict[str, float]:
    """Name of an entry → its share of what the whole prompt changes."""
    return {} if effects is None else dict(zip(effects.names, effects.shares.tolist(), strict=True))


def _read(
    number: int,
    match: Match,
    unit: str,
    *,
    vectors: HeadRelevance | None,
    limits: Limits,
    typed: tuple,
    shares: dict[str, float],
) -> ReportedImage:
    entries = match.run.of_role("positive")
    prompts = prompts_of(entries, "positive", *typed)
    evidence = examine(match, entries, prompts, unit, shares)
    senses = senses_of(match, evidence, vectors) if vectors is not None else []
    # the limits of the others were measured on UNets
    single = (
        changed_nothing(evidence)
        if not match.run.is_calibrated
        else [*find(evidence, limits), *doubtful_senses(senses)]
    )
    texts = [
        p.text if p.text is not None else " ".join(w.text for w in p.words())
        for p in prompts
        if p is not None
    ]
    source = heads_text(match, entries[0], None)
    return ReportedImage(
        number=number,
        match=match,
        texts=texts,
        source=source,
        evidence=evidence,
        findings=by_cause(single, evidence),
        bonds=[] if not match.run.is_calibrated else bonds(evidence, limits),
        senses=senses,
    )


def _page(one: ReportedImage, picture: torch.Tensor) -> Page:
    level = filler_level(one.evidence)
    peak = max((float(word.map.max()) for word in one.evidence.entries), default=0.0)
    title = f"Image {one.number}: {count_text(one)}" if one.number > 1 else str(title_of(one))
    evaluations = one.match.run.of_role("positive")[0].count()
    return Page(
        picture,
        evidence=one.evidence,
        findings=one.findings,
        bonds=one.bonds,
        peak=peak,
        filler=level and level[0],
        title=title,
        footnote=f"{one.source} · {counted(evaluations, 'model evaluation')}",
        all_well=ALL_WELL if one.is_judged else NOT_JUDGED,
    )
