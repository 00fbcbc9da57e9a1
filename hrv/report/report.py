"""What Prompt Report does: from a recording and its images to a page, a text and data that say what went wrong.

result = report(recording, latent, image)
result.grid       (image, height, width, 3)
result.markdown   for reading
result.data       JSON for scripts; js/docs/HRVPromptReport.md says what is in it
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch

from ..effect.effect import IDLE, Effects
from ..maps.lookup import heads_text, notes_of, prompts_of
from ..maps.pairing import pair, warnings_of
from ..prompt import Prompt
from ..recording.recording import Match, Recording
from ..relevance.vectors import HeadRelevance
from ..wording import counted, escaped, share_text
from .binding import Bond, bonds
from .causes import by_cause
from .evidence import Evidence, examine
from .finding import LIMITS, Finding, Limits, filler_level
from .findings import find
from .page import Page, draw_pages, marks_of
from .senses import Sense, doubtful_senses, senses_of
from .shown import thumbs_of

FORMAT, FORMAT_VERSION = "hrv_prompt_report", 1
DIGITS = 6
DETAILS = 12  # single findings of one cause that the text lists; the data has them all


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


@dataclass(frozen=True)
class _Picture:
    """Everything that is said of one image of the batch."""

    number: int
    match: Match
    texts: list[str]
    source: str
    evidence: Evidence
    findings: list[Finding]
    bonds: list[Bond]
    senses: list[Sense]


NO_VERDICTS = (
    "This report has no verdicts: its limits were measured on a model with cross-attention, and this model's text and image share one "
    "attention. To find out which words matter, use What Each Word Did."
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
    found: list[_Picture] = []
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
    if any(match.run.is_joint for match in matches):
        warnings.append(NO_VERDICTS)
    return Report(
        grid=grid,
        markdown=_markdown(found, warnings),
        data=json.dumps(_data(found, unit, warnings), ensure_ascii=False, indent=1),
        summary=_summary(found),
        findings=[one.findings for one in found],
        warnings=warnings,
        notes=notes_of(matches),
        panel={"version": 1, "pictures": [_panel(one) for one in found]},
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
) -> _Picture:
    entries = match.run.of_role("positive")
    prompts = prompts_of(entries, "positive", *typed)
    evidence = examine(match, entries, prompts, unit, shares)
    senses = senses_of(match, evidence, vectors) if vectors is not None else []
    findings = (
        [] if match.run.is_joint else by_cause([*find(evidence, limits), *doubtful_senses(senses)], evidence)
    )
    texts = [
        p.text if p.text is not None else " ".join(w.text for w in p.words())
        for p in prompts
        if p is not None
    ]
    source = heads_text(match, entries[0], None)
    return _Picture(
        number=number,
        match=match,
        texts=texts,
        source=source,
        evidence=evidence,
        findings=findings,
        bonds=[] if match.run.is_joint else bonds(evidence, limits),
        senses=senses,
    )


def _panel(one: _Picture) -> dict:
    """What the page shows of one image."""
    level = filler_level(one.evidence)
    marks = marks_of(one.evidence, one.findings)
    return {
        "title": _count(one).capitalize(),
        "findings": [
            {
                "kind": finding.kind,
                "words": list(finding.words),
                "headline": finding.headline,
                "tip": finding.tip,
                "why": [single.text for single in finding.details[:DETAILS] if single.reason],
                "remedies": [asdict(remedy) for remedy in finding.remedies],
            }
            for finding in one.findings
        ],
        "words": [
            {"name": word.name, "strength": _round(word.strength), "mark": marks.get(word.name, "")}
            for word in sorted(one.evidence.content, key=lambda word: -word.strength)
        ],
        "filler": _round(level[0]) if level else None,
    }


def _page(one: _Picture, picture: torch.Tensor) -> Page:
    level = filler_level(one.evidence)
    peak = max((float(word.map.max()) for word in one.evidence.entries), default=0.0)
    title = f"Image {one.number}: {_count(one)}" if one.number > 1 else _count(one).capitalize()
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
    )


def _count(one: _Picture) -> str:
    if not one.evidence.content:
        return "the prompt has no words to report on"
    if one.match.run.is_joint:
        return "heatmaps only, without verdicts"
    n = len(one.findings)
    return f"{n} thing{'s' if n > 1 else ''} stand{'' if n > 1 else 's'} out" if n else "nothing stands out"


def _summary(found: Sequence[_Picture]) -> str:
    """What the artist reads on the node itself."""
    lines = []
    for one in found:
        lines.append((f"Image {one.number}: " if len(found) > 1 else "") + _count(one))
        lines += [f"• {finding.headline}\n  Try: {finding.tip}" for finding in one.findings]
    return "\n".join(lines)


def _markdown(found: Sequence[_Picture], warnings: Sequence[str]) -> str:
    parts = ["# Prompt report"]
    parts += [f"> ⚠ {warning}" for warning in warnings]
    for one in found:
        if len(found) > 1:
            parts.append(f"## Image {one.number}")
        parts += [f"Prompt: {escaped(text)}" if text.strip() else "Prompt: (empty)" for text in one.texts]
        parts.append(f"### {_count(one).capitalize()}")
        parts += [_told(finding) for finding in one.findings]
        parts += [_word_table(one), _bond_table(one), _sense_table(one)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _told(finding: Finding) -> str:
    """One cause as an item of a list: the sentence, what to try, and what it rests on."""
    lines = [f"- **{escaped(finding.headline)}**", f"  Try: {escaped(finding.tip, code=True)}"]
    if len(finding.details) == 1:
        lines[1:1] = [f"  ({escaped(finding.details[0].reason)})"]
    else:
        lines += [f"  - {escaped(one.text)}" for one in finding.details[:DETAILS]]
        if len(finding.details) > DETAILS:
            lines.append(f"  - and {len(finding.details) - DETAILS} more (all of them: output `data`)")
    return "\n".join(lines)


def _word_table(one: _Picture) -> str:
    if not one.evidence.content:
        return ""
    asked = any(word.effect is not None for word in one.evidence.content)
    lines = [
        "### Words, most strongly drawn first",
        "",
        "| word | where it gets the most | whole image | concentration (0 – 0.9) |" + " changed |" * asked,
        "|---|---:|---:|---:|" + "---:|" * asked,
    ]
    rows = [(w.name, w) for w in sorted(one.evidence.content, key=lambda w: -w.strength)]
    for name, word in rows:
        changed = f" {share_text(word.effect)} |" if word.effect is not None else " |" * asked
        lines.append(
            f"| {escaped(name)} | {share_text(word.strength)} | {share_text(word.mean)} | {word.gathering:.2f} |{changed}"
        )
    if (level := filler_level(one.evidence)) is not None:
        lines.append(
            f"| *filler words, for comparison* | {share_text(level[0])} | | {level[1]:.2f} |" + " |" * asked
        )
    notes = [f"Shares of attention: {one.source}."]
    if asked:
        notes.append(
            "Changed: how far the image moves without the word, as a share of what the whole prompt changes."
        )
    idle = [
        escaped(w.name) for w in one.evidence.content if w.manner and w.effect is not None and w.effect < IDLE
    ]
    if idle:
        notes.append(f"These changed nothing and can go: {', '.join(idle)}.")
    return "\n".join([*lines, "", " ".join(notes)])


def _bond_table(one: _Picture) -> str:
    if not one.bonds:
        return ""
    lines = [
        "### Who got what",
        "",
        "| word | meant for | landed on | agreement | with its own noun |",
        "|---|---|---|---:|---:|",
    ]
    for b in one.bonds:
        holder = "(no noun)" if b.holder is None else escaped(b.holder)
        moved = holder if b.holder == b.noun else f"**{holder}**"
        value = b.own if b.holder in (b.noun, None) else b.others[b.holder]
        lines.append(f"| {escaped(b.modifier)} | {escaped(b.noun)} | {moved} | {value:.2f} | {b.own:.2f} |")
    return "\n".join(lines)


def _sense_table(one: _Picture) -> str:
    if not one.senses:
        return ""
    lines = ["### What each word was taken for", "", "| word | concepts, most relevant first |", "|---|---|"]
    for sense in one.senses:
        shares = ", ".join(f"{escaped(c)} {100 * s:.0f} %" for c, s in list(sense.shares.items())[:3])
        lines.append(f"| {escaped(sense.word)} | {shares or '(no concept stands out)'} |")
    return "\n".join(lines)


def _data(found: Sequence[_Picture], unit: str, warnings: Sequence[str]) -> dict:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "unit": unit,
        "warnings": list(warnings),
        "pictures": [_picture_data(one) for one in found],
    }


def _picture_data(one: _Picture) -> dict:
    level = filler_level(one.evidence)
    return {
        "picture": one.number,
        "run_found": one.match.exact,
        "prompts": one.texts,
        "heads": one.source,
        "filler": level and {"strength": _round(level[0]), "gathering": _round(level[1])},
        "words": [
            {
                "word": w.name,
                "strength": _round(w.strength),
                "mean": _round(w.mean),
                "gathering": _round(w.gathering),
                "filler": w.filler,
                "manner": w.manner,
                "part": w.chunk,
                "weight": _round(w.weight),
                **({"effect": _round(w.effect)} if w.effect is not None else {}),
            }
            for w in one.evidence.entries
        ],
        "modifiers": [
            {
                "word": b.modifier,
                "meant_for": b.noun,
                "sits_on": b.holder,
                "agreement": {name: _round(v) for name, v in {b.noun: b.own, **b.others}.items()},
            }
            for b in one.bonds
        ],
        "senses": [
            {"word": s.word, "concepts": {c: _round(v) for c, v in s.shares.items()}} for s in one.senses
        ],
        "findings": [
            {**_finding_data(f), "details": [_finding_data(single) for single in f.details]}
            for f in one.findings
        ],
    }


def _finding_data(finding: Finding) -> dict:
    return {
        "kind": finding.kind,
        "words": list(finding.words),
        "text": finding.text,
        "tip": finding.tip,
        "numbers": {name: _round(v) for name, v in finding.numbers.items()},
        "remedies": [asdict(remedy) for remedy in finding.remedies],
    }


def _round(value: float) -> float:
    """Six digits that count: attention is float16 at rest, more would be noise."""
    return float(f"{value:.{DIGITS}g}")
