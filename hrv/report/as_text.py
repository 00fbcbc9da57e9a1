"""Prompt Report as text: Markdown for reading, and a few lines for the node."""

from __future__ import annotations

from collections.abc import Sequence

from ..effect.effect import IDLE
from ..wording import escaped, share_text
from .finding import Finding, filler_level
from .reported import DETAILS, ReportedImage, count_text, title_of


def summary_of(found: Sequence[ReportedImage]) -> str:
    """What the artist reads on the node itself."""
    lines = []
    for one in found:
        lines.append((f"Image {one.number}: " if len(found) > 1 else "") + count_text(one))
        lines += [f"• {finding.headline}\n  Try: {finding.tip}" for finding in one.findings]
    return "\n".join(lines)


def markdown_of(found: Sequence[ReportedImage], warnings: Sequence[str]) -> str:
    parts = ["# Prompt report"]
    parts += [f"> ⚠ {warning}" for warning in warnings]
    for one in found:
        if len(found) > 1:
            parts.append(f"## Image {one.number}")
        parts += [f"Prompt: {escaped(text)}" if text.strip() else "Prompt: (empty)" for text in one.texts]
        parts.append(f"### {title_of(one)}")
        parts += [_told(finding) for finding in one.findings]
        parts += [_word_table(one), _bond_table(one), _sense_table(one)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _told(finding: Finding) -> str:
    """One cause as an item of a list: the sentence, what to try, and what it rests on."""
    lines = [f"- **{escaped(finding.headline)}**", f"  Try: {escaped(finding.tip, code=True)}"]
    if len(finding.details) == 1:
        lines[1:1] = [f"  {escaped(finding.details[0].reason)}"]
    else:
        lines += [f"  - {escaped(one.text)}" for one in finding.details[:DETAILS]]
        if len(finding.details) > DETAILS:
            lines.append(f"  - and {len(finding.details) - DETAILS} more (all of them: output `data`)")
    return "\n".join(lines)


def _word_table(one: ReportedImage) -> str:
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


def _bond_table(one: ReportedImage) -> str:
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


def _sense_table(one: ReportedImage) -> str:
    if not one.senses:
        return ""
    lines = ["### What each word was taken for", "", "| word | concepts, most relevant first |", "|---|---|"]
    for sense in one.senses:
        shares = ", ".join(f"{escaped(c)} {100 * s:.0f} %" for c, s in list(sense.shares.items())[:3])
        lines.append(f"| {escaped(sense.word)} | {shares or '(no concept stands out)'} |")
    return "\n".join(lines)
