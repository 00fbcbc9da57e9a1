"""Head relevance vectors in words."""

from __future__ import annotations

import json

from ..heads.known_layouts import layout_in_words
from . import agreement as agreement_relevance
from .vectors import HeadRelevance


def vectors_in_words(vectors: HeadRelevance) -> str:
    """What vectors are, in a few lines for the node."""
    lines = [
        vectors.metadata.get("title", ""),
        f"{layout_in_words(vectors.layout)} in {len(vectors.layout.blocks)} layers, {len(vectors.concepts)} concepts",
        _votes(vectors),
        _line("Model", vectors.metadata.get("model")),
        _line("Source", vectors.metadata.get("source")),
        _line("Built", _construction(vectors.metadata.get("construction"))),
        f"Concepts: {', '.join(vectors.concepts)}",
    ]
    return "\n".join(line for line in lines if line)


def _votes(vectors: HeadRelevance) -> str:
    if agreement_relevance.is_agreement(vectors):
        try:
            words = int(agreement_relevance.sums_of(vectors).seen.sum())
        except ValueError:
            return "By agreement; these vectors can be used, but not continued or merged."
        return f"By agreement, from {words} words in generated images"
    if vectors.votes is None:
        return "No votes: these vectors can be used, but not continued or merged."
    votes = int(vectors.votes.sum())
    return f"{votes} votes, {votes / vectors.heads:.0f} for each head"


def _construction(text: str | None) -> str:
    if not text:
        return ""
    value = json.loads(text)
    parts = value.get("merged") if isinstance(value, dict) else None
    if isinstance(parts, list):
        return f"merged from {len(parts)} parts"
    if isinstance(value, dict):
        return ", ".join(
            f"{key} {what}" for key, what in value.items() if isinstance(what, str | int | float)
        )
    return ""


def _line(name: str, text: str | None) -> str:
    return f"{name}: {text}" if text else ""
