"""Prompt Report as data: JSON for scripts (js/docs/HRVPromptReport.md says what is in it), and what the page shows in the node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from .finding import Finding, filler_level
from .page import marks_of
from .reported import DETAILS, ReportedImage, title_of

FORMAT, FORMAT_VERSION = "hrv_prompt_report", 1
DIGITS = 6


def panel_of(one: ReportedImage) -> dict:
    """What the page shows of one image."""
    level = filler_level(one.evidence)
    marks = marks_of(one.evidence, one.findings)
    return {
        "title": title_of(one),
        "judged": one.is_judged,
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
            {"name": word.name, "strength": six_digits(word.strength), "mark": marks.get(word.name, "")}
            for word in sorted(one.evidence.content, key=lambda word: -word.strength)
        ],
        "filler": six_digits(level[0]) if level else None,
    }


def data_of(found: Sequence[ReportedImage], unit: str, warnings: Sequence[str]) -> dict:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "unit": unit,
        "warnings": list(warnings),
        "pictures": [_picture_data(one) for one in found],
    }


def _picture_data(one: ReportedImage) -> dict:
    level = filler_level(one.evidence)
    return {
        "picture": one.number,
        "run_found": one.match.exact,
        "prompts": one.texts,
        "heads": one.source,
        "filler": level and {"strength": six_digits(level[0]), "gathering": six_digits(level[1])},
        "words": [
            {
                "word": w.name,
                "strength": six_digits(w.strength),
                "mean": six_digits(w.mean),
                "gathering": six_digits(w.gathering),
                "filler": w.filler,
                "manner": w.manner,
                "part": w.chunk,
                "weight": six_digits(w.weight),
                **({"effect": six_digits(w.effect)} if w.effect is not None else {}),
            }
            for w in one.evidence.entries
        ],
        "modifiers": [
            {
                "word": b.modifier,
                "meant_for": b.noun,
                "sits_on": b.holder,
                "agreement": {name: six_digits(v) for name, v in {b.noun: b.own, **b.others}.items()},
            }
            for b in one.bonds
        ],
        "senses": [
            {"word": s.word, "concepts": {c: six_digits(v) for c, v in s.shares.items()}} for s in one.senses
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
        "numbers": {name: six_digits(v) for name, v in finding.numbers.items()},
        "remedies": [asdict(remedy) for remedy in finding.remedies],
    }


def six_digits(value: float) -> float:
    """Six digits that count: attention is float16 at rest, more would be noise."""
    return float(f"{value:.{DIGITS}g}")
