"""A small image for each finding: where the words that it names have their heat."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..draw.overlay import HOT, overlay
from ..maps.bicubic import resize
from ..maps.normalize import normalize_maps
from .evidence import Evidence
from .finding import Finding
from .page import COLOURS, fit, with_outlines

SIDE = 320  # pixels of the longer side
ALPHA = 0.6
MOST = 2  # words whose heat is shown: more could not be told apart


def thumbs_of(evidence: Evidence, findings: Sequence[Finding], picture: torch.Tensor) -> list[torch.Tensor]:
    """float32 (height, width, 3) each, 0 to 1. One word: its heat, on the scale of all words. Two words: the place of each, outlined."""
    height, width = picture.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = fit(picture, size)
    peak = max((float(word.map.max()) for word in evidence.entries), default=0.0)
    return [_thumb(evidence, finding, small, peak) for finding in findings]


def _thumb(evidence: Evidence, finding: Finding, small: torch.Tensor, peak: float) -> torch.Tensor:
    listed = {entry.name: entry for entry in evidence.entries}
    found = [
        listed.get(name) or evidence.words.get(name) or listed.get(evidence.entry_of.get(name, ""))
        for name in (*finding.words, *finding.nouns)
    ]
    words = list({word.name: word for word in found if word is not None}.values())[:MOST]
    if not words:
        return small
    if len(words) > 1 and finding.kind in ("shared place", "wrong noun"):
        return with_outlines(small, list(zip(words, COLOURS, strict=False)))
    size = (int(small.shape[0]), int(small.shape[1]))
    heat = normalize_maps(resize(words[0].map[None], size), "shared", peak)[0]
    return overlay(small, heat, ALPHA, "turbo", tint=HOT)
