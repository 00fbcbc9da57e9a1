"""What head relevance vectors were counted from: the parts that their metadata's `construction` lists.

A part is a dict (docs/file_formats.md): a build's plan and how far it got, votes collected while working, or whatever another
program wrote. `weights` and `concept_words_hash` say of which checkpoint and of which words it is; counts of others cannot be
added to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

ONLY_ONE = {
    "weights": (
        "were counted on different checkpoints",
        "What a head does differs from checkpoint to checkpoint, so these counts cannot be added up. Merge vectors of one "
        "checkpoint (LoRAs make no difference), or keep both files and choose one of them.",
    ),
    "concept_words_hash": (
        "were counted with different words for the same concepts",
        (
            "A concept with different words is a different concept, so these counts cannot be added up. Build "
            "both with the same list of concept words."
        ),
    ),
}
"""What all parts must have in common → (how the message begins, how it ends)."""


def parts_of(metadata: Mapping[str, str]) -> list:
    """The parts of vectors, by their metadata; none where it does not say."""
    value = json.loads(metadata.get("construction") or "{}")
    merged = value.get("merged") if isinstance(value, dict) else None
    return merged if isinstance(merged, list) else [value] if value else []


def text_of(parts: list) -> str:
    """The `construction` of vectors with these parts, as JSON."""
    return json.dumps(parts[0] if len(parts) == 1 else {"merged": parts})


def stated(parts: Iterable, name: str) -> list[str]:
    """What the parts say under this name, each once."""
    return sorted({str(part[name]) for part in parts if isinstance(part, dict) and part.get(name)})


def check_one_source(first: list, second: list) -> None:
    """Raises ValueError when parts were counted on different checkpoints or for different concept words."""
    for name, (difference, remedy) in ONLY_ONE.items():
        found = stated(first, name), stated(second, name)
        if len({*found[0], *found[1]}) > 1:
            of = [" and ".join(value[:8] for value in values) or "not known" for values in found]
            raise ValueError(
                f"These vectors {difference} (the first: {of[0]}; the second: {of[1]}). {remedy}"
            )
