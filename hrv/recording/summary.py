"""A recording in a few words."""

from __future__ import annotations

from ..wording import counted, shortened
from .recording import Recording, Run

MAX_TEXT = 100


def recording_in_words(recording: Recording) -> str:
    """One line for each run: its prompt, images, heads, grid and evaluations; then its warnings."""
    lines = []
    for run in recording.runs:
        lines += [_line(run), *(f"⚠ {warning}" for warning in run.warnings)]
    return "\n".join(lines)


def _line(run: Run) -> str:
    texts = [entry.prompt.text for entry in run.entries if entry.prompt and entry.prompt.text]
    text = shortened(texts[0], MAX_TEXT) if texts else "(prompt not known)"
    pictures = max(entry.batch for entry in run.entries)
    evaluations = max(entry.count() for entry in run.entries)
    facts = [f"{counted(pictures, 'image')}", f"{run.layout.heads} heads"]
    if any(entry.maps for entry in run.entries):
        height, width = run.grid
        facts.append(f"grid {width}×{height}")
    return " · ".join([text, *facts, counted(evaluations, "model evaluation")])
